"""The metrics of the contract. Every series that the System implies starts at zero."""

from __future__ import annotations

import threading
from collections.abc import Callable

import prometheus_client as prom
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from .decide import FAULT_TYPES, Endpoint

_BUCKETS = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25)
_OUTCOMES = ("ok", "http_error", "connection_error", "timeout", "breaker_open", "rejected", "cancelled", "malformed")
_ATTEMPTS = ("ok", "http_error", "connection_error", "timeout", "cancelled", "malformed")


class Metrics:
    """The series of one service."""

    def __init__(self, service: str, endpoints: list[Endpoint], inflight: Callable[[], float], held: Callable[[], float]) -> None:
        prom.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.service, self.registry = service, prom.CollectorRegistry()
        prom.ProcessCollector(registry=self.registry)
        prom.GCCollector(registry=self.registry)
        self.requests = self._counter("requests", "Requests answered, by endpoint and status; code aborted got no answer.", "endpoint", "code")
        self.durations = self._histogram("request_duration_seconds", "Time from the arrival of a request to its answer.", "endpoint")
        self.degraded = self._counter("requests_degraded", "Requests answered well, but with parts that are not what they should be.", "endpoint")
        self.calls = self._counter("calls", "Calls made, by callee and by how they ended.", "callee", "outcome")
        self.attempts = self._counter("call_attempts", "Requests sent for calls, by callee and outcome.", "callee", "outcome")
        self.call_times = self._histogram("call_duration_seconds", "Time of calls, whatever their outcome.", "callee")
        self.calls_degraded = self._counter("calls_degraded", "Calls answered well, but with parts that are not what they should be.", "callee")
        self._gauge("inflight_requests", "Requests being worked on.").labels(service).set_function(inflight)
        self._gauge("queue_length", "Requests that wait inside the service: none.").labels(service).set(0)
        self._gauge("held_memory_bytes", "Memory held for requests and leaks.").labels(service).set_function(held)
        self.faults = self._gauge("fault_active", "Faults that act now, by type.", "fault")
        self.set_faults({})
        self._callees: set[str] = set()
        self._lock = threading.Lock()
        for e in endpoints:
            self._start(e.path, e.status)
            for callee in e.callees:
                self.start_callee(callee)
        self._start("chain", 200)
        self._start("other", 404)

    def _counter(self, name: str, text: str, *labels: str) -> prom.Counter:
        return prom.Counter(f"microsim_{name}", text, ("service", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, label: str) -> prom.Histogram:
        return prom.Histogram(f"microsim_{name}", text, ("service", label), registry=self.registry, buckets=_BUCKETS)

    def _gauge(self, name: str, text: str, *labels: str) -> prom.Gauge:
        return prom.Gauge(f"microsim_{name}", text, ("service", *labels), registry=self.registry)

    def _start(self, endpoint: str, usual: int) -> None:
        for code in (usual, 500, 502, 503, 504, "aborted"):
            self.requests.labels(self.service, endpoint, str(code))
        self.durations.labels(self.service, endpoint)
        self.degraded.labels(self.service, endpoint)

    def start_callee(self, callee: str) -> None:
        """Start the series of a callee at zero."""
        with self._lock:
            if callee in self._callees:
                return
            self._callees.add(callee)
        for outcome in _OUTCOMES:
            self.calls.labels(self.service, callee, outcome)
        for outcome in _ATTEMPTS:
            self.attempts.labels(self.service, callee, outcome)
        self.call_times.labels(self.service, callee)
        self.calls_degraded.labels(self.service, callee)

    def set_faults(self, counts: dict[str, int]) -> None:
        """Say how many faults act, by type."""
        for kind in FAULT_TYPES:
            self.faults.labels(self.service, kind).set(counts.get(kind, 0))

    def request(self, endpoint: str, status: int | None, seconds: float, degraded: int) -> None:
        """Count a request; without a status it got no answer."""
        self.requests.labels(self.service, endpoint, "aborted" if status is None else str(status)).inc()
        self.durations.labels(self.service, endpoint).observe(seconds)
        if degraded and status is not None and status < 400:
            self.degraded.labels(self.service, endpoint).inc()

    def call(self, callee: str, outcome: str, seconds: float, degraded: int) -> None:
        """Count a call, which is sent once."""
        self.start_callee(callee)
        self.calls.labels(self.service, callee, outcome).inc()
        self.attempts.labels(self.service, callee, outcome).inc()
        self.call_times.labels(self.service, callee).observe(seconds)
        if outcome == "ok" and degraded:
            self.calls_degraded.labels(self.service, callee).inc()

    def text(self) -> tuple[bytes, str]:
        """Return the metrics in Prometheus' text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
