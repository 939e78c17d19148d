// Keys by which every random decision is made, and the distributions of delays.
// A key follows from the seed and the names of what decides, so all runtimes
// decide alike; testdata/vectors.json of the project has examples.

import { exp, log, log1p, normalQuantile } from './exact.js';

const GOLDEN = 0x9e3779b97f4a7c15n;

/** @param {bigint} n */
const u64 = (n) => BigInt.asUintN(64, n);

/**
 * The output function of SplitMix64.
 * @param {bigint} z
 */
function mix(z) {
  z = u64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = u64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

const encoder = new TextEncoder();

/** A key names one random decision. */
export class Key {
  /** @param {bigint} value */
  constructor(value) {
    this.value = value;
  }

  /** @param {bigint} seed */
  static seed(seed) {
    return new Key(mix(u64(seed + GOLDEN)));
  }

  /**
   * The key of something that has a name.
   * @param {string} name
   */
  with(name) {
    const bytes = encoder.encode(name);
    let h = this.value ^ 14695981039346656037n;
    for (const byte of bytes) h = u64((h ^ BigInt(byte)) * 1099511628211n);
    return new Key(mix(u64(h + BigInt(bytes.length))));
  }

  /**
   * The key of something that has a number.
   * @param {number} n
   */
  withInt(n) {
    const rotated = u64(this.value << 25n) | (this.value >> 39n);
    return new Key(mix(rotated ^ mix(u64(BigInt(n) + GOLDEN))));
  }

  uint64() {
    return mix(u64(this.value + GOLDEN));
  }

  /** Uniform in [0, 1). */
  float64() {
    return Number(this.uint64() >> 11n) / 2 ** 53;
  }

  /**
   * Uniform in 0..n-1.
   * @param {number} n
   */
  intN(n) {
    return Number((this.uint64() * BigInt(n)) >> 64n);
  }

  /**
   * Whether something of probability p happens.
   * @param {number} p
   */
  chance(p) {
    return p > 0 && this.float64() < p;
  }
}

const MAX_DELAY = 24 * 3600e9;
const Z99 = 2.3263478740408408;
/** @type {Record<string, bigint>} */
const UNITS = { ns: 1n, us: 1000n, 'µs': 1000n, 'μs': 1000n, ms: 1000000n, s: 1000000000n, m: 60000000000n, min: 60000000000n, h: 3600000000000n, d: 86400000000000n };

/**
 * Reads a duration such as 1m30s, in nanoseconds.
 * @param {unknown} text
 * @returns {number}
 */
export function parseDuration(text) {
  if (text === undefined || text === null || text === '' || text === '0') return 0;
  const match = typeof text === 'string' ? /^(-?)((?:\d+(?:\.\d+)?[a-zµμ]+)+)$/.exec(text) : null;
  if (!match) throw new Error(`invalid duration ${JSON.stringify(text)}: write a number with a unit, such as 300ms or 1m30s`);
  let total = 0n;
  for (const [, whole, , fraction = '', unit] of /** @type {string} */ (match[2]).matchAll(/(\d+)(\.(\d+))?([a-zµμ]+)/g)) {
    const length = UNITS[/** @type {string} */ (unit)];
    if (length === undefined) throw new Error(`invalid duration ${JSON.stringify(text)}: ${unit} is not a unit`);
    total += (BigInt(whole + fraction) * length) / 10n ** BigInt(fraction.length);
  }
  return Number(match[1] ? -total : total);
}

/**
 * Reads a size such as 64Ki, in bytes.
 * @param {unknown} text
 * @returns {number}
 */
export function parseSize(text) {
  if (text === undefined || text === null) return 0;
  const match = /^(\d+(?:\.\d+)?)(|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)$/.exec(String(text));
  if (!match) throw new Error(`invalid size ${JSON.stringify(text)}: write a number of bytes, such as 512 or 64Ki`);
  const [, number, suffix = ''] = match;
  const power = 'kMGTP'.indexOf(suffix.charAt(0).replace('K', 'k')) + 1;
  return Math.trunc(Number(number) * (suffix.endsWith('i') ? 1024 : 1000) ** (suffix ? power : 0));
}

/**
 * A distribution as a System has it: a duration, or an object with one field.
 * @typedef {string | Record<string, any> | undefined} DelayText
 */

/** A distribution of durations, in nanoseconds. */
export class Delay {
  /** @param {DelayText} from */
  constructor(from) {
    this.fixed = 0;
    /** @type {((p: number) => number) | undefined} */
    this.quantile = undefined;
    if (typeof from === 'object' && from !== null && from.fixed === undefined) this.quantile = quantileOf(from);
    else this.fixed = parseDuration(typeof from === 'object' && from !== null ? from.fixed : from);
    this.isZero = this.fixed === 0 && !this.quantile;
  }

  /**
   * The duration that the key decides.
   * @param {Key} key
   */
  draw(key) {
    if (!this.quantile) return Math.min(this.fixed, MAX_DELAY);
    return Math.trunc(Math.min(Math.max(this.quantile(key.float64()), 0), MAX_DELAY));
  }

  /**
   * A delay that is uniform around another.
   * @param {number} delay
   * @param {number} jitter
   */
  static jittered(delay, jitter) {
    const d = new Delay(undefined);
    if (jitter === 0) d.fixed = delay;
    else d.quantile = (p) => p * (delay + jitter - (delay - jitter)) + (delay - jitter);
    d.isZero = delay === 0 && jitter === 0;
    return d;
  }
}

/**
 * @param {Record<string, any>} from
 * @returns {(p: number) => number}
 */
function quantileOf(from) {
  const [kind, ...others] = Object.keys(from);
  if (!kind || others.length > 0) throw new Error(`expected one distribution, got ${JSON.stringify(from)}`);
  const v = from[kind];
  switch (kind) {
    case 'uniform': {
      const lo = parseDuration(v.min), hi = parseDuration(v.max);
      return (p) => p * (hi - lo) + lo;
    }
    case 'normal': {
      const mean = parseDuration(v.mean), deviation = parseDuration(v.stddev);
      return (p) => deviation * normalQuantile(p) + mean;
    }
    case 'lognormal': {
      const mu = log(parseDuration(v.p50));
      const sigma = (log(parseDuration(v.p99)) - mu) / Z99;
      return (p) => exp(sigma * normalQuantile(p) + mu);
    }
    case 'exponential': {
      const mean = parseDuration(v.mean);
      return (p) => -mean * log1p(-p);
    }
    case 'pareto': {
      const min = parseDuration(v.min);
      return (p) => min * exp(-log1p(-p) / v.alpha);
    }
    case 'empirical': {
      const values = /** @type {unknown[]} */ (v).map(parseDuration);
      return (p) => values[Math.min(Math.trunc(p * values.length), values.length - 1)] ?? 0;
    }
  }
  throw new Error(`distribution ${JSON.stringify(kind)} is not known`);
}
