// What a service decides for one request: which faults act, how long it works,
// whom it calls, what it answers. Nothing here waits, works or sends.

import { Delay, parseDuration, parseSize } from './dist.js';

/** @typedef {import('./dist.js').Key} Key */
/** @typedef {import('./chain.js').Chain} Chain */
/** @typedef {import('./chain.js').ChainFault} ChainFault */

/**
 * One thing that is done for a request; which fields count follows from the kind.
 * @typedef {object} Op
 * @property {'sleep' | 'cpu' | 'units' | 'io' | 'hold' | 'leak' | 'call' | 'route' | 'parallel' | 'fail' | 'abort' | 'hang' | 'corrupt' | 'respond'} kind
 * @property {number} [ns]
 * @property {number} [bytes]
 * @property {number} [units]
 * @property {number} [cores]
 * @property {number} [status]
 * @property {number} [index]
 * @property {Call} [call]
 * @property {Chain} [route]
 * @property {ActiveFault} [fault]
 * @property {Op[][]} [branches]
 */

/**
 * @typedef {object} Call
 * @property {string} to
 * @property {string} method
 * @property {string} path
 * @property {number} requestBytes
 * @property {number} timeout in nanoseconds; 0 means none
 * @property {boolean} ignore
 * @property {Record<string, { status: number, body?: string }>} answers
 */

/** @typedef {{ op: Op, n: number, chance: number, delay?: Delay, branches?: Step[][] }} Step */

/** Fields of a System that need a runtime of level L3. */
const ABOVE = /** @type {const} */ ({
  service: ['workers', 'backlog', 'shed', 'store'],
  endpoint: ['require'],
  call: ['retry', 'breaker', 'bulkhead', 'rateLimit', 'hedge', 'fallback'],
});

/**
 * Refuses what this runtime cannot do, rather than leave it out.
 * @param {string} where
 * @param {any} from
 * @param {readonly string[]} fields
 */
function refuse(where, from, fields) {
  for (const field of fields) {
    if (from[field]) throw new Error(`${where}: ${field} needs a runtime of level L3, this one has L2`);
  }
}

/** @param {string} text */
const hasNames = (text) => /\{[A-Za-z_][A-Za-z0-9_-]*\}/.test(text);

/** An endpoint, compiled for deciding. */
export class Endpoint {
  /** @param {any} from an endpoint of a System */
  constructor(from) {
    /** @type {string} */
    this.path = from.path ?? '/';
    /** @type {string} */
    this.method = from.method ?? '';
    refuse(`endpoint ${this.path}`, from, ABOVE.endpoint);
    this.status = from.response?.status || 200;
    /** @type {string} */
    this.body = from.response?.body ?? '';
    this.bytes = parseSize(from.response?.size);
    this.timeout = parseDuration(from.timeout);
    this.errorRate = Number(from.errorRate ?? 0);
    this.errorStatus = from.errorStatus || 500;
    if (hasNames(this.path) || hasNames(this.body)) throw new Error(`endpoint ${this.path}: names in braces need a runtime of level L3, this one has L2`);
    this.stepCount = 0;
    this.callCount = 0;
    this.steps = this.#compile(from.steps ?? []);
  }

  /**
   * @param {any[]} list
   * @returns {Step[]}
   */
  #compile(list) {
    /** @type {Step[]} */
    const steps = [];
    /** @type {(op: Op, more?: Partial<Step>) => void} */
    const add = (op, more) => void steps.push({ op, n: this.stepCount++, chance: 1, ...more });
    for (const from of list) {
      const { work, call, parallel } = from;
      if (work) {
        const sleep = new Delay(work.sleep), cpu = new Delay(work.cpu), io = parseSize(work.io), memory = parseSize(work.memory);
        if (!sleep.isZero) add({ kind: 'sleep' }, { delay: sleep });
        if (!cpu.isZero) add({ kind: 'cpu', cores: 1 }, { delay: cpu });
        if (work.cpuUnits > 0) add({ kind: 'units', units: work.cpuUnits });
        if (io > 0) add({ kind: 'io', bytes: io });
        if (memory > 0) add({ kind: 'hold', bytes: memory });
      }
      if (call) {
        const compiled = compileCall(call);
        for (let i = 0; i < Math.max(call.count ?? 1, 1); i++) {
          add({ kind: 'call', call: compiled, index: this.callCount++ }, { chance: Number(call.probability ?? 1) });
        }
      }
      if (parallel?.length > 0) {
        const n = this.stepCount++;
        steps.push({ op: { kind: 'parallel' }, n, chance: 1, branches: parallel.map((/** @type {any} */ step) => this.#compile([step])) });
      }
    }
    return steps;
  }

  /**
   * The program of one request.
   * @param {Key} key
   * @param {string} from
   * @param {FaultSet} faults
   * @returns {Op[]}
   */
  decide(key, from, faults) {
    const ops = faults.decide(key, from, this.path);
    if (ends(ops)) return ops;
    if (this.errorRate > 0 && key.with('error').chance(this.errorRate)) return [...ops, { kind: 'fail', status: this.errorStatus }];
    return [...ops, ...decideSteps(this.steps, key.with('step')), { kind: 'respond', status: this.status }];
  }
}

/**
 * @param {any} from
 * @returns {Call}
 */
function compileCall(from) {
  refuse(`call of ${from.to}`, from, ABOVE.call);
  const path = from.endpoint || '/';
  if (hasNames(path)) throw new Error(`call of ${from.to}: names in braces need a runtime of level L3, this one has L2`);
  return {
    to: from.to, method: from.method || 'GET', path, requestBytes: parseSize(from.requestSize),
    timeout: parseDuration(from.timeout), ignore: from.onError === 'ignore', answers: from.answers ?? {},
  };
}

/**
 * @param {Step[]} steps
 * @param {Key} key
 * @returns {Op[]}
 */
function decideSteps(steps, key) {
  /** @type {Op[]} */
  const ops = [];
  for (const { op, n, chance, delay, branches } of steps) {
    if (chance < 1 && !key.withInt(n).with('chance').chance(chance)) continue;
    if (delay) ops.push({ ...op, ns: delay.quantile ? delay.draw(key.withInt(n)) : delay.fixed });
    else if (branches) ops.push({ ...op, branches: branches.map((branch) => decideSteps(branch, key)) });
    else ops.push(op);
  }
  return ops;
}

/** @param {Op[]} ops */
function ends(ops) {
  const last = ops.at(-1)?.kind;
  return last === 'fail' || last === 'abort' || last === 'respond';
}

/**
 * The program of a chain at one service.
 * @param {Chain} chain
 * @param {Key} key
 * @param {string} from
 * @param {FaultSet} faults
 * @returns {Op[]}
 */
export function decideChain(chain, key, from, faults) {
  const ops = faults.decide(key, from, '/');
  if (ends(ops)) return ops;
  ops.push(...chainFaults(chain.before, key.with('before')));
  if (ends(ops)) return ops;
  chain.routes.forEach((route, index) => ops.push({ kind: 'route', route, index }));
  ops.push(...chainFaults(chain.after, key.with('after')));
  if (!ends(ops)) ops.push({ kind: 'respond', status: 200 });
  return ops;
}

/**
 * @param {ChainFault[]} faults
 * @param {Key} key
 */
function chainFaults(faults, key) {
  /** @type {Op[]} */
  const ops = [];
  for (const [i, f] of faults.entries()) {
    if (f.type === 'error' && !key.withInt(i).chance(f.rate)) continue;
    ops.push({ kind: kindOf(f.type), ns: Math.max(f.delay, f.duration), bytes: f.size, cores: f.cores, status: f.status });
    if (ends(ops)) break;
  }
  return ops;
}

/** The order in which faults act. From abort on, the first ends the request. */
const ORDER = ['memory-leak', 'latency', 'cpu', 'io', 'corrupt', 'hang', 'abort', 'panic', 'error'];

/** The types of faults that act in a service. */
export const FAULT_TYPES = [...ORDER, 'unreachable'];

/**
 * @param {string} type
 * @returns {Op['kind']}
 */
function kindOf(type) {
  switch (type) {
    case 'latency': return 'sleep';
    case 'memory-leak': return 'leak';
    case 'error': return 'fail';
    case 'panic': return 'abort';
    default: return /** @type {Op['kind']} */ (type);
  }
}

/**
 * A fault that acts, with all that is counted and told of it.
 * @typedef {object} ActiveFault
 * @property {string} id
 * @property {any} fault as control has it
 * @property {Delay} delay
 * @property {number} hold in nanoseconds
 * @property {number} size in bytes
 * @property {number} cores
 * @property {number} status
 * @property {number} probability
 * @property {string} since
 * @property {string} [deadline]
 * @property {number} hits
 * @property {AbortController} cleared
 * @property {NodeJS.Timeout} [timer]
 */

/** The faults that act on one replica, in the order in which they act. */
export class FaultSet {
  /**
   * @param {number} replica
   * @param {ActiveFault[]} active
   */
  constructor(replica, active) {
    const here = active.filter(({ fault }) => fault.type !== 'unreachable' && (!fault.target?.replica || fault.target.replica === replica));
    this.faults = here.sort((a, b) => ORDER.indexOf(a.fault.type) - ORDER.indexOf(b.fault.type));
    this.unreachable = active.filter(({ fault }) => fault.type === 'unreachable');
  }

  /**
   * @param {Key} key
   * @param {string} from
   * @param {string} path
   * @returns {Op[]}
   */
  decide(key, from, path) {
    /** @type {Op[]} */
    const ops = [];
    for (const f of this.faults) {
      const target = f.fault.target ?? {};
      if ((target.from && target.from !== from) || (target.endpoint && target.endpoint !== path)) continue;
      const k = key.with('fault').with(f.id);
      if (!k.chance(f.probability)) continue;
      const kind = kindOf(f.fault.type);
      ops.push({ kind, fault: f, status: f.status, bytes: f.size, cores: f.cores, ns: kind === 'sleep' ? f.delay.draw(k.with('delay')) : f.hold });
      if (ends(ops)) break;
    }
    return ops;
  }

  /**
   * The fault that lets a call fail at once, if one does.
   * @param {Key} key
   * @param {string} from
   * @param {string} to
   * @param {string} path
   * @param {number} replica the callee's, from 1
   * @param {number} index
   */
  unreachableBy(key, from, to, path, replica, index) {
    return this.unreachable.find(({ id, fault, probability }) => {
      const target = fault.target ?? {};
      return target.service === to && (!target.from || target.from === from) && (!target.replica || target.replica === replica) &&
        (!target.endpoint || target.endpoint === path) && key.with('fault').with(id).withInt(index).withInt(1).chance(probability);
    });
  }
}
