// MicroSim's requests that carry their own route and faults.

/**
 * @typedef {{ type: string, delay: number, duration: number, size: number, cores: number, status: number, rate: number }} ChainFault
 * Times are in nanoseconds, sizes in bytes, the rate is 0 to 1.
 * @typedef {{ designation: string, before: ChainFault[], after: ChainFault[], routes: Chain[], document: object }} Chain
 * The document is what is sent on.
 * @typedef {{ depth: number, nodes: number, fanOut: number, faults: number, body: number, leak: number }} Limits
 */

/** The arguments of each type of fault: those that it needs, then those it may have. */
const ARGUMENTS = /** @type {Record<string, [string[], string[]]>} */ ({
  latency: [['delay'], []],
  'memory-leak': [['size', 'duration'], []],
  cpu: [['duration'], ['cores']],
  io: [['size'], []],
  error: [[], ['status', 'rate']],
  abort: [[], []],
  hang: [[], []],
  corrupt: [[], []],
  panic: [[], []],
});

const MEGA = 1024 * 1024;
const DAY_MS = 24 * 3600e3;
const MAX_PROBLEMS = 20;

/** A chain that is refused, with a text for each mistake. */
export class ChainRefused extends Error {
  /**
   * @param {string[]} texts
   * @param {number} [status]
   */
  constructor(texts, status = 400) {
    super(texts.join('; '));
    this.texts = texts;
    this.status = status;
  }
}

/**
 * Reads a chain. Nothing of one with a mistake is run.
 * @param {Buffer} body
 * @param {Limits} limits
 * @returns {Chain}
 */
export function parseChain(body, limits) {
  if (body.length > limits.body) throw new ChainRefused([`the chain has more than the ${limits.body} bytes possible`], 413);
  let document;
  try {
    document = JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new ChainRefused([`reading a chain: ${body.length === 0 ? 'it is empty' : /** @type {Error} */ (error).message}`]);
  }
  const parser = new Parser(limits);
  const chain = parser.chain(document, '', 1);
  if (parser.problems.length > 0) throw new ChainRefused(parser.problems);
  return chain;
}

class Parser {
  /** @param {Limits} limits */
  constructor(limits) {
    this.limits = limits;
    this.nodes = 0;
    /** @type {string[]} */
    this.problems = [];
  }

  /**
   * @param {string} path
   * @param {string} text
   */
  add(path, text) {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(path ? `${path}: ${text}` : text);
  }

  /**
   * Reports whether v is an object that has none but the fields.
   * @param {any} v
   * @param {string} path
   * @param {string[]} fields
   */
  object(v, path, fields) {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) {
      this.add(path, 'write an object');
      return false;
    }
    for (const key of Object.keys(v)) {
      if (!fields.includes(key)) this.add(join(path, key), `unknown field ${JSON.stringify(key)}`);
    }
    return true;
  }

  /**
   * @param {any} v
   * @param {string} path
   * @param {number} depth
   * @returns {Chain}
   */
  chain(v, path, depth) {
    /** @type {Chain} */
    const chain = { designation: '', before: [], after: [], routes: [], document: v };
    if (depth > this.limits.depth) {
      this.add(path, `the chain is deeper than the ${this.limits.depth} services possible`);
      return chain;
    }
    if (++this.nodes > this.limits.nodes) {
      if (this.nodes === this.limits.nodes + 1) this.add('', `the chain has more than the ${this.limits.nodes} services possible`);
      return chain;
    }
    if (!this.object(v, path, ['designation', 'probability', 'faults', 'routes'])) return chain;
    if (typeof v.designation !== 'string' || v.designation === '') this.add(join(path, 'designation'), 'there is no designation');
    else if (v.designation.startsWith('http') && /[\u0000-\u0020\u007f]/.test(v.designation)) this.add(join(path, 'designation'), 'a URL has no spaces or control characters');
    else chain.designation = v.designation;
    if (v.probability !== undefined && v.probability !== null) this.number(v.probability, join(path, 'probability'), 0, 100);
    this.faults(v.faults ?? {}, join(path, 'faults'), chain);
    this.routes(v.routes ?? [], join(path, 'routes'), depth, chain);
    chain.document = compact(v);
    return chain;
  }

  /**
   * @param {any} v
   * @param {string} path
   * @param {Chain} chain
   */
  faults(v, path, chain) {
    if (!this.object(v, path, ['before', 'after'])) return;
    const count = (v.before?.length ?? 0) + (v.after?.length ?? 0);
    if (count > this.limits.faults) {
      this.add(path, `${count} faults are more than the ${this.limits.faults} possible at one service`);
      return;
    }
    for (const when of /** @type {const} */ (['before', 'after'])) {
      const list = v[when] ?? [];
      if (!Array.isArray(list)) this.add(join(path, when), 'write a list');
      else chain[when] = list.map((f, i) => this.fault(f, `${join(path, when)}[${i}]`));
    }
  }

  /**
   * @param {any} v
   * @param {string} path
   * @param {number} depth
   * @param {Chain} chain
   */
  routes(v, path, depth, chain) {
    if (!Array.isArray(v)) {
      this.add(path, 'write a list');
    } else if (v.length > this.limits.fanOut) {
      this.add(path, `${v.length} routes are more than the ${this.limits.fanOut} possible at one service`);
    } else {
      chain.routes = v.map((route, i) => this.chain(route, `${path}[${i}]`, depth + 1));
    }
  }

  /**
   * @param {any} v
   * @param {string} path
   * @returns {ChainFault}
   */
  fault(v, path) {
    const fault = { type: '', delay: 0, duration: 0, size: 0, cores: 1, status: 500, rate: 1 };
    if (!this.object(v, path, ['type', 'args'])) return fault;
    if (typeof v.type !== 'string' || v.type === '') {
      this.add('', 'fault type was not defined');
      return fault;
    }
    fault.type = v.type;
    const known = Object.hasOwn(ARGUMENTS, v.type) ? ARGUMENTS[v.type] : undefined;
    if (!known) {
      this.add('', `fault type ${v.type.slice(0, 64)}, is not implemented`);
      return fault;
    }
    this.args(v.args ?? {}, `${path}.args`, fault, known);
    return fault;
  }

  /**
   * @param {any} v
   * @param {string} path
   * @param {ChainFault} fault
   * @param {[string[], string[]]} known
   */
  args(v, path, fault, [needs, may]) {
    if (!this.object(v, path, ['delay', 'size', 'duration', 'cores', 'status', 'rate'])) return;
    for (const name of needs) {
      if (v[name] === undefined || v[name] === null) this.add(join(path, name), `fault type ${fault.type} needs ${name}`);
    }
    const maxSize = (fault.type === 'io' ? 1024 * MEGA : this.limits.leak) / MEGA;
    for (const [name, value] of Object.entries(v)) {
      const at = join(path, name);
      if (value === null) continue;
      if (!needs.includes(name) && !may.includes(name)) {
        this.add(at, `fault type ${fault.type} takes no ${name}`);
        continue;
      }
      switch (name) {
        case 'delay': fault.delay = this.number(value, at, 0, DAY_MS) * 1e6; break;
        case 'duration': fault.duration = this.number(value, at, 0, DAY_MS) * 1e6; break;
        case 'cores': fault.cores = this.number(value, at, 0, 1024); break;
        case 'rate': fault.rate = this.number(value, at, 0, 100) / 100; break;
        case 'status':
          fault.status = this.number(value, at, 400, 599);
          if (!Number.isInteger(fault.status)) this.add(at, `${value} is no status`);
          break;
        case 'size':
          if (typeof value === 'number' && value > maxSize) this.add(at, `${value} MB are more than the ${maxSize} MB possible`);
          else fault.size = Math.trunc(this.number(value, at, 0, maxSize) * MEGA);
      }
    }
  }

  /**
   * @param {any} v
   * @param {string} path
   * @param {number} lo
   * @param {number} hi
   */
  number(v, path, lo, hi) {
    if (typeof v !== 'number' || !(v >= lo && v <= hi)) {
      this.add(path, `${JSON.stringify(v)} is out of range: the range is ${lo} to ${hi}`);
      return lo;
    }
    return v;
  }
}

/**
 * What is sent on of a chain: all but what is null.
 * @param {any} v
 * @returns {any}
 */
function compact(v) {
  return JSON.parse(JSON.stringify(v, (_, value) => (value === null ? undefined : value)));
}

/**
 * @param {string} path
 * @param {string} name
 */
function join(path, name) {
  return path ? `${path}.${name}` : name;
}
