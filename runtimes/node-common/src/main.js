// How a service starts and ends, with whatever framework.

import { readFileSync } from 'node:fs';
import { Service, errorAnswer } from './service.js';
import { parseDuration } from './dist.js';

/** @typedef {import('node:http').Server} Server */

/**
 * Serves what the environment describes, until TERM, INT or the end of stdin.
 * @param {(service: Service) => Promise<Server> | Server} makeServer makes the server of the framework
 */
export async function serve(makeServer) {
  const spec = readSpec(process.env);
  const service = new Service(spec);
  const server = await makeServer(service);
  // A connection may rest for 3 minutes; a request has 20 s for its header and 30 s more for its body.
  server.keepAliveTimeout = 180_000;
  server.headersTimeout = 20_000;
  server.requestTimeout = 50_000;
  const { host, port } = addressOf(process.env);
  try {
    await new Promise((resolve, reject) => server.once('error', reject).listen(port, host, () => resolve(undefined)));
  } catch (error) {
    // Without the stack, below which the reason would not be seen.
    process.stderr.write(`listening on ${host ?? ''}:${port}: ${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  }
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  service.loopback = address.address === '::1' || address.address.startsWith('127.');
  const told = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  process.stdout.write(`${JSON.stringify({ addr: `${told}:${address.port}` })}\n`);

  let ending = false;
  const end = () => {
    if (ending) return;
    ending = true;
    server.close(() => {
      service.close();
      process.exit(0);
    });
    setTimeout(() => {
      service.close();
      server.closeAllConnections();
    }, (parseDuration(spec.grace) || 5e9) / 1e6);
  };
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGINT', 'SIGHUP'])) process.on(signal, end);
  if (process.env.MICROSIM_WATCH_STDIN) process.stdin.on('end', end).on('error', end).resume();
}

/** @param {NodeJS.ProcessEnv} env */
function readSpec(env) {
  const text = env.MICROSIM_SERVICE ?? '{"service":{"name":"Undefined","endpoints":[{}]}}';
  return JSON.parse(text.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text);
}

/** @param {NodeJS.ProcessEnv} env */
function addressOf(env) {
  const text = env.MICROSIM_ADDR ?? `:${env.PORT ?? 8080}`;
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at).replace(/^\[|\]$/g, '') || undefined, port: Number(text.slice(at + 1)) };
}

/**
 * A signal for the time when the client has left without its answer.
 * @param {import('node:http').ServerResponse} response
 */
export function goneSignal(response) {
  const gone = new AbortController();
  response.once('close', () => { if (!response.writableFinished) gone.abort(); });
  return gone.signal;
}

export { errorAnswer };
