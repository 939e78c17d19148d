// A mock service without its web framework: which endpoints it has, and what it
// answers. The framework routes requests here and writes the answers.

import { timingSafeEqual } from 'node:crypto';
import { parseChain, ChainRefused } from './chain.js';
import { Peers, Sender } from './calls.js';
import { Key, parseSize } from './dist.js';
import { Endpoint, decideChain } from './decide.js';
import { Exchange, message, payload } from './exchange.js';
import { FaultBoard, only } from './faults.js';
import { refusalOf, requestID, timeLeft, valueOf } from './identity.js';
import { Metrics } from './metrics.js';
import { Memory } from './work.js';

const JSON_TYPE = 'application/json';
const DEFAULT_TIMEOUT_MS = 120_000;

/**
 * A request as the framework has read it.
 * @typedef {{ method: string, path: string, query: string, headers: import('node:http').IncomingHttpHeaders, body: Buffer, gone: AbortSignal }} Incoming
 */

/**
 * What is answered; undefined means that the connection is closed without an answer.
 * @typedef {{ status: number, headers: Record<string, string>, body: Buffer | string } | undefined} Answer
 */

export class Service {
  /** @param {any} spec what MICROSIM_SERVICE holds */
  constructor(spec) {
    only(spec, 'MICROSIM_SERVICE', ['system', 'service', 'replica', 'seed', 'peers', 'allowHosts', 'limits', 'token', 'grace', 'traceSample']);
    const { service, limits = {} } = spec;
    /** @type {string} */
    this.name = service.name ?? '';
    for (const field of ['workers', 'backlog', 'shed', 'store']) {
      if (service[field]) throw new Error(`service ${this.name}: ${field} needs a runtime of level L3, this one has L2`);
    }
    if (service.onCancel === 'stop') throw new Error(`service ${this.name}: onCancel: stop needs a runtime of level L3, this one has L2`);
    /** @type {string} */
    this.token = spec.token ?? '';
    this.limits = {
      depth: limits.depth || 64, nodes: limits.nodes || 10000, fanOut: limits.fanOut || 1000, faults: limits.faults || 100,
      body: parseSize(limits.body) || 1024 * 1024, leak: parseSize(limits.leak) || Memory.MAX,
    };
    this.root = Key.seed(BigInt(spec.seed ?? '0')).with(this.name);
    this.endpoints = /** @type {any[]} */ (service.endpoints ?? []).map((e) => new Endpoint(e));
    this.faults = new FaultBoard(this.name, spec.replica || 1);
    this.memory = new Memory();
    this.peers = new Peers(spec.system ?? '', spec.peers ?? {}, spec.allowHosts ?? []);
    this.sender = new Sender();
    this.stopping = new AbortController();
    this.inflight = 0;
    this.loopback = false;
    this.metrics = new Metrics(this.name, this.endpoints, () => ({ inflight: this.inflight, held: this.memory.held, faults: this.faults.counts() }));
    if (parseSize(service.memory) > 0) this.memory.take(parseSize(service.memory));
  }

  /**
   * The paths of the endpoints, each with the endpoint that answers it, in order. If no
   * endpoint has the root path, the root means all of them.
   * @returns {{ path: string, endpoint: Endpoint }[]}
   */
  routes() {
    const routes = this.endpoints.map((endpoint) => ({ path: endpoint.path, endpoint }));
    if (!routes.some(({ path }) => path === '/')) routes.push(...this.endpoints.map((endpoint) => ({ path: '/', endpoint })));
    return routes;
  }

  /** @param {{ id: string, hop: string }} who */
  keyOf({ id, hop }) {
    return this.root.with(id).with(hop);
  }

  /**
   * Answers a request to an endpoint.
   * @param {Endpoint} endpoint
   * @param {Incoming} request
   */
  async answer(endpoint, request) {
    return this.#exchange(request, endpoint.path, endpoint.timeout / 1e6 || Infinity, false, async (x) => {
      const ending = await x.run(endpoint.decide(x.key, x.who.from, x.faults));
      if (ending?.kind === 'fail') return ending.body ? textAnswer(ending.status, ending.body) : errorAnswer(ending.status, ending.text);
      if (ending?.kind !== 'respond') return undefined;
      if (endpoint.body) return textAnswer(endpoint.status, endpoint.body);
      const { body, contentType } = payload(endpoint.bytes);
      return { status: endpoint.status, headers: { 'content-type': contentType }, body };
    });
  }

  /**
   * Reports whether a POST / carries a chain.
   * @param {Incoming} request
   */
  isChain({ headers, body }) {
    if (!this.routes().some(({ path, endpoint }) => path === '/' && (!endpoint.method || endpoint.method === 'POST'))) return true;
    const type = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
    if (body.length === 0 || !(type === '' || type === JSON_TYPE || type.endsWith('+json') || type === 'application/x-www-form-urlencoded')) return false;
    if (body.length > this.limits.body || body.includes('"designation"')) return true;
    try {
      const value = JSON.parse(body.toString('utf8'));
      return typeof value !== 'object' || value === null || Array.isArray(value);
    } catch {
      return true;
    }
  }

  /**
   * Answers a chain.
   * @param {Incoming} request
   */
  async answerChain(request) {
    const began = performance.now();
    const endpoint = this.routes().find(({ path, endpoint: e }) => path === '/' && (!e.method || e.method === 'POST'))?.endpoint;
    return this.#exchange(request, 'chain', endpoint ? endpoint.timeout / 1e6 || Infinity : DEFAULT_TIMEOUT_MS, true, async (x) => {
      let chain;
      try {
        chain = parseChain(request.body, this.limits);
      } catch (error) {
        if (!(error instanceof ChainRefused)) throw error;
        return this.#document(x, error.status, '', error.texts);
      }
      const ending = await x.run(decideChain(chain, x.key, x.who.from, x.faults));
      if (!ending || ending.kind === 'abort') return undefined;
      const [status, errors] = ending.kind === 'fail' ? [ending.status, [...x.notes, ending.text]] : [200, x.notes];
      const answer = this.#document(x, status, chain.designation, errors);
      if (valueOf(request.headers, 'microsim-times', 16384)) {
        const took = (performance.now() - began).toFixed(1);
        answer.headers['microsim-times'] = x.times.length > 0 ? `${took}(${x.times.join(',')})` : took;
      }
      return answer;
    });
  }

  /**
   * MicroSim's response document. Those of routes stay as they came.
   * @param {Exchange} x
   * @param {number} status
   * @param {string} address
   * @param {string[]} errors
   */
  #document(x, status, address, errors) {
    const head = JSON.stringify({ service: this.name, address, errors }).slice(0, -1);
    const body = `${head},"response":[${x.documents.map((d) => d ?? 'null').join(',')}]}`;
    return { status, headers: /** @type {Record<string, string>} */ ({ 'content-type': JSON_TYPE }), body };
  }

  /**
   * Counts and times a request, and gives its answer what every answer has.
   * @param {Incoming} request
   * @param {string} label
   * @param {number} timeout in milliseconds
   * @param {boolean} chain
   * @param {(x: Exchange) => Promise<Answer>} work
   * @returns {Promise<Answer>}
   */
  async #exchange(request, label, timeout, chain, work) {
    const began = performance.now();
    const who = { id: requestID(request.headers), hop: valueOf(request.headers, 'microsim-hop', 512), from: valueOf(request.headers, 'microsim-from', 128) };
    const x = new Exchange(this, request, who, began + Math.min(timeLeft(request.headers), timeout), chain);
    this.inflight++;
    /** @type {Answer} */
    let answer;
    try {
      answer = await work(x);
      if (answer && x.corrupt) answer.body = damage(Buffer.from(answer.body));
      if (answer && x.degraded > 0) answer.headers['microsim-degraded'] = String(Math.min(x.degraded, 1_000_000));
    } finally {
      x.release();
      this.inflight--;
      this.metrics.request(label, answer?.status, (performance.now() - began) / 1000, x.degraded);
    }
    if (answer) answer.headers['x-request-id'] = who.id;
    return answer;
  }

  /**
   * Refuses a request of a web page; undefined if it may pass.
   * @param {import('node:http').IncomingHttpHeaders} headers
   * @returns {Answer}
   */
  refuse(headers) {
    const why = refusalOf(headers, this.loopback);
    return why ? errorAnswer(403, why) : undefined;
  }

  /**
   * Answers a request to a path or with a method that there is not.
   * @param {Incoming} request
   * @returns {NonNullable<Answer>}
   */
  answerNone({ method, path, headers }) {
    const found = this.routes().filter((route) => route.path === path).map(({ endpoint }) => endpoint.method);
    const answer = found.length > 0
      ? errorAnswer(405, `service ${JSON.stringify(this.name)} does not answer ${method} on ${JSON.stringify(path.slice(0, 128))}`)
      : errorAnswer(404, `service ${JSON.stringify(this.name)} has no endpoint ${JSON.stringify(path.slice(0, 128))}`);
    if (found.length > 0) answer.headers.allow = allowed(found, path);
    answer.headers['x-request-id'] = requestID(headers);
    this.metrics.request('other', answer.status, 0, 0);
    return answer;
  }

  /** @returns {Promise<NonNullable<Answer>>} */
  async answerMetrics() {
    return { status: 200, headers: { 'content-type': this.metrics.registry.contentType }, body: await this.metrics.registry.metrics() };
  }

  /**
   * Answers a request to /admin or /set-delay.
   * @param {Incoming} request
   * @returns {Promise<NonNullable<Answer>>}
   */
  async control(request) {
    if (!this.token) return errorAnswer(403, 'control is off: the service has no token');
    const given = valueOf(request.headers, 'microsim-token', 8192) || /^Bearer (.*)$/.exec(valueOf(request.headers, 'authorization', 8192))?.[1] || '';
    if (!same(given, this.token)) return errorAnswer(401, "control needs the header Authorization: Bearer with the system's token");
    try {
      return await this.#control(request);
    } catch (error) {
      return errorAnswer(400, message(error));
    }
  }

  /**
   * @param {Incoming} request
   * @returns {Promise<NonNullable<Answer>>}
   */
  async #control({ method, path, body }) {
    const id = path.startsWith('/admin/faults/') ? decodeURIComponent(path.slice('/admin/faults/'.length)) : '';
    const done = { status: 204, headers: {}, body: '' };
    switch (id ? `${method} /admin/faults/ID` : `${method} ${path}`) {
      case 'GET /admin/faults':
        return jsonAnswer(this.faults.list());
      case 'PUT /admin/faults/ID':
        this.faults.add(id, JSON.parse(body.toString('utf8')));
        return done;
      case 'DELETE /admin/faults/ID':
        this.faults.clear(id);
        return done;
      case 'GET /admin/peers/unreachable':
        return jsonAnswer(await this.peers.unreachable());
      case 'PUT /admin/peers':
        this.peers.set(JSON.parse(body.toString('utf8')));
        return done;
      case 'POST /set-delay':
        return jsonAnswer({ payload: this.#setDelay(JSON.parse(body.toString('utf8'))) });
    }
    return errorAnswer(404, `there is no ${method} ${JSON.stringify(path.slice(0, 128))}`);
  }

  /** @param {unknown} request in VECROsim's format */
  #setDelay(request) {
    const { delay, jitter: given } = only(request, 'the request', ['delay', 'jitter']);
    const jitter = given ?? delay / 10;
    const day = 24 * 3600e3;
    if (!(typeof delay === 'number' && delay >= 0 && delay <= day && jitter >= 0 && jitter <= day)) throw new Error(`delay ${delay} and jitter ${jitter} must be 0 to ${day} milliseconds`);
    if (delay === 0 && jitter === 0) this.faults.clear('set-delay');
    else this.faults.add('set-delay', { fault: { type: 'latency', args: { delay: `${delay}ms`, ...(jitter && { jitter: `${jitter}ms` }) } } });
    return `delay set to ${delay} ms with jitter ${jitter} ms`;
  }

  /** Ends all that waits. */
  close() {
    this.stopping.abort();
    this.faults.clearAll();
    this.sender.close();
  }
}

/**
 * @param {string[]} methods
 * @param {string} path
 */
function allowed(methods, path) {
  const list = new Set(methods.includes('') ? ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'] : methods);
  if (path === '/') list.add('POST'); // chains
  return [...list].sort().join(', ');
}

/**
 * @param {string} given
 * @param {string} wanted
 */
function same(given, wanted) {
  const a = Buffer.from(given), b = Buffer.from(wanted);
  return a.length === b.length && timingSafeEqual(a, b);
}

/** @param {unknown} value */
function jsonAnswer(value) {
  return { status: 200, headers: { 'content-type': JSON_TYPE }, body: `${JSON.stringify(value)}\n` };
}

/**
 * @param {number} status
 * @param {string} text
 * @returns {{ status: number, headers: Record<string, string>, body: string }}
 */
export function errorAnswer(status, text) {
  return { status, headers: { 'content-type': JSON_TYPE }, body: `${JSON.stringify({ error: text })}\n` };
}

/**
 * @param {number} status
 * @param {string} body
 */
function textAnswer(status, body) {
  let type = JSON_TYPE;
  try {
    JSON.parse(body);
  } catch {
    type = 'text/plain; charset=utf-8';
  }
  return { status, headers: { 'content-type': type }, body };
}

/**
 * Inverts every 64th byte, so that the length stays and no reader takes it for good.
 * @param {Buffer} body
 */
function damage(body) {
  for (let i = 0; i < body.length; i += 64) body[i] = ~(body[i] ?? 0) & 0xff;
  return body;
}
