"""The faults that control has let act."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from .decide import FAULT_TYPES, ActiveFault, FaultSet
from .dist import Delay, parse_duration, parse_size
from .metrics import Metrics
from .work import Memory

# The arguments of each type: those that it needs, then those it may have.
_ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "latency": (("delay",), ("jitter",)), "error": ((), ("status",)), "abort": ((), ()), "hang": ((), ()), "corrupt": ((), ()),
    "memory-leak": (("size",), ("hold",)), "cpu": (("hold",), ("cores",)), "io": (("size",), ()), "panic": ((), ()), "unreachable": ((), ()),
}  # fmt: skip


def only(v: Any, what: str, *fields: str) -> dict[str, Any]:
    """Return v if it is an object that has none but the fields."""
    if not isinstance(v, dict):
        raise ValueError(f"{what} is no object")
    for key in v:
        if key not in fields:
            raise ValueError(f"{what} has an unknown field {json.dumps(key)}: use {', '.join(fields)}")
    return v


class FaultBoard:
    """The faults that act now. Requests see one set of them from beginning to end."""

    def __init__(self, service: str, replica: int, metrics: Metrics) -> None:
        self.service, self.replica, self._metrics = service, replica, metrics
        self._running: list[ActiveFault] = []
        self._lock = threading.Lock()
        self.set = FaultSet(replica, [])

    def add(self, id_: str, request: Any) -> None:
        """Let a fault act, in place of one with the same id."""
        if not 0 < len(id_) <= 128:
            raise ValueError("the id of a fault has 1 to 128 characters")
        v = only(request, "the request", "fault", "deadline")
        active, deadline = self._read(id_, v.get("fault")), v.get("deadline")
        if deadline and not str(deadline).startswith("0001-"):
            left = (datetime.fromisoformat(_to_microseconds(deadline)) - datetime.now(UTC)).total_seconds()
            if left <= 0:
                raise ValueError(f"its deadline {json.dumps(deadline)} is over")
            active.deadline, active.timer = deadline, threading.Timer(min(left, threading.TIMEOUT_MAX), self._end, (active,))
            active.timer.daemon = True
        self.clear(id_)
        with self._lock:
            if len(self._running) >= 200:
                raise ValueError("200 faults act already, the most possible")
            self._publish([*self._running, active])
        if active.timer:
            active.timer.start()

    def clear(self, id_: str) -> None:
        """End a fault, if there is one of the id."""
        for f in [f for f in self._running if f.id == id_]:
            self._end(f)

    def clear_all(self) -> None:
        """End all faults."""
        for f in list(self._running):
            self._end(f)

    def told(self) -> list[dict[str, Any]]:
        """Return the faults as control lists them."""
        return [
            {"id": f.id, "fault": f.fault, "since": f.since, **({"deadline": f.deadline} if f.deadline else {}), "replicas": [f"{self.service}/{self.replica}"], "hits": f.hits}
            for f in self._running
        ]

    def _end(self, fault: ActiveFault) -> None:
        if fault.timer:
            fault.timer.cancel()
        with self._lock:
            self._publish([f for f in self._running if f is not fault])
        fault.cleared.set()

    def _publish(self, running: list[ActiveFault]) -> None:
        self._running, self.set = running, FaultSet(self.replica, running)
        self._metrics.set_faults(Counter(f.type for f in running))

    def _read(self, id_: str, v: Any) -> ActiveFault:
        v = only(v, "the fault", "name", "type", "target", "start", "duration", "probability", "args", "rounds")
        kind, target, args, probability = v.get("type"), v.get("target") or {}, v.get("args") or {}, v.get("probability", 1)
        if kind not in _ARGUMENTS:
            raise ValueError(f"fault type {json.dumps(kind)} does not act in a service: use one of {', '.join(FAULT_TYPES)}")
        only(target, "the target", "service", "replica", "endpoint", "from", "direction")
        own = target.get("from") if kind == "unreachable" else target.get("service")
        if own and own != self.service:
            raise ValueError(f"its target is {json.dumps(target)}, this is service {json.dumps(self.service)}")
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise ValueError(f"probability {probability} is not between 0 and 1")
        needs, may = _ARGUMENTS[kind]
        only(args, f"the arguments of {kind}", *needs, *may)
        for name in needs:
            if name not in args:
                raise ValueError(f"fault type {kind} needs {name}")
        size, status = parse_size(args.get("size")), args.get("status") or 500
        if size > (1 << 30 if kind == "io" else Memory.MAX):
            raise ValueError(f"size {args['size']} is out of range")
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError(f"status {status} is not an error status")
        delay, jitter = Delay(args.get("delay")), parse_duration(args.get("jitter"))
        return ActiveFault(
            id_, {**v, "target": target if kind == "unreachable" else {**target, "service": self.service}, "probability": probability},
            Delay.jittered(delay.fixed, jitter) if jitter else delay, parse_duration(args["hold"]) if "hold" in args else 10**10,
            size, _cores_of(args.get("cores", 1)), status, probability, datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        )  # fmt: skip


def _to_microseconds(text: str) -> str:
    """Cut the nanoseconds of a time off, which Python cannot read."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def _cores_of(text: Any) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m?)", str(text))
    if not match:
        raise ValueError(f"{text!r} is no number of processors: write one such as 2 or 500m")
    return float(match[1]) / (1000 if match[2] else 1)
