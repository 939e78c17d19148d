"""One request being answered: does what was decided."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote

from .calls import CallError, Reply
from .decide import Op
from .identity import traceparent, value_of
from .work import burn_cores, burn_time, burn_units, sleep, write_and_sync

if TYPE_CHECKING:
    from .service import Incoming, Service

_KEEP = 64 << 10
_MAX_ANSWERS = 16 << 20
_HANG_LOOK = 0.05


@dataclass(frozen=True)
class Ending:
    """How a request, or a branch of it, ends: by respond, abort or fail."""

    kind: str
    status: int = 0
    text: str = ""
    body: str = ""


_TIME_OVER = Ending("fail", 504, "the time of the request is over")


class Exchange:
    """A request with what has become of it so far. Branches run at the same time."""

    def __init__(self, service: Service, request: Incoming, who: tuple[str, str, str], deadline: float, chain: bool) -> None:
        self.service, self.request, self.deadline, self.chain = service, request, deadline, chain
        self.id, self.hop, self.caller = who
        self.key = service.key.name(self.id).name(self.hop)
        self.faults = service.faults.set
        self.notes: list[str] = []
        self.documents: list[str] = []
        self.times: list[str] = []
        self.answered, self.degraded, self.corrupt = 0, 0, False
        self._held: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def release(self) -> None:
        """Give back what the request has held."""
        for free in self._held:
            free()

    def run(self, ops: Iterable[Op]) -> Ending | None:
        """Do the operations up to one that ends the request; None if none does."""
        for op in ops:
            if op.fault:
                op.fault.hits += 1
            if ending := self._do(op):
                return ending
        return None

    def _do(self, op: Op) -> Ending | None:
        match op.kind:
            case "respond" | "abort":
                return Ending(op.kind)
            case "fail":
                by = f"fault {op.fault.id}" if op.fault else "the chain's fault" if self.chain else "the service's error rate"
                return Ending("fail", op.status, f"{op.status} by {by}")
            case "corrupt":
                self.corrupt = True
                return None
            case "leak":
                return self._leak(op)
            case "hang":
                return self._hang(op)
            case "route":
                self._call_route(op)
                return None
            case "call":
                ending = self._call(op)
            case "parallel":
                ending = self._parallel(op)
            case "hold":
                ending = self._hold(op)
            case _:
                ending = self._work(op)
        return ending or (_TIME_OVER if time.monotonic() >= self.deadline else None)

    def _work(self, op: Op) -> Ending | None:
        match op.kind:
            case "sleep":
                left = max(self.deadline - time.monotonic(), 0) * 1e9
                sleep(int(min(op.ns, left)), self.service.stopping)
            case "units":
                burn_units(op.units)
            case "cpu" if op.cores == 1:
                burn_time(op.ns)
            case "cpu":
                burn_cores(op.cores, op.ns)
            case "io":
                try:
                    write_and_sync(op.size)
                except OSError as error:
                    return self._broke(op, f"io: {error}")
        return None

    def _broke(self, op: Op, text: str) -> Ending | None:
        """Note in a chain what went wrong; end a request to an endpoint, unless a fault could not act."""
        if self.chain:
            self.notes.append(text)
            self.degraded += 1
            return None
        return None if op.fault else Ending("fail", 500, text)

    def _hold(self, op: Op) -> Ending | None:
        try:
            free = self.service.memory.take(op.size)
        except MemoryError as error:
            return Ending("fail", 503, f"memory: {error}")
        with self._lock:
            self._held.append(free)
        return None

    def _leak(self, op: Op) -> Ending | None:
        try:
            timer = threading.Timer(op.ns / 1e9, self.service.memory.take(op.size))
        except MemoryError as error:
            return self._broke(op, f"memory-leak: {error}")
        timer.daemon = True
        timer.start()
        return None

    def _hang(self, op: Op) -> Ending | None:
        """Wait until the fault is cleared, the client leaves, or the service ends."""
        cleared = op.fault.cleared if op.fault else threading.Event()
        while not cleared.wait(_HANG_LOOK):
            if self.service.stopping.is_set() or self.request.gone():
                return Ending("abort")
        return _TIME_OVER if time.monotonic() >= self.deadline else None

    def _parallel(self, op: Op) -> Ending | None:
        with ThreadPoolExecutor(len(op.branches)) as pool:
            endings = list(pool.map(self.run, op.branches))
        return next(filter(None, endings), None)

    def _send(
        self, to: str, urls: list[SplitResult], index: int, method: str, path: str | None, body: bytes | None, content_type: str, timeout: int, keep: int, times: str = ""
    ) -> Reply:
        """Send one request to a replica of a service; without a path, to that of its URL."""
        if not urls:
            raise CallError("connection_error", "no address of it is known")
        n = self.key.name("replica").number(index).int_n(len(urls)) if len(urls) > 1 else 0
        if fault := self.faults.unreachable_by(self.key, self.service.name, to, path or "/", n + 1, index):
            fault.hits += 1
            raise CallError("connection_error", "a fault lets nobody answer")
        now, incoming = time.monotonic(), self.request.headers
        left = self.deadline - now
        headers = {
            "X-Request-ID": self.id, "traceparent": traceparent(incoming), "tracestate": value_of(incoming, "tracestate", 512) if incoming.get("traceparent") else "",
            "Microsim-Hop": f"{self.hop}.{index}" if self.hop else str(index), "Microsim-From": self.service.name, "Microsim-Times": times, "Content-Type": content_type,
            "Authorization": "" if to == "external" else value_of(incoming, "Authorization", 8192),
            "Microsim-Deadline": "" if left == float("inf") else str(max(-int(-left * 1000 // 1), 0)),
            "Content-Length": str(len(body)) if body else "" if method in ("GET", "HEAD") else "0", "User-Agent": "microsim",
        }  # fmt: skip
        url = urls[n]
        if path is None:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        deadline = min(self.deadline, now + timeout / 1e9) if timeout else self.deadline
        return self.service.sender.send(url, method, path, {k: v for k, v in headers.items() if v}, body, deadline, keep)

    def _call(self, op: Op) -> Ending | None:
        call, began = op.call, time.monotonic()
        if call is None:
            return None
        try:
            body = payload(call.request_bytes)[0] if call.request_bytes else None
            path = quote(call.path, safe="/:@!$&'()*+,;=-._~%")
            reply = self._send(call.to, self.service.peers.of(call.to), op.index, call.method, path, body, "application/octet-stream" if body else "", call.timeout, _KEEP)
            if reply.status >= 400:
                raise CallError("http_error", f"it answered {_status(reply.status)}", reply.status)
            if reply.content_type == "application/json" and reply.whole and reply.body and not _is_json(reply.body):
                raise CallError("malformed", "the answer is no JSON")
        except CallError as error:
            self.service.metrics.call(call.to, error.outcome, time.monotonic() - began, 0)
            with self._lock:
                self.degraded += 1
            text = f"calling {call.to}: {error.outcome}: {error}"
            for name in (str(error.status), error.outcome, "other"):
                if answer := call.answers.get(name):
                    return Ending("fail", answer["status"], text, answer.get("body") or "")
            return None if call.ignore else Ending("fail", 504 if error.outcome == "timeout" else 502, text)
        self.service.metrics.call(call.to, "ok", time.monotonic() - began, reply.degraded)
        with self._lock:
            self.degraded += reply.degraded
        return None

    def _call_route(self, op: Op) -> None:
        """Send a route of a chain on, and keep the document that came back."""
        route, began, name = op.route, time.monotonic(), ""
        if route is None:
            return
        document, times = "null", ""
        try:
            name, urls = self.service.peers.locate(route.designation)
            body = json.dumps(route.document, separators=(",", ":")).encode()
            wanted = value_of(self.request.headers, "Microsim-Times", 16384)
            reply = self._send(name, urls, op.index, "POST", None, body, "application/json", 0, _MAX_ANSWERS - self.answered, wanted)
            if reply.status >= 400:
                raise CallError("http_error", f"it answered {_status(reply.status)}{_reason(reply.body)}")
            if not reply.whole:
                raise CallError("malformed", f"the answers of all routes have more than {_MAX_ANSWERS} bytes")
            if not _is_json(reply.body, dict):
                raise CallError("malformed", "the answer is no JSON object")
        except (CallError, LookupError) as error:
            text = str(error.args[0])
            if isinstance(error, CallError):
                self.service.metrics.call(name, error.outcome, time.monotonic() - began, 0)
                text = text if error.outcome == "http_error" else f"{error.outcome}: {text}"
            self.notes.append(f"calling {route.designation[:128]}: {text}")
            self.degraded += 1
        else:
            self.service.metrics.call(name, "ok", time.monotonic() - began, reply.degraded)
            self.answered += len(reply.body)
            self.degraded += reply.degraded
            document, times = reply.body.decode(), reply.times
        self.documents.append(document)
        self.times.append(times)


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _is_json(body: bytes, kind: type = object) -> bool:
    try:
        return isinstance(json.loads(body), kind)
    except (ValueError, RecursionError):
        return False


def _reason(body: bytes) -> str:
    try:
        return f": {json.loads(body)['errors'][0]}"[:130]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def payload(size: int) -> tuple[bytes, str]:
    """Return a body of exactly so many bytes, and its content type."""
    if 0 < size < 15:
        return b"0" * size, "text/plain"
    return b'{"payload":"' + b"0" * max(size - 15, 0) + b'"}\n', "application/json"
