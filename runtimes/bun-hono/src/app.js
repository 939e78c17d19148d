import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { errorAnswer, goneSignal } from '@microsim/common';

/** @typedef {import('@microsim/common').Service} Service */
/** @typedef {import('@microsim/common').Answer} Answer */
/** @typedef {import('hono').Context<{ Bindings: import('@hono/node-server').HttpBindings }>} Context */

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

/**
 * The application of a mock service.
 * @param {Service} service
 */
export function createApp(service) {
  /** @type {Hono<{ Bindings: import('@hono/node-server').HttpBindings }>} */
  const app = new Hono({ getPath: (request) => decode(new URL(request.url).pathname) });
  app.use(async (c, next) => {
    const refusal = service.refuse(c.env.incoming.headers);
    if (refusal) return respond(c, refusal);
    return next();
  });
  app.use(bodyLimit({ maxSize: 64 * 1024 * 1024, onError: (c) => c.json({ error: 'the body is too large' }, 413) }));

  for (const path of ['/healthz', '/readyz']) readable(app, path, async () => text('ok\n'));
  readable(app, '/metrics', () => service.answerMetrics());

  /** @type {(c: Context) => Promise<Response>} */
  const control = async (c) => respond(c, await service.control(await incoming(c)));
  app.all('/admin', control);
  app.all('/admin/*', control);
  if (!service.routes().some(({ path }) => path === '/set-delay')) app.post('/set-delay', control);

  app.post('/', async (c, next) => {
    const request = await incoming(c);
    return service.isChain(request) ? respond(c, await service.answerChain(request)) : next();
  });
  for (const { path, endpoint } of service.routes()) {
    // Paths of a service are literal; those that Hono takes for patterns are found below.
    if (/[:*{}?]/.test(path)) continue;
    app.on(endpoint.method ? [endpoint.method] : METHODS, path, async (c) => respond(c, await service.answer(endpoint, await incoming(c))));
  }
  app.notFound(async (c) => {
    const request = await incoming(c);
    const found = service.routes().find(({ path, endpoint }) => path === request.path && answers(endpoint, request.method));
    return respond(c, found ? await service.answer(found.endpoint, request) : service.answerNone(request));
  });
  app.onError((error, c) => {
    console.error(error);
    return respond(c, errorAnswer(500, error.message));
  });
  return app;
}

/**
 * A path that is only read. Hono answers HEAD by what answers GET.
 * @param {Hono<any>} app
 * @param {string} path
 * @param {() => Promise<NonNullable<Answer>>} answer
 */
function readable(app, path, answer) {
  app.get(path, async (c) => respond(c, await answer()));
  app.all(path, (c) => {
    const refusal = errorAnswer(405, `${path} is read by GET`);
    return respond(c, { ...refusal, headers: { ...refusal.headers, allow: 'GET, HEAD' } });
  });
}

/**
 * The request as the service looks at it.
 * @param {Context} c
 */
async function incoming(c) {
  const { pathname, search } = new URL(c.req.url);
  return {
    method: c.env.incoming.method ?? c.req.method, path: decode(pathname), query: search, headers: c.env.incoming.headers,
    body: Buffer.from(await c.req.arrayBuffer()), gone: goneSignal(c.env.outgoing),
  };
}

/** @param {string} path */
function decode(path) {
  try {
    return path.startsWith('/admin/') ? path : decodeURIComponent(path);
  } catch {
    return path;
  }
}

/**
 * Makes a response, or closes the connection if there is no answer.
 * @param {Context} c
 * @param {Answer} answer
 */
function respond(c, answer) {
  if (!answer) {
    c.env.outgoing.destroy();
    return RESPONSE_ALREADY_SENT;
  }
  const body = answer.body.length > 0 ? answer.body : null;
  return new Response(/** @type {BodyInit | null} */ (body), { status: answer.status, headers: answer.headers });
}

/** @param {string} body */
function text(body) {
  return { status: 200, headers: { 'content-type': 'text/plain' }, body };
}

/**
 * @param {{ method: string }} endpoint
 * @param {string} method
 */
function answers(endpoint, method) {
  return endpoint.method ? endpoint.method === method : METHODS.includes(method);
}
