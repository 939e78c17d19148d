import express from 'express';
import { errorAnswer, goneSignal } from '@microsim/common';

/** @typedef {import('@microsim/common').Service} Service */
/** @typedef {import('@microsim/common').Answer} Answer */

/**
 * The application of a mock service.
 * @param {Service} service
 */
export function createApp(service) {
  const app = express();
  app.disable('x-powered-by');
  app.enable('case sensitive routing');
  app.enable('strict routing');

  app.use((req, res, next) => {
    const refusal = service.refuse(req.headers);
    if (refusal) send(res, refusal);
    else next();
  });

  app.route(['/healthz', '/readyz']).get((req, res) => send(res, text('ok\n'))).all(readOnly);
  app.route('/metrics').get(async (req, res) => send(res, await service.answerMetrics())).all(readOnly);

  /** @type {(req: express.Request, res: express.Response) => Promise<void>} */
  const control = async (req, res) => send(res, await service.control(incoming(req, res)));
  app.use(express.raw({ type: () => true, limit: '64mb' }));
  app.use('/admin', control);
  if (!service.routes().some(({ path }) => path === '/set-delay')) app.post('/set-delay', control);

  app.post('/', async (req, res, next) => {
    const request = incoming(req, res);
    if (service.isChain(request)) send(res, await service.answerChain(request));
    else next();
  });
  for (const { path, endpoint } of service.routes()) {
    app.all(literal(path), async (req, res, next) => {
      if (req.method === 'TRACE' || (endpoint.method && endpoint.method !== req.method)) next();
      else send(res, await service.answer(endpoint, incoming(req, res)));
    });
  }

  app.use((req, res) => send(res, service.answerNone(incoming(req, res))));
  app.use(onError);
  return app;
}

/**
 * @param {express.Request} req
 * @param {express.Response} res
 */
const readOnly = (req, res) => {
  res.setHeader('Allow', 'GET, HEAD');
  send(res, errorAnswer(405, `${req.path} is read by GET`));
};

/**
 * Express knows a handler of errors by its four parameters.
 * @param {any} error
 * @param {express.Request} _req
 * @param {express.Response} res
 * @param {express.NextFunction} next
 */
const onError = (error, _req, res, next) => {
  if (res.headersSent) return next(error);
  if (error.type === 'request.aborted') return void res.destroy();
  if (!error.status) console.error(error);
  return send(res, errorAnswer(error.status ?? 500, error.message));
};

/**
 * The request as the service looks at it.
 * @param {express.Request} req
 * @param {express.Response} res
 */
function incoming(req, res) {
  const { pathname, search } = new URL(req.originalUrl, 'http://service');
  return {
    method: req.method, path: decode(pathname), query: search, headers: req.headers,
    body: Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0), gone: goneSignal(res),
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
 * @param {express.Response} res
 * @param {Answer} answer
 */
function send(res, answer) {
  if (!answer) return void res.destroy();
  // Not res.set(), which adds a charset to JSON.
  for (const [name, value] of Object.entries(answer.headers)) res.setHeader(name, value);
  res.status(answer.status).end(answer.body);
}

/** @param {string} body */
function text(body) {
  return { status: 200, headers: { 'content-type': 'text/plain' }, body };
}

/**
 * The path as a pattern of Express that matches nothing else.
 * @param {string} path
 */
function literal(path) {
  return path.replace(/[\\{}()[\]*+?!:]/g, '\\$&');
}
