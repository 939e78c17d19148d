"""What a service decides for one request: which faults act, how long it works, whom it calls.

Nothing here waits, works or sends.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from .chain import Chain, ChainFault
from .dist import Delay, Key, parse_duration, parse_size

_NAMES = re.compile(r"\{[A-Za-z_][A-Za-z0-9_-]*\}")


@dataclass(frozen=True)
class Call:
    """A call of an endpoint; its timeout is in nanoseconds, 0 means none."""

    to: str
    method: str
    path: str
    request_bytes: int
    timeout: int
    ignore: bool
    answers: dict[str, dict[str, Any]]


@dataclass(eq=False)
class ActiveFault:
    """A fault that acts, with what is counted and told of it."""

    id: str
    fault: dict[str, Any]
    delay: Delay
    hold: int
    size: int
    cores: float
    status: int
    probability: float
    since: str
    deadline: str | None = None
    hits: int = 0
    cleared: threading.Event = field(default_factory=threading.Event)
    timer: threading.Timer | None = None

    @property
    def type(self) -> str:
        """Return the type of the fault."""
        return str(self.fault["type"])

    @property
    def target(self) -> dict[str, Any]:
        """Return what the fault acts on."""
        return self.fault.get("target") or {}


@dataclass(frozen=True)
class Op:
    """One thing that is done for a request; which fields count follows from the kind.

    The kinds are sleep, cpu, units, io, hold, leak, call, route, parallel, fail, abort, hang,
    corrupt and respond.
    """

    kind: str
    ns: int = 0
    size: int = 0
    units: float = 0
    cores: float = 1
    status: int = 0
    index: int = 0
    call: Call | None = None
    route: Chain | None = None
    fault: ActiveFault | None = None
    branches: tuple[tuple[Op, ...], ...] = ()


@dataclass(frozen=True)
class _Step:
    op: Op
    n: int
    chance: float = 1
    delay: Delay | None = None
    branches: tuple[tuple[_Step, ...], ...] = ()


def refuse(where: str, v: dict[str, Any], *fields: str) -> None:
    """Refuse what this runtime cannot do, rather than leave it out."""
    for name in fields:
        if v.get(name):
            raise ValueError(f"{where}: {name} needs a runtime of level L3, this one has L2")


class Endpoint:
    """An endpoint of a System, compiled for deciding."""

    def __init__(self, v: dict[str, Any]) -> None:
        response = v.get("response") or {}
        self.path: str = v.get("path") or "/"
        self.method: str = v.get("method") or ""
        refuse(f"endpoint {self.path}", v, "require")
        self.status: int = response.get("status") or 200
        self.body: str = response.get("body") or ""
        self.size = parse_size(response.get("size"))
        self.timeout = parse_duration(v.get("timeout"))
        self.error_rate = float(v.get("errorRate") or 0)
        self.error_status: int = v.get("errorStatus") or 500
        if _NAMES.search(self.path) or _NAMES.search(self.body):
            raise ValueError(f"endpoint {self.path}: names in braces need a runtime of level L3, this one has L2")
        self._steps, self._calls = 0, 0
        self.callees: list[str] = []
        self.steps = self._compile(v.get("steps") or [])

    def _compile(self, steps: list[dict[str, Any]]) -> tuple[_Step, ...]:
        compiled: list[_Step] = []

        def add(op: Op, chance: float = 1, delay: Delay | None = None) -> None:
            compiled.append(_Step(op, self._steps, chance, delay))
            self._steps += 1

        for step in steps:
            if work := step.get("work"):
                for kind in ("sleep", "cpu"):
                    if not (delay := Delay(work.get(kind))).is_zero:
                        add(Op(kind), delay=delay)
                if units := work.get("cpuUnits"):
                    add(Op("units", units=units))
                if size := parse_size(work.get("io")):
                    add(Op("io", size=size))
                if size := parse_size(work.get("memory")):
                    add(Op("hold", size=size))
            if v := step.get("call"):
                call = _compile_call(v)
                self.callees.append(call.to)
                for _ in range(max(v.get("count") or 1, 1)):
                    add(Op("call", call=call, index=self._calls), chance=float(v.get("probability", 1)))
                    self._calls += 1
            if parallel := step.get("parallel"):
                n = self._steps
                self._steps += 1
                compiled.append(_Step(Op("parallel"), n, branches=tuple(self._compile([branch]) for branch in parallel)))
        return tuple(compiled)

    def decide(self, key: Key, caller: str, faults: FaultSet) -> list[Op]:
        """Return the program of one request."""
        ops = faults.decide(key, caller, self.path)
        if _ends(ops):
            return ops
        if self.error_rate > 0 and key.name("error").chance(self.error_rate):
            return [*ops, Op("fail", status=self.error_status)]
        return [*ops, *_decide(self.steps, key.name("step")), Op("respond", status=self.status)]


def _compile_call(v: dict[str, Any]) -> Call:
    refuse(f"call of {v['to']}", v, "retry", "breaker", "bulkhead", "rateLimit", "hedge", "fallback")
    path = v.get("endpoint") or "/"
    if _NAMES.search(path):
        raise ValueError(f"call of {v['to']}: names in braces need a runtime of level L3, this one has L2")
    return Call(
        v["to"], v.get("method") or "GET", path, parse_size(v.get("requestSize")), parse_duration(v.get("timeout")),
        v.get("onError") == "ignore", v.get("answers") or {},
    )  # fmt: skip


def _decide(steps: tuple[_Step, ...], key: Key) -> list[Op]:
    ops: list[Op] = []
    for step in steps:
        if step.chance < 1 and not key.number(step.n).name("chance").chance(step.chance):
            continue
        if step.delay is not None:
            ns = step.delay.draw(key.number(step.n)) if step.delay.quantile else step.delay.fixed
            ops.append(replace(step.op, ns=ns))
        elif step.branches:
            ops.append(replace(step.op, branches=tuple(tuple(_decide(branch, key)) for branch in step.branches)))
        else:
            ops.append(step.op)
    return ops


def _ends(ops: list[Op]) -> bool:
    return bool(ops) and ops[-1].kind in ("fail", "abort", "respond")


def decide_chain(chain: Chain, key: Key, caller: str, faults: FaultSet) -> list[Op]:
    """Return the program of a chain at one service."""
    ops = faults.decide(key, caller, "/")
    if _ends(ops):
        return ops
    ops += _chain_faults(chain.before, key.name("before"))
    if _ends(ops):
        return ops
    ops += [Op("route", route=route, index=i) for i, route in enumerate(chain.routes)]
    ops += _chain_faults(chain.after, key.name("after"))
    return ops if _ends(ops) else [*ops, Op("respond", status=200)]


def _chain_faults(faults: list[ChainFault], key: Key) -> list[Op]:
    ops: list[Op] = []
    for i, f in enumerate(faults):
        if f.type == "error" and not key.number(i).chance(f.rate):
            continue
        ops.append(Op(_kind_of(f.type), ns=max(f.delay, f.duration), size=f.size, cores=f.cores, status=f.status))
        if _ends(ops):
            break
    return ops


# The order in which faults act. From abort on, the first ends the request.
_ORDER = ("memory-leak", "latency", "cpu", "io", "corrupt", "hang", "abort", "panic", "error")
FAULT_TYPES = (*_ORDER, "unreachable")


def _kind_of(fault: str) -> str:
    return {"latency": "sleep", "memory-leak": "leak", "error": "fail", "panic": "abort"}.get(fault, fault)


class FaultSet:
    """The faults that act on one replica, in the order in which they act."""

    def __init__(self, replica: int, active: list[ActiveFault]) -> None:
        here = [f for f in active if f.type != "unreachable" and f.target.get("replica", 0) in (0, replica)]
        self.faults = sorted(here, key=lambda f: _ORDER.index(f.type))
        self.unreachable = [f for f in active if f.type == "unreachable"]

    def decide(self, key: Key, caller: str, path: str) -> list[Op]:
        """Return what the faults do to a request."""
        ops: list[Op] = []
        for f in self.faults:
            if f.target.get("from", caller) != caller or f.target.get("endpoint", path) != path:
                continue
            k = key.name("fault").name(f.id)
            if not k.chance(f.probability):
                continue
            kind = _kind_of(f.type)
            ns = f.delay.draw(k.name("delay")) if kind == "sleep" else f.hold
            ops.append(Op(kind, ns=ns, size=f.size, cores=f.cores, status=f.status, fault=f))
            if _ends(ops):
                break
        return ops

    def unreachable_by(self, key: Key, caller: str, to: str, path: str, replica: int, index: int) -> ActiveFault | None:
        """Return the fault that lets a call fail at once, if one does; replica counts from 1."""
        for f in self.unreachable:
            t = f.target
            if t.get("service") != to or t.get("from", caller) != caller or t.get("endpoint", path) != path or t.get("replica", 0) not in (0, replica):
                continue
            if key.name("fault").name(f.id).number(index).number(1).chance(f.probability):
                return f
        return None
