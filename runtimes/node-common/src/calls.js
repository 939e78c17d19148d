// Calls to other services: where they are, how a request is sent, and what became
// of it. A request is never sent twice.

import http from 'node:http';
import https from 'node:https';
import { connect } from 'node:net';

/** A call that failed, with its class: connection_error, timeout, http_error or malformed. */
export class CallError extends Error {
  /**
   * @param {string} outcome
   * @param {string} message
   * @param {number} [status]
   */
  constructor(outcome, message, status = 0) {
    super(message);
    this.outcome = outcome;
    this.status = status;
  }
}

/** @typedef {{ status: number, contentType: string, body: Buffer, whole: boolean, times: string, degraded: number }} Reply */

/** @typedef {{ name: string, urls: URL[] }} Located */

/** Who may be called, by name and by address. */
export class Peers {
  /**
   * @param {string} system
   * @param {Record<string, string[]>} peers
   * @param {string[]} allowHosts
   */
  constructor(system, peers, allowHosts) {
    this.system = system;
    this.allowHosts = allowHosts;
    this.set(peers);
  }

  /** @param {unknown} peers */
  set(peers) {
    /** @type {Map<string, URL[]>} */
    const known = new Map();
    if (typeof peers !== 'object' || peers === null || Array.isArray(peers)) throw new Error('peers are an object of names with base URLs');
    for (const [name, urls] of Object.entries(peers)) {
      if (!Array.isArray(urls)) throw new Error(`the peers of ${JSON.stringify(name)} are a list of base URLs`);
      known.set(name, urls.map((text) => {
        const url = parseURL(text);
        if (!url || url.username || url.search || url.hash || url.pathname !== '/') {
          throw new Error(`${JSON.stringify(text)} of ${JSON.stringify(name)} is no base URL: write one such as http://127.0.0.1:8080`);
        }
        return url;
      }));
    }
    this.known = known;
  }

  /**
   * The addresses of a service.
   * @param {string} name
   */
  of(name) {
    return this.known?.get(name) ?? [];
  }

  /**
   * Finds what a designation of a chain means; an Error says why it is not called.
   * @param {string} designation
   * @returns {Located}
   */
  locate(designation) {
    for (const name of [designation, designation.replaceAll('_', '-')]) {
      if (this.of(name).length > 0) return { name, urls: this.of(name) };
    }
    if (!designation.startsWith('http')) throw new Error(`designation ${JSON.stringify(designation.slice(0, 128))} is not a service of system ${JSON.stringify(this.system)}`);
    const url = parseURL(designation);
    if (!url) throw new Error(`designation ${JSON.stringify(designation.slice(0, 128))} is not a URL`);
    const instead = this.of(addressOf(url))[0];
    if (instead) url.host = instead.host;
    for (const [name, urls] of this.known ?? []) {
      if (!name.includes(':') && urls.some((u) => addressOf(u) === addressOf(url))) return { name, urls: [url] };
    }
    if (this.allowHosts.includes(url.host) || this.allowHosts.includes(url.hostname)) return { name: 'external', urls: [url] };
    throw new Error(`designation ${JSON.stringify(url.origin)} is outside system ${JSON.stringify(this.system)}: add ${JSON.stringify(url.host)} to its allowHosts to permit it`);
  }

  /**
   * The names to which no connection can be made from here.
   * @returns {Promise<string[]>}
   */
  async unreachable() {
    const names = await Promise.all([...(this.known ?? [])].filter(([name]) => !name.includes(':')).map(async ([name, urls]) => {
      const reached = await Promise.all(urls.map(canConnect));
      return reached.includes(true) ? '' : name;
    }));
    return names.filter(Boolean).sort();
  }
}

/**
 * @param {unknown} text
 * @returns {URL | undefined}
 */
function parseURL(text) {
  if (typeof text !== 'string' || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
}

/** @param {URL} url */
function addressOf(url) {
  return `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`;
}

/**
 * @param {URL} url
 * @returns {Promise<boolean>}
 */
function canConnect(url) {
  return new Promise((resolve) => {
    const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port, timeout: 1000 });
    /** @type {(reached: boolean) => void} */
    const end = (reached) => { socket.destroy(); resolve(reached); };
    socket.once('connect', () => end(true)).once('error', () => end(false)).once('timeout', () => end(false));
  });
}

/** Sends requests over connections that are kept. */
export class Sender {
  #agents = { 'http:': new http.Agent({ keepAlive: true }), 'https:': new https.Agent({ keepAlive: true }) };

  /**
   * Sends a request and reads its whole answer.
   * @param {URL} url
   * @param {{ method: string, path: string, headers: http.OutgoingHttpHeaders, body?: Buffer | string, deadline: number, keep: number }} options
   *   deadline is of performance.now(); of a longer answer only keep bytes are returned
   * @returns {Promise<Reply>}
   */
  send(url, { method, path, headers, body, deadline, keep }) {
    return new Promise((resolve, reject) => {
      const secure = url.protocol === 'https:';
      let connected = false;
      /** @type {NodeJS.Timeout | undefined} */
      let timer;
      /** @type {(error: CallError) => void} */
      const fail = (error) => { clearTimeout(timer); reject(error); request.destroy(); };
      const request = (secure ? https : http).request({
        agent: secure ? this.#agents['https:'] : this.#agents['http:'],
        hostname: url.hostname.replace(/^\[|\]$/g, ''), port: url.port, method, path, headers,
      });
      if (deadline < Infinity) {
        timer = setTimeout(() => {
          fail(connected ? new CallError('timeout', 'no answer came in time') : new CallError('connection_error', 'no connection was made in time'));
        }, Math.min(Math.max(deadline - performance.now(), 0), 2 ** 31 - 1));
      }
      request.on('socket', (socket) => {
        if (!socket.connecting) connected = true;
        else socket.once('connect', () => { connected = true; });
      });
      request.on('error', (error) => fail(classify(/** @type {NodeJS.ErrnoException} */ (error))));
      request.on('response', (response) => {
        /** @type {Buffer[]} */
        const parts = [];
        let length = 0, kept = 0;
        response.on('data', (/** @type {Buffer} */ part) => {
          length += part.length;
          if (kept < keep) parts.push(part.subarray(0, keep - kept));
          kept = Math.min(length, keep);
        });
        response.on('error', (error) => fail(classify(/** @type {NodeJS.ErrnoException} */ (error))));
        response.on('end', () => {
          clearTimeout(timer);
          resolve({
            status: response.statusCode ?? 0, contentType: response.headers['content-type'] ?? '', body: Buffer.concat(parts), whole: length === kept,
            times: String(response.headers['microsim-times'] ?? ''), degraded: degradedOf(response.headers['microsim-degraded']),
          });
        });
      });
      request.end(body);
    });
  }

  close() {
    this.#agents['http:'].destroy();
    this.#agents['https:'].destroy();
  }
}

/** @param {string | string[] | undefined} value */
function degradedOf(value) {
  const n = /^\d+$/.test(String(value)) ? Number(value) : 0;
  return Math.min(n, 1_000_000);
}

/** @param {NodeJS.ErrnoException} error */
function classify(error) {
  const what = error.code ?? error.message;
  return new CallError(what.startsWith('HPE_') ? 'malformed' : 'connection_error', `${error.message} (${what})`);
}
