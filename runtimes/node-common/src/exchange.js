// One request being answered: does what was decided.

import { STATUS_CODES } from 'node:http';
import { CallError } from './calls.js';
import { burnCores, burnTime, burnUnits, sleep, writeAndSync } from './work.js';
import { traceparent, valueOf } from './identity.js';

/** @typedef {import('./decide.js').Op} Op */
/** @typedef {import('./service.js').Service} Service */

/**
 * How a request, or a branch of it, ends.
 * @typedef {{ kind: 'respond' } | { kind: 'abort' } | { kind: 'fail', status: number, text: string, body?: string }} Ending
 */

const KEEP = 64 * 1024;
const MAX_ANSWERS = 16 * 1024 * 1024;
const TIME_OVER = /** @type {const} */ ({ kind: 'fail', status: 504, text: 'the time of the request is over' });

export class Exchange {
  /**
   * @param {Service} service
   * @param {import('./service.js').Incoming} request
   * @param {{ id: string, hop: string, from: string }} who
   * @param {number} deadline of performance.now()
   * @param {boolean} chain
   */
  constructor(service, request, who, deadline, chain) {
    this.service = service;
    this.request = request;
    this.who = who;
    this.key = service.keyOf(who);
    this.deadline = deadline;
    this.chain = chain;
    this.faults = service.faults.set;
    /** @type {string[]} What went wrong in a chain that goes on. */
    this.notes = [];
    /** @type {(string | undefined)[]} The documents of the routes, by index. */
    this.documents = [];
    /** @type {string[]} */
    this.times = [];
    this.answered = 0;
    this.degraded = 0;
    this.corrupt = false;
    /** @type {(() => void)[]} */
    this.held = [];
  }

  /** Gives back what the request has held. */
  release() {
    for (const free of this.held) free();
  }

  /**
   * Does the operations up to one that ends the request; undefined if none does.
   * @param {Op[]} ops
   * @returns {Promise<Ending | undefined>}
   */
  async run(ops) {
    for (const op of ops) {
      if (op.fault) op.fault.hits++;
      const ending = await this.#do(op);
      if (ending) return ending;
    }
    return undefined;
  }

  /**
   * @param {Op} op
   * @returns {Promise<Ending | undefined>}
   */
  async #do(op) {
    const { ns = 0, bytes = 0, status = 500 } = op;
    switch (op.kind) {
      case 'respond':
      case 'abort':
        return { kind: op.kind };
      case 'fail':
        return { kind: 'fail', status, text: `${status} by ${op.fault ? `fault ${op.fault.id}` : this.chain ? "the chain's fault" : "the service's error rate"}` };
      case 'corrupt':
        this.corrupt = true;
        return undefined;
      case 'leak':
        return this.#leak(op, bytes, ns);
      case 'hang':
        return this.#hang(op);
      case 'route':
        await this.#callRoute(op);
        return undefined;
      case 'call': {
        const ending = await this.#call(op);
        if (ending) return ending;
        break;
      }
      case 'parallel': {
        const endings = await Promise.all((op.branches ?? []).map((branch) => this.run(branch)));
        const first = endings.find(Boolean);
        if (first) return first;
        break;
      }
      case 'hold':
        try {
          this.held.push(this.service.memory.take(bytes));
        } catch (error) {
          return { kind: 'fail', status: 503, text: `memory: ${message(error)}` };
        }
        break;
      default: {
        const ending = await this.#work(op, ns, bytes);
        if (ending) return ending;
      }
    }
    return performance.now() >= this.deadline ? TIME_OVER : undefined;
  }

  /**
   * @param {Op} op
   * @param {number} ns
   * @param {number} bytes
   * @returns {Promise<Ending | undefined>}
   */
  async #work(op, ns, bytes) {
    switch (op.kind) {
      case 'sleep':
        await sleep(Math.min(ns, Math.max(this.deadline - performance.now(), 0) * 1e6), this.service.stopping.signal);
        break;
      case 'units':
        burnUnits(op.units ?? 0);
        break;
      case 'cpu':
        if (op.cores === 1) burnTime(ns);
        else await burnCores(op.cores ?? 1, ns);
        break;
      case 'io':
        try {
          await writeAndSync(bytes);
        } catch (error) {
          return this.#broke(op, `io: ${message(error)}`);
        }
    }
    return undefined;
  }

  /**
   * A chain notes what went wrong and goes on; an endpoint fails, unless it was a
   * fault that could not act.
   * @param {Op} op
   * @param {string} text
   * @returns {Ending | undefined}
   */
  #broke(op, text) {
    if (this.chain) {
      this.notes.push(text);
      this.degraded++;
      return undefined;
    }
    return op.fault ? undefined : { kind: 'fail', status: 500, text };
  }

  /**
   * @param {Op} op
   * @param {number} bytes
   * @param {number} ns
   */
  #leak(op, bytes, ns) {
    try {
      const free = this.service.memory.take(bytes);
      setTimeout(free, ns / 1e6).unref();
      return undefined;
    } catch (error) {
      return this.#broke(op, `memory-leak: ${message(error)}`);
    }
  }

  /**
   * Waits until the fault is cleared, the client leaves, or the service ends.
   * @param {Op} op
   * @returns {Promise<Ending | undefined>}
   */
  async #hang({ fault }) {
    const signals = [this.request.gone, this.service.stopping.signal, ...(fault ? [fault.cleared.signal] : [])];
    await new Promise((resolve) => {
      for (const signal of signals) {
        if (signal.aborted) resolve(undefined);
        signal.addEventListener('abort', resolve, { once: true });
      }
    });
    if (!fault?.cleared.signal.aborted) return { kind: 'abort' };
    return performance.now() >= this.deadline ? TIME_OVER : undefined;
  }

  /**
   * Sends one request to a replica of a service.
   * @param {string} to
   * @param {URL[]} urls
   * @param {number} index
   * @param {{ method: string, path?: string, body?: Buffer | string, contentType?: string, timeout?: number, keep: number, times?: string }} options
   */
  async #send(to, urls, index, { method, path, body, contentType, timeout = 0, keep, times }) {
    if (urls.length === 0) throw new CallError('connection_error', 'no address of it is known');
    const n = urls.length > 1 ? this.key.with('replica').withInt(index).intN(urls.length) : 0;
    const fault = this.faults.unreachableBy(this.key, this.service.name, to, path ?? '/', n + 1, index);
    if (fault) {
      fault.hits++;
      throw new CallError('connection_error', 'a fault lets nobody answer');
    }
    const url = /** @type {URL} */ (urls[n]);
    const { headers } = this.request;
    const left = this.deadline - performance.now();
    return this.service.sender.send(url, {
      method, path: path ?? url.pathname + url.search, body, keep,
      deadline: timeout > 0 ? Math.min(this.deadline, performance.now() + timeout / 1e6) : this.deadline,
      headers: given({
        host: url.host, 'x-request-id': this.who.id, traceparent: traceparent(headers), tracestate: headers.traceparent ? valueOf(headers, 'tracestate', 512) : '',
        'microsim-hop': this.who.hop ? `${this.who.hop}.${index}` : String(index), 'microsim-from': this.service.name, 'microsim-times': times,
        authorization: to === 'external' ? '' : valueOf(headers, 'authorization', 8192), 'content-type': contentType,
        'microsim-deadline': left < Infinity ? String(Math.max(Math.ceil(left), 0)) : '',
        'content-length': body ? String(Buffer.byteLength(body)) : method === 'GET' || method === 'HEAD' ? '' : '0',
      }),
    });
  }

  /**
   * @param {Op} op
   * @returns {Promise<Ending | undefined>}
   */
  async #call(op) {
    const { call, index = 0 } = op;
    if (!call) return undefined;
    const began = performance.now();
    const count = (/** @type {string} */ outcome, degraded = 0) => this.service.metrics.call(call.to, outcome, (performance.now() - began) / 1000, degraded);
    try {
      const body = call.requestBytes > 0 ? payload(call.requestBytes).body : undefined;
      const reply = await this.#send(call.to, this.service.peers.of(call.to), index, {
        method: call.method, path: encodeURI(call.path), timeout: call.timeout, keep: KEEP, ...(body && { body, contentType: 'application/octet-stream' }),
      });
      if (reply.status >= 400) throw new CallError('http_error', `it answered ${reply.status} ${STATUS_CODES[reply.status] ?? ''}`, reply.status);
      if (reply.contentType === 'application/json' && reply.whole && reply.body.length > 0 && !isJSON(reply.body)) throw new CallError('malformed', 'the answer is no JSON');
      count('ok', reply.degraded);
      this.degraded += reply.degraded;
      return undefined;
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      count(error.outcome);
      this.degraded++;
      const answer = call.answers[error.status] ?? call.answers[error.outcome] ?? call.answers.other;
      if (answer) return { kind: 'fail', status: answer.status, text: `calling ${call.to}: ${error.outcome}: ${error.message}`, ...(answer.body && { body: answer.body }) };
      if (call.ignore) return undefined;
      return { kind: 'fail', status: error.outcome === 'timeout' ? 504 : 502, text: `calling ${call.to}: ${error.outcome}: ${error.message}` };
    }
  }

  /**
   * Sends a route of a chain on, and keeps the document that came back.
   * @param {Op} op
   */
  async #callRoute({ route, index = 0 }) {
    if (!route) return;
    this.documents.push(undefined);
    this.times.push('');
    const began = performance.now();
    /** @type {string | undefined} */
    let name;
    /** @type {(outcome: string, degraded?: number) => void} */
    const count = (outcome, degraded = 0) => { if (name) this.service.metrics.call(name, outcome, (performance.now() - began) / 1000, degraded); };
    try {
      const located = this.service.peers.locate(route.designation);
      name = located.name;
      const reply = await this.#send(name, located.urls, index, {
        method: 'POST', body: JSON.stringify(route.document), contentType: 'application/json', keep: MAX_ANSWERS - this.answered + 1,
        times: valueOf(this.request.headers, 'microsim-times', 16384),
      });
      if (reply.status >= 400) throw new CallError('http_error', `it answered ${reply.status} ${STATUS_CODES[reply.status] ?? ''}${reasonOf(reply.body)}`);
      if (!reply.whole || this.answered + reply.body.length > MAX_ANSWERS) throw new CallError('malformed', `the answers of all routes have more than ${MAX_ANSWERS} bytes`);
      if (!isJSON(reply.body, 'object')) throw new CallError('malformed', 'the answer is no JSON object');
      count('ok', reply.degraded);
      this.answered += reply.body.length;
      this.degraded += reply.degraded;
      this.documents[this.documents.length - 1] = reply.body.toString('utf8');
      this.times[this.times.length - 1] = reply.times;
    } catch (error) {
      let text = message(error);
      if (error instanceof CallError) {
        count(error.outcome);
        if (error.outcome !== 'http_error') text = `${error.outcome}: ${text}`;
      }
      this.notes.push(`calling ${route.designation.slice(0, 128)}: ${text}`);
      this.degraded++;
    }
  }
}

/** @param {unknown} error */
export function message(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The headers that have a value.
 * @param {Record<string, string | undefined>} headers
 * @returns {Record<string, string>}
 */
function given(headers) {
  return /** @type {Record<string, string>} */ (Object.fromEntries(Object.entries(headers).filter(([, value]) => value)));
}

/**
 * @param {Buffer} body
 * @param {'object' | 'any'} [form]
 */
function isJSON(body, form = 'any') {
  try {
    const value = JSON.parse(body.toString('utf8'));
    return form === 'any' || (typeof value === 'object' && value !== null && !Array.isArray(value));
  } catch {
    return false;
  }
}

/** @param {Buffer} body */
function reasonOf(body) {
  try {
    const [first] = JSON.parse(body.toString('utf8')).errors;
    return first ? `: ${String(first).slice(0, 128)}` : '';
  } catch {
    return '';
  }
}

/**
 * A body of exactly so many bytes.
 * @param {number} bytes
 * @returns {{ body: Buffer, contentType: string }}
 */
export function payload(bytes) {
  if (bytes > 0 && bytes < 15) return { body: Buffer.alloc(bytes, '0'), contentType: 'text/plain' };
  return { body: Buffer.from(`{"payload":"${'0'.repeat(Math.max(bytes - 15, 0))}"}\n`), contentType: 'application/json' };
}
