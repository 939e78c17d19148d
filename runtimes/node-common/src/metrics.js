// The metrics of the contract. Every series that the System implies starts at zero.

import client from 'prom-client';
import { FAULT_TYPES } from './decide.js';

const BUCKETS = [0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25];
const OUTCOMES = ['ok', 'http_error', 'connection_error', 'timeout', 'breaker_open', 'rejected', 'cancelled', 'malformed'];
const ATTEMPTS = ['ok', 'http_error', 'connection_error', 'timeout', 'cancelled', 'malformed'];

export class Metrics {
  /**
   * @param {string} service
   * @param {import('./decide.js').Endpoint[]} endpoints
   * @param {() => { inflight: number, held: number, faults: Map<string, number> }} now
   */
  constructor(service, endpoints, now) {
    this.registry = new client.Registry();
    this.registry.setDefaultLabels({ service });
    client.collectDefaultMetrics({ register: this.registry });
    const registers = [this.registry];
    /** @type {(name: string, help: string, ...labelNames: string[]) => client.Counter} */
    const counter = (name, help, ...labelNames) => new client.Counter({ name, help, labelNames, registers });
    /** @type {(name: string, help: string, label: string) => client.Histogram} */
    const histogram = (name, help, label) => new client.Histogram({ name, help, labelNames: [label], buckets: BUCKETS, registers });
    this.requests = counter('microsim_requests_total', 'Requests answered, by endpoint and status; code aborted got no answer.', 'endpoint', 'code');
    this.durations = histogram('microsim_request_duration_seconds', 'Time from the arrival of a request to its answer.', 'endpoint');
    this.degraded = counter('microsim_requests_degraded_total', 'Requests answered well, but with parts that are not what they should be.', 'endpoint');
    this.calls = counter('microsim_calls_total', 'Calls made, by callee and by how they ended.', 'callee', 'outcome');
    this.attempts = counter('microsim_call_attempts_total', 'Requests sent for calls, by callee and outcome.', 'callee', 'outcome');
    this.callTimes = histogram('microsim_call_duration_seconds', 'Time of calls, whatever their outcome.', 'callee');
    this.callsDegraded = counter('microsim_calls_degraded_total', 'Calls answered well, but with parts that are not what they should be.', 'callee');
    new client.Gauge({ name: 'microsim_inflight_requests', help: 'Requests being worked on.', registers, collect() { this.set(now().inflight); } });
    new client.Gauge({ name: 'microsim_queue_length', help: 'Requests that wait inside the service: none.', registers }).set(0);
    new client.Gauge({ name: 'microsim_held_memory_bytes', help: 'Memory held for requests and leaks.', registers, collect() { this.set(now().held); } });
    new client.Gauge({
      name: 'microsim_fault_active', help: 'Faults that act now, by type.', labelNames: ['fault'], registers,
      collect() { for (const fault of FAULT_TYPES) this.set({ fault }, now().faults.get(fault) ?? 0); },
    });
    /** @type {Set<string>} */
    this.callees = new Set();
    for (const e of endpoints) {
      this.#startEndpoint(e.path, e.status);
      for (const callee of calleesOf(e.steps)) this.startCallee(callee);
    }
    this.#startEndpoint('chain', 200);
    this.#startEndpoint('other', 404);
  }

  /**
   * @param {string} endpoint
   * @param {number} usual
   */
  #startEndpoint(endpoint, usual) {
    for (const code of [usual, 500, 502, 503, 504, 'aborted']) this.requests.inc({ endpoint, code: String(code) }, 0);
    this.durations.zero({ endpoint });
    this.degraded.inc({ endpoint }, 0);
  }

  /** @param {string} callee */
  startCallee(callee) {
    if (this.callees.has(callee)) return;
    this.callees.add(callee);
    for (const outcome of OUTCOMES) this.calls.inc({ callee, outcome }, 0);
    for (const outcome of ATTEMPTS) this.attempts.inc({ callee, outcome }, 0);
    this.callTimes.zero({ callee });
    this.callsDegraded.inc({ callee }, 0);
  }

  /**
   * Counts a request; without a status it got no answer.
   * @param {string} endpoint
   * @param {number | undefined} status
   * @param {number} seconds
   * @param {number} degraded
   */
  request(endpoint, status, seconds, degraded) {
    this.requests.inc({ endpoint, code: status === undefined ? 'aborted' : String(status) });
    this.durations.observe({ endpoint }, seconds);
    if (degraded > 0 && status !== undefined && status < 400) this.degraded.inc({ endpoint });
  }

  /**
   * Counts a call, which is sent once.
   * @param {string} callee
   * @param {string} outcome
   * @param {number} seconds
   * @param {number} degraded
   */
  call(callee, outcome, seconds, degraded) {
    this.startCallee(callee);
    this.calls.inc({ callee, outcome });
    this.attempts.inc({ callee, outcome });
    this.callTimes.observe({ callee }, seconds);
    if (outcome === 'ok' && degraded > 0) this.callsDegraded.inc({ callee });
  }
}

/**
 * @param {import('./decide.js').Step[]} steps
 * @returns {string[]}
 */
function calleesOf(steps) {
  return steps.flatMap(({ op, branches }) => [...(op.call ? [op.call.to] : []), ...(branches ?? []).flatMap(calleesOf)]);
}
