// The faults that control has let act.

import { Delay, parseDuration, parseSize } from './dist.js';
import { FAULT_TYPES, FaultSet } from './decide.js';
import { Memory } from './work.js';

/** @typedef {import('./decide.js').ActiveFault} ActiveFault */

/** The arguments of each type: those that it needs, then those it may have. */
const ARGUMENTS = /** @type {Record<string, [string[], string[]]>} */ ({
  latency: [['delay'], ['jitter']], error: [[], ['status']], abort: [[], []], hang: [[], []], corrupt: [[], []],
  'memory-leak': [['size'], ['hold']], cpu: [['hold'], ['cores']], io: [['size'], []], panic: [[], []], unreachable: [[], []],
});

const MAX_IO = 1024 ** 3;

export class FaultBoard {
  /**
   * @param {string} service
   * @param {number} replica
   */
  constructor(service, replica) {
    this.service = service;
    this.replica = replica;
    /** @type {ActiveFault[]} */
    this.running = [];
    this.set = new FaultSet(replica, []);
  }

  /**
   * Lets a fault act, in place of one with the same id.
   * @param {string} id
   * @param {unknown} request as control.FaultRequest
   */
  add(id, request) {
    if (id === '' || id.length > 128) throw new Error('the id of a fault has 1 to 128 characters');
    const { fault, deadline } = only(request, 'the request', ['fault', 'deadline']);
    const active = this.#read(id, fault);
    if (deadline !== undefined && !String(deadline).startsWith('0001-')) {
      const left = Date.parse(deadline) - Date.now();
      if (!(left > 0)) throw new Error(`its deadline ${JSON.stringify(deadline)} is over`);
      active.deadline = deadline;
      active.timer = setTimeout(() => this.#end(active), Math.min(left, 2 ** 31 - 1)).unref();
    }
    this.clear(id);
    if (this.running.length >= 200) throw new Error('200 faults act already, the most possible');
    this.#publish([...this.running, active]);
  }

  /** @param {string} id */
  clear(id) {
    for (const f of this.running.filter((other) => other.id === id)) this.#end(f);
  }

  clearAll() {
    for (const f of this.running) this.#end(f);
  }

  /** As control lists them. */
  list() {
    return this.running.map(({ id, fault, since, deadline, hits }) => ({ id, fault, since, ...(deadline && { deadline }), replicas: [`${this.service}/${this.replica}`], hits }));
  }

  /** How many faults act, by type. */
  counts() {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const { fault } of this.running) counts.set(fault.type, (counts.get(fault.type) ?? 0) + 1);
    return counts;
  }

  /** @param {ActiveFault} fault */
  #end(fault) {
    clearTimeout(fault.timer);
    this.#publish(this.running.filter((other) => other !== fault));
    fault.cleared.abort();
  }

  /** @param {ActiveFault[]} running */
  #publish(running) {
    this.running = running;
    this.set = new FaultSet(this.replica, running);
  }

  /**
   * @param {string} id
   * @param {any} v
   * @returns {ActiveFault}
   */
  #read(id, v) {
    const { type, target = {}, probability = 1, args = {} } = only(v, 'the fault', ['name', 'type', 'target', 'start', 'duration', 'probability', 'args', 'rounds']);
    const known = Object.hasOwn(ARGUMENTS, type) ? ARGUMENTS[type] : undefined;
    if (!known) throw new Error(`fault type ${JSON.stringify(type)} does not act in a service: use one of ${FAULT_TYPES.join(', ')}`);
    only(target, 'the target', ['service', 'replica', 'endpoint', 'from', 'direction']);
    if (type === 'unreachable' ? target.from && target.from !== this.service : target.service && target.service !== this.service) {
      throw new Error(`its target is ${JSON.stringify(target)}, this is service ${JSON.stringify(this.service)}`);
    }
    if (typeof probability !== 'number' || !(probability >= 0 && probability <= 1)) throw new Error(`probability ${probability} is not between 0 and 1`);
    only(args, `the arguments of ${type}`, known.flat());
    for (const name of known[0]) {
      if (args[name] === undefined) throw new Error(`fault type ${type} needs ${name}`);
    }
    const size = parseSize(args.size), delay = new Delay(args.delay), jitter = parseDuration(args.jitter);
    if (size > (type === 'io' ? MAX_IO : Memory.MAX)) throw new Error(`size ${args.size} is out of range`);
    const status = args.status ?? 500;
    if (!Number.isInteger(status) || status < 400 || status > 599) throw new Error(`status ${status} is not an error status`);
    const fault = { ...v, target: type === 'unreachable' ? target : { ...target, service: this.service }, probability };
    return {
      id, fault, probability, size, status, cores: coresOf(args.cores ?? 1), hits: 0, since: new Date().toISOString(), cleared: new AbortController(),
      delay: jitter ? Delay.jittered(delay.fixed, jitter) : delay, hold: args.hold === undefined ? 10e9 : parseDuration(args.hold),
    };
  }
}

/**
 * Reads a number of processors such as 2, 0.5 or 500m.
 * @param {unknown} text
 */
function coresOf(text) {
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(String(text));
  if (!match) throw new Error(`${JSON.stringify(text)} is no number of processors: write one such as 2 or 500m`);
  return Number(match[1]) / (match[2] ? 1000 : 1);
}

/**
 * Returns v if it is an object that has none but the fields.
 * @param {any} v
 * @param {string} what
 * @param {string[]} fields
 * @returns {any}
 */
export function only(v, what, fields) {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) throw new Error(`${what} is no object`);
  for (const key of Object.keys(v)) {
    if (!fields.includes(key)) throw new Error(`${what} has an unknown field ${JSON.stringify(key)}: use ${fields.join(', ')}`);
  }
  return v;
}
