import fastify from 'fastify';
import { errorAnswer, goneSignal } from '@microsim/common';

/** @typedef {import('@microsim/common').Service} Service */
/** @typedef {import('@microsim/common').Answer} Answer */
/** @typedef {import('fastify').FastifyRequest} Request */
/** @typedef {import('fastify').FastifyReply} Reply */

/** @type {import('fastify').HTTPMethods[]} */
const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

/**
 * The application of a mock service.
 * @param {Service} service
 */
export function createApp(service) {
  const app = fastify({
    bodyLimit: 64 * 1024 * 1024,
    exposeHeadRoutes: false,
    // A path that cannot be decoded is one that there is not.
    frameworkErrors: (_error, request, reply) => void send(reply, service.answerNone(incoming(request, reply))),
  });
  // The service reads bodies of every type itself, and of every method.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (/** @type {Request} */ _request, /** @type {Buffer} */ body) => body);
  for (const method of ['GET', 'HEAD']) app.addHttpMethod(method, { hasBody: true, overrideExisting: true });

  app.addHook('onRequest', async (request, reply) => {
    const refusal = service.refuse(request.headers);
    if (refusal) return send(reply, refusal);
    tolerateType(request.headers);
  });
  app.setErrorHandler(onError);
  // The router takes no * within a path, and leaves some characters encoded.
  app.setNotFoundHandler(async (request, reply) => {
    const given = incoming(request, reply);
    const found = service.routes().find(({ path, endpoint }) => path === given.path && answers(endpoint, given.method));
    return send(reply, found ? await service.answer(found.endpoint, given) : service.answerNone(given));
  });

  for (const url of ['/healthz', '/readyz']) readable(app, url, async () => text('ok\n'));
  readable(app, '/metrics', () => service.answerMetrics());

  /** @type {(request: Request, reply: Reply) => Promise<Reply>} */
  const control = async (request, reply) => send(reply, await service.control(incoming(request, reply)));
  app.route({ method: METHODS, url: '/admin', handler: control });
  app.route({ method: METHODS, url: '/admin/*', handler: control });
  if (!service.routes().some(({ path }) => path === '/set-delay')) app.post('/set-delay', control);

  // A chain and an endpoint may both be posted to the root.
  const root = service.routes().find(({ path, endpoint }) => path === '/' && answers(endpoint, 'POST'))?.endpoint;
  app.post('/', async (request, reply) => {
    const given = incoming(request, reply);
    if (service.isChain(given)) return send(reply, await service.answerChain(given));
    return send(reply, root ? await service.answer(root, given) : service.answerNone(given));
  });
  for (const { path, endpoint } of service.routes()) {
    const url = path.replaceAll(':', '::');
    // If several endpoints answer a method on a path, the first one does.
    const method = METHODS.filter((m) => answers(endpoint, m) && !app.hasRoute({ method: m, url }));
    if (method.length === 0 || path.includes('*')) continue;
    app.route({ method, url, handler: async (request, reply) => send(reply, await service.answer(endpoint, incoming(request, reply))) });
  }
  return app;
}

/**
 * A path that is only read.
 * @param {import('fastify').FastifyInstance} app
 * @param {string} url
 * @param {() => Promise<NonNullable<Answer>>} answer
 */
function readable(app, url, answer) {
  app.route({ method: ['GET', 'HEAD'], url, handler: async (_request, reply) => send(reply, await answer()) });
  app.route({
    method: METHODS.filter((m) => m !== 'GET' && m !== 'HEAD'), url,
    handler: async (_request, reply) => send(reply.header('allow', 'GET, HEAD'), errorAnswer(405, `${url} is read by GET`)),
  });
}

/**
 * @param {import('fastify').FastifyError} error
 * @param {Request} request
 * @param {Reply} reply
 */
function onError(error, request, reply) {
  if (request.raw.destroyed && !request.raw.complete) return void reply.hijack().raw.destroy(); // the client has left
  if (!error.statusCode) console.error(error);
  return send(reply, errorAnswer(error.statusCode ?? 500, error.message));
}

/**
 * The request as the service looks at it.
 * @param {Request} request
 * @param {Reply} reply
 */
function incoming(request, reply) {
  const { pathname, search } = new URL(request.raw.url ?? '/', 'http://service');
  return {
    method: request.method, path: decode(pathname), query: search, headers: request.headers,
    body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0), gone: goneSignal(reply.raw),
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
 * Writes an answer, or closes the connection if there is none.
 * @param {Reply} reply
 * @param {Answer} answer
 */
function send(reply, answer) {
  if (!answer) {
    reply.hijack().raw.destroy();
    return reply;
  }
  // Not a string, to whose type Fastify adds a charset.
  const body = Buffer.from(answer.body);
  return reply.code(answer.status).headers(answer.headers).send(body.length > 0 ? body : undefined);
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
  return endpoint.method ? endpoint.method === method : METHODS.some((m) => m === method);
}

/**
 * Replaces a type of content that is none, to which Fastify would answer 415.
 * @param {import('node:http').IncomingHttpHeaders} headers
 */
function tolerateType(headers) {
  const type = headers['content-type']?.trim();
  if (type === '') delete headers['content-type'];
  else if (type && !/^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(;|$)/.test(type)) headers['content-type'] = 'application/octet-stream';
}
