import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Delay, Key, parseDuration, parseSize } from '../src/dist.js';

const file = process.env.MICROSIM_VECTORS ?? new URL('../../../testdata/vectors.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8'));

test('keys and what they draw', () => {
  assert.ok(vectors.keys.length > 0);
  for (const v of vectors.keys) {
    let key = Key.seed(BigInt(v.seed));
    for (const step of v.path) key = typeof step === 'string' ? key.with(step) : key.withInt(step);
    assert.equal(key.value.toString(), v.key, JSON.stringify(v.path));
    assert.equal(key.uint64().toString(), v.uint64);
    assert.equal(key.float64(), v.float64);
    assert.equal(key.intN(10), v.intN10);
  }
});

test('delays to the nanosecond', () => {
  assert.ok(vectors.delays.length > 0);
  for (const v of vectors.delays) {
    const delay = new Delay(v.delay);
    let sum = 0n;
    for (let i = 0; i < 10000; i++) {
      const drawn = delay.draw(Key.seed(1n).withInt(i));
      if (i < v.nanoseconds.length) assert.equal(drawn, v.nanoseconds[i], `${JSON.stringify(v.delay)} ${i}`);
      sum += BigInt(drawn);
    }
    assert.equal(BigInt.asUintN(64, sum).toString(), v.sumOf10000, JSON.stringify(v.delay));
  }
});

test('durations and sizes', () => {
  for (const [text, want] of /** @type {[string, number][]} */ ([['5ms', 5e6], ['1m30s', 90e9], ['1.5s', 1.5e9], ['1h0m0.000000001s', 3600e9 + 1], ['-1ms', -1e6], ['0', 0], ['1d', 86400e9], ['2min', 120e9], ['100µs', 1e5]])) {
    assert.equal(parseDuration(text), want, text);
  }
  for (const [text, want] of /** @type {[string | number, number][]} */ ([[512, 512], ['64Ki', 65536], ['1Mi', 1048576], ['2k', 2000], ['1.5Ki', 1536]])) {
    assert.equal(parseSize(text), want, String(text));
  }
  for (const bad of ['5', '5 ms', '5parsec', 'ms']) assert.throws(() => parseDuration(bad), new RegExp('invalid duration'));
  for (const bad of ['-1', '5KB', 'x']) assert.throws(() => parseSize(bad), new RegExp('invalid size'));
});
