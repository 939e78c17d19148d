// The work of a service. Node.js runs JavaScript on one thread, so a service that
// works on its processor answers nobody meanwhile, health checks included.

import { randomUUID } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

const CHUNK = 1024;
const UNIT_ROOTS = 32768;

/** @param {number} n */
function roots(n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += Math.sqrt(Math.random());
  return sum;
}

/**
 * Takes so many units of 32 768 square roots of random numbers.
 * @param {number} units
 */
export function burnUnits(units) {
  for (let left = Math.trunc(units * UNIT_ROOTS); left > 0; left -= CHUNK) roots(Math.min(left, CHUNK));
}

/** The processor time that this process has spent, in nanoseconds. */
function spent() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/**
 * Spends so much processor time, on the thread that answers requests.
 * @param {number} ns
 */
export function burnTime(ns) {
  const start = spent(), began = process.hrtime.bigint();
  // The threads of the engine spend time, too, so the clock must agree.
  while (spent() - start < ns || Number(process.hrtime.bigint() - began) < ns) roots(CHUNK);
}

const BURN = `
const { workerData: { share, ms } } = require('node:worker_threads');
const idle = new Int32Array(new SharedArrayBuffer(4));
for (const end = Date.now() + ms; Date.now() < end;) {
  const period = Date.now();
  while (Date.now() < Math.min(end, period + share * 10)) for (let i = 0; i < 1024; i++) Math.sqrt(Math.random());
  if (share < 1) Atomics.wait(idle, 0, 0, Math.max(0, period + 10 - Date.now()));
}`;

/**
 * Keeps a number of processors busy for so long, on threads of their own.
 * @param {number} cores
 * @param {number} ns
 */
export async function burnCores(cores, ns) {
  const workers = [];
  for (let left = cores; left > 0; left--) {
    const worker = new Worker(BURN, { eval: true, workerData: { share: Math.min(left, 1), ms: ns / 1e6 } });
    workers.push(new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject)));
  }
  await Promise.all(workers);
}

const BLOCK = Buffer.alloc(1024);
const SYNC_EVERY = 512 * 1024;

/**
 * Writes a temporary file, syncs it every 512 KiB and at the end, and removes it.
 * @param {number} bytes
 */
export async function writeAndSync(bytes) {
  const path = join(tmpdir(), `microsim-io-${randomUUID()}`);
  const file = await open(path, 'wx', 0o600);
  try {
    await unlink(path).catch(() => undefined); // Windows removes it at the end
    for (let written = 0; written < bytes; ) {
      const { bytesWritten } = await file.write(BLOCK, 0, Math.min(BLOCK.length, bytes - written));
      written += bytesWritten;
      if (written % SYNC_EVERY === 0 || written === bytes) await file.sync();
    }
  } finally {
    await file.close();
    await unlink(path).catch(() => undefined);
  }
}

/**
 * Waits, unless the signal says that there is nothing to wait for any more.
 * @param {number} ns
 * @param {AbortSignal} [signal]
 */
export async function sleep(ns, signal) {
  const until = performance.now() + ns / 1e6;
  // Timers count whole milliseconds, and may be early by a part of one.
  for (let left = until - performance.now(); left > 0 && !signal?.aborted; left = until - performance.now()) {
    await wait(Math.min(Math.max(left, 0.5), 2 ** 31 - 1), undefined, signal ? { signal } : {}).catch(() => undefined);
  }
}

/** Memory that is held, within the bound of the contract. */
export class Memory {
  static MAX = 4 * 1024 ** 3;
  held = 0;

  /**
   * Takes memory and makes it real. The function that is returned gives it back.
   * @param {number} bytes
   * @returns {() => void}
   */
  take(bytes) {
    if (this.held + bytes > Memory.MAX) throw new Error(`${bytes} bytes beside the ${this.held} held are more than the ${Memory.MAX} possible`);
    this.held += bytes;
    /** @type {Buffer | undefined} */
    let block;
    try {
      block = Buffer.alloc(bytes, 1);
    } catch (error) {
      this.held -= bytes;
      throw error;
    }
    return () => {
      if (block) this.held -= bytes;
      block = undefined;
    };
  }
}
