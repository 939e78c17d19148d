"""A mock service without its web framework: which endpoints it has, and what it answers.

The framework routes requests here and writes the answers.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from .calls import Peers, Sender
from .chain import ChainRefusedError, Limits, parse_chain
from .decide import Endpoint, decide_chain, refuse
from .dist import Key, parse_size
from .exchange import Exchange, payload
from .faults import FaultBoard, only
from .identity import refusal_of, request_id, time_left, value_of
from .metrics import Metrics
from .work import Memory

_JSON = "application/json"
_DEFAULT_TIMEOUT = 120.0


@dataclass(frozen=True)
class Incoming:
    """A request as the framework has read it; gone tells whether the client has left."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    gone: Callable[[], bool]


@dataclass
class Answer:
    """What is answered."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def error_answer(status: int, text: str) -> Answer:
    """Answer with a status and the JSON object {"error": text}."""
    return Answer(status, json.dumps({"error": text}).encode() + b"\n", {"Content-Type": _JSON})


def _json_answer(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode() + b"\n", {"Content-Type": _JSON})


class Service:
    """The service that a spec describes, as MICROSIM_SERVICE holds it. Its methods may be called from many threads."""

    def __init__(self, spec: Any) -> None:
        only(spec, "MICROSIM_SERVICE", "system", "service", "replica", "seed", "peers", "allowHosts", "limits", "token", "grace", "traceSample")
        service, limits = spec["service"], spec.get("limits") or {}
        self.name: str = service.get("name") or ""
        refuse(f"service {self.name}", service, "workers", "backlog", "shed", "store")
        if service.get("onCancel") == "stop":
            raise ValueError(f"service {self.name}: onCancel: stop needs a runtime of level L3, this one has L2")
        self._token: str = spec.get("token") or ""
        most = Limits()
        self.limits = Limits(
            limits.get("depth") or most.depth, limits.get("nodes") or most.nodes, limits.get("fanOut") or most.fan_out, limits.get("faults") or most.faults,
            parse_size(limits.get("body")) or most.body, parse_size(limits.get("leak")) or most.leak,
        )  # fmt: skip
        self.key = Key.seed(int(spec.get("seed") or 0)).name(self.name)
        self.endpoints = [Endpoint(v) for v in service.get("endpoints") or []]
        self.memory, self.sender, self.stopping, self.loopback = Memory(), Sender(), threading.Event(), False
        self._inflight, self._lock = 0, threading.Lock()
        self.metrics = Metrics(self.name, self.endpoints, lambda: self._inflight, lambda: self.memory.held)
        self.faults = FaultBoard(self.name, spec.get("replica") or 1, self.metrics)
        self.peers = Peers(spec.get("system") or "", spec.get("peers") or {}, spec.get("allowHosts") or [])
        if memory := parse_size(service.get("memory")):
            self.memory.take(memory)

    def routes(self) -> list[tuple[str, Endpoint]]:
        """Return the paths with their endpoints; if none has the root path, the root means all of them."""
        routes = [(e.path, e) for e in self.endpoints]
        return routes if any(path == "/" for path, _ in routes) else routes + [("/", e) for e in self.endpoints]

    def _root(self) -> Endpoint | None:
        return next((e for path, e in self.routes() if path == "/" and e.method in ("", "POST")), None)

    def answer(self, endpoint: Endpoint, request: Incoming) -> Answer | None:
        """Answer a request to an endpoint; None closes the connection without an answer."""

        def work(x: Exchange) -> Answer | None:
            ending = x.run(endpoint.decide(x.key, x.caller, x.faults))
            if ending is None or ending.kind == "abort":
                return None
            if ending.kind == "fail":
                return _text(ending.status, ending.body) if ending.body else error_answer(ending.status, ending.text)
            if endpoint.body:
                return _text(endpoint.status, endpoint.body)
            body, content_type = payload(endpoint.size)
            return Answer(endpoint.status, body, {"Content-Type": content_type})

        return self._exchange(request, endpoint.path, endpoint.timeout / 1e9 or float("inf"), False, work)

    def is_chain(self, request: Incoming) -> bool:
        """Report whether a POST / carries a chain."""
        if self._root() is None:
            return True
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not request.body or not (kind in ("", _JSON, "application/x-www-form-urlencoded") or kind.endswith("+json")):
            return False
        if len(request.body) > self.limits.body or b'"designation"' in request.body:
            return True
        try:
            return not isinstance(json.loads(request.body), dict)
        except (ValueError, RecursionError):
            return True

    def answer_chain(self, request: Incoming) -> Answer | None:
        """Answer a chain; None closes the connection without an answer."""
        began, endpoint = time.monotonic(), self._root()

        def work(x: Exchange) -> Answer | None:
            try:
                chain = parse_chain(request.body, self.limits)
            except ChainRefusedError as refused:
                return self._document(x, refused.status, "", refused.texts)
            ending = x.run(decide_chain(chain, x.key, x.caller, x.faults))
            if ending is None or ending.kind == "abort":
                return None
            failed = ending.kind == "fail"
            answer = self._document(x, ending.status if failed else 200, chain.designation, [*x.notes, ending.text] if failed else x.notes)
            if value_of(request.headers, "Microsim-Times", 16384):
                took = f"{(time.monotonic() - began) * 1000:.1f}"
                answer.headers["Microsim-Times"] = f"{took}({','.join(x.times)})" if x.times else took
            return answer

        timeout = endpoint.timeout / 1e9 or float("inf") if endpoint else _DEFAULT_TIMEOUT
        return self._exchange(request, "chain", timeout, True, work)

    def _document(self, x: Exchange, status: int, address: str, errors: list[str]) -> Answer:
        """Return MicroSim's response document. Those of routes stay as they came."""
        head = json.dumps({"service": self.name, "address": address, "errors": errors}, separators=(",", ":"))[:-1]
        return Answer(status, f'{head},"response":[{",".join(x.documents)}]}}'.encode(), {"Content-Type": _JSON})

    def _exchange(self, request: Incoming, label: str, timeout: float, chain: bool, work: Callable[[Exchange], Answer | None]) -> Answer | None:
        """Count and time a request, and give its answer what every answer has."""
        began, headers = time.monotonic(), request.headers
        who = request_id(headers), value_of(headers, "Microsim-Hop", 512), value_of(headers, "Microsim-From", 128)
        x = Exchange(self, request, who, began + min(time_left(headers), timeout), chain)
        with self._lock:
            self._inflight += 1
        answer: Answer | None = None
        try:
            answer = work(x)
        finally:
            x.release()
            with self._lock:
                self._inflight -= 1
            self.metrics.request(label, answer.status if answer else None, time.monotonic() - began, x.degraded)
        if answer:
            answer.headers["X-Request-ID"] = x.id
            if x.degraded:
                answer.headers["Microsim-Degraded"] = str(min(x.degraded, 1_000_000))
            if x.corrupt:
                answer.body = bytes(~b & 0xFF if i % 64 == 0 else b for i, b in enumerate(answer.body))
        return answer

    def refuse(self, headers: Mapping[str, str]) -> Answer | None:
        """Refuse a request of a web page; None if it may pass."""
        why = refusal_of(headers, self.loopback)
        return error_answer(403, why) if why else None

    def answer_none(self, request: Incoming) -> Answer:
        """Answer a request to a path or with a method that there is not."""
        methods = {e.method for path, e in self.routes() if path == request.path}
        name, path = json.dumps(self.name), json.dumps(request.path[:128])
        if methods:
            answer = error_answer(405, f"service {name} does not answer {request.method} on {path}")
            allowed = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"} if "" in methods else methods
            answer.headers["Allow"] = ", ".join(sorted(allowed | ({"POST"} if request.path == "/" else set())))
        else:
            answer = error_answer(404, f"service {name} has no endpoint {path}")
        answer.headers["X-Request-ID"] = request_id(request.headers)
        self.metrics.request("other", answer.status, 0, 0)
        return answer

    def answer_metrics(self) -> Answer:
        """Answer a request for the metrics."""
        body, content_type = self.metrics.text()
        return Answer(200, body, {"Content-Type": content_type})

    def control(self, request: Incoming) -> Answer:
        """Answer a request to /admin or /set-delay."""
        if not self._token:
            return error_answer(403, "control is off: the service has no token")
        authorization = value_of(request.headers, "Authorization", 8192)
        given = value_of(request.headers, "Microsim-Token", 8192) or (authorization[7:] if authorization.startswith("Bearer ") else "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return error_answer(401, "control needs the header Authorization: Bearer with the system's token")
        try:
            return self._control(request)
        except (ValueError, KeyError, TypeError) as error:
            return error_answer(400, str(error))

    def _control(self, request: Incoming) -> Answer:
        prefix, _, id_ = request.path.partition("/admin/faults/")
        done = Answer(204, b"")
        match request.method, request.path:
            case "GET", "/admin/faults":
                return _json_answer(self.faults.told())
            case "PUT", _ if id_ and not prefix:
                self.faults.add(unquote(id_), json.loads(request.body))
                return done
            case "DELETE", _ if id_ and not prefix:
                self.faults.clear(unquote(id_))
                return done
            case "GET", "/admin/peers/unreachable":
                return _json_answer(self.peers.unreachable())
            case "PUT", "/admin/peers":
                self.peers.set(json.loads(request.body))
                return done
            case "POST", "/set-delay":
                return _json_answer({"payload": self._set_delay(json.loads(request.body))})
        return error_answer(404, f"there is no {request.method} {json.dumps(request.path[:128])}")

    def _set_delay(self, v: Any) -> str:
        only(v, "the request", "delay", "jitter")
        delay, jitter = v["delay"], v.get("jitter")
        jitter = delay / 10 if jitter is None else jitter
        day = 24 * 3600e3
        if not (0 <= delay <= day and 0 <= jitter <= day):
            raise ValueError(f"delay {delay} and jitter {jitter} must be 0 to {day:.0f} milliseconds")
        if delay == 0 and jitter == 0:
            self.faults.clear("set-delay")
        else:
            args = {"delay": f"{delay:f}ms"} | ({"jitter": f"{jitter:f}ms"} if jitter else {})
            self.faults.add("set-delay", {"fault": {"type": "latency", "args": args}})
        return f"delay set to {delay} ms with jitter {jitter} ms"

    def close(self) -> None:
        """End all that waits."""
        self.stopping.set()
        self.faults.clear_all()
        self.sender.close()


def _text(status: int, body: str) -> Answer:
    try:
        json.loads(body)
        return Answer(status, body.encode(), {"Content-Type": _JSON})
    except ValueError:
        return Answer(status, body.encode(), {"Content-Type": "text/plain; charset=utf-8"})
