// What a request says of itself, and what its calls pass on.

import { randomBytes, randomUUID } from 'node:crypto';

/** @typedef {import('node:http').IncomingHttpHeaders} Headers */

/**
 * The value of a header, or '' if it is missing or too long.
 * @param {Headers} headers
 * @param {string} name
 * @param {number} bound
 */
export function valueOf(headers, name, bound) {
  const value = headers[name];
  return typeof value === 'string' && value.length <= bound ? value : '';
}

/** @param {Headers} headers */
export function requestID(headers) {
  return valueOf(headers, 'x-request-id', 128) || randomUUID();
}

/**
 * The traceparent of a call: the trace that came in with a new span, or a new trace.
 * @param {Headers} headers
 */
export function traceparent(headers) {
  const span = randomBytes(8).toString('hex');
  const match = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?$/.exec(valueOf(headers, 'traceparent', 128));
  return match ? `00-${match[1]}-${span}-${match[2]}` : `00-${randomBytes(16).toString('hex')}-${span}-01`;
}

/**
 * The milliseconds that the caller says are left, or Infinity.
 * @param {Headers} headers
 */
export function timeLeft(headers) {
  const text = valueOf(headers, 'microsim-deadline', 20);
  const ms = /^\d+$/.test(text) ? Number(text) : Infinity;
  return ms < 24 * 3600e3 ? ms : Infinity;
}

/**
 * Says why a request is refused that a web page has sent, or one that reaches a
 * loopback address by a foreign name; undefined if it is not.
 * @param {Headers} headers
 * @param {boolean} loopback
 */
export function refusalOf(headers, loopback) {
  const site = headers['sec-fetch-site'];
  if (headers.origin || (site && site !== 'none')) return 'requests of web pages are refused by this service; send it from a program';
  const host = (headers.host ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '').toLowerCase();
  if (loopback && host !== 'localhost' && host !== '::1' && !/^127\.\d+\.\d+\.\d+$/.test(host)) return `host ${JSON.stringify(host.slice(0, 128))} is not this service: use its address`;
  return undefined;
}
