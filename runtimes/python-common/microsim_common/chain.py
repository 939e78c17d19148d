"""MicroSim's requests that carry their own route and faults."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

MEGA = 1 << 20
DAY_MS = 24 * 3600e3
MAX_PROBLEMS = 20

# The arguments of each type of fault: those that it needs, then those it may have.
_ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "latency": (("delay",), ()), "memory-leak": (("size", "duration"), ()), "cpu": (("duration",), ("cores",)), "io": (("size",), ()),
    "error": ((), ("status", "rate")), "abort": ((), ()), "hang": ((), ()), "corrupt": ((), ()), "panic": ((), ()),
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """The bounds of chains; body and leak are in bytes."""

    depth: int = 64
    nodes: int = 10000
    fan_out: int = 1000
    faults: int = 100
    body: int = MEGA
    leak: int = 4 << 30


@dataclass
class ChainFault:
    """A fault of a chain: times in nanoseconds, sizes in bytes, the rate from 0 to 1."""

    type: str = ""
    delay: int = 0
    duration: int = 0
    size: int = 0
    cores: float = 1
    status: int = 500
    rate: float = 1


@dataclass
class Chain:
    """A chain; document is what is sent on."""

    document: Any
    designation: str = ""
    before: list[ChainFault] = field(default_factory=list)
    after: list[ChainFault] = field(default_factory=list)
    routes: list[Chain] = field(default_factory=list)


class ChainRefusedError(Exception):
    """A chain that is refused, with a text for each mistake."""

    def __init__(self, texts: list[str], status: int = 400) -> None:
        super().__init__("; ".join(texts))
        self.texts, self.status = texts, status


def parse_chain(body: bytes, limits: Limits) -> Chain:
    """Read a chain. Nothing of one with a mistake is run."""
    if len(body) > limits.body:
        raise ChainRefusedError([f"the chain has more than the {limits.body} bytes possible"], 413)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ChainRefusedError([f"reading a chain: {error}" if body else "reading a chain: it is empty"]) from None
    parser = _Parser(limits)
    try:
        chain = parser.chain(document, "", 1)
    except RecursionError:
        raise ChainRefusedError([f"the chain is deeper than the {limits.depth} services possible"]) from None
    if parser.problems:
        raise ChainRefusedError(parser.problems)
    return chain


class _Parser:
    def __init__(self, limits: Limits) -> None:
        self.limits, self.nodes = limits, 0
        self.problems: list[str] = []

    def add(self, path: str, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{path}: {text}" if path else text)

    def object(self, v: Any, path: str, *fields: str) -> bool:
        if not isinstance(v, dict):
            self.add(path, "write an object")
            return False
        for key in v:
            if key not in fields:
                self.add(_join(path, key), f"unknown field {json.dumps(key)}")
        return True

    def list(self, v: Any, path: str) -> list[Any]:
        if isinstance(v, list):
            return v
        if v is not None:
            self.add(path, "write a list")
        return []

    def chain(self, v: Any, path: str, depth: int) -> Chain:
        chain, limits = Chain(_compact(v) if depth == 1 else v), self.limits
        if depth > limits.depth:
            self.add(path, f"the chain is deeper than the {limits.depth} services possible")
            return chain
        self.nodes += 1
        if self.nodes > limits.nodes:
            if self.nodes == limits.nodes + 1:
                self.add("", f"the chain has more than the {limits.nodes} services possible")
            return chain
        if not self.object(v, path, "designation", "probability", "faults", "routes"):
            return chain
        v = chain.document if depth == 1 else v
        designation = v.get("designation")
        if not isinstance(designation, str) or not designation:
            self.add(_join(path, "designation"), "there is no designation")
        elif designation.startswith("http") and re.search(r"[\x00-\x20\x7f]", designation):
            self.add(_join(path, "designation"), "a URL has no spaces or control characters")
        else:
            chain.designation = designation
        if v.get("probability") is not None:
            self.number(v["probability"], _join(path, "probability"), 0, 100)
        self.faults(v.get("faults") or {}, _join(path, "faults"), chain)
        at = _join(path, "routes")
        routes = self.list(v.get("routes"), at)
        if len(routes) > limits.fan_out:
            self.add(at, f"{len(routes)} routes are more than the {limits.fan_out} possible at one service")
            return chain
        chain.routes = [self.chain(route, f"{at}[{i}]", depth + 1) for i, route in enumerate(routes)]
        return chain

    def faults(self, v: Any, path: str, chain: Chain) -> None:
        if not self.object(v, path, "before", "after"):
            return
        before, after = self.list(v.get("before"), _join(path, "before")), self.list(v.get("after"), _join(path, "after"))
        if len(before) + len(after) > self.limits.faults:
            self.add(path, f"{len(before) + len(after)} faults are more than the {self.limits.faults} possible at one service")
            return
        chain.before = [self.fault(f, f"{path}.before[{i}]") for i, f in enumerate(before)]
        chain.after = [self.fault(f, f"{path}.after[{i}]") for i, f in enumerate(after)]

    def fault(self, v: Any, path: str) -> ChainFault:
        fault = ChainFault()
        if not self.object(v, path, "type", "args"):
            return fault
        if not isinstance(v.get("type"), str) or not v["type"]:
            self.add("", "fault type was not defined")
            return fault
        fault.type = v["type"]
        if fault.type not in _ARGUMENTS:
            self.add("", f"fault type {fault.type[:64]}, is not implemented")
            return fault
        args, at = v.get("args") or {}, f"{path}.args"
        if self.object(args, at, "delay", "size", "duration", "cores", "status", "rate"):
            self.arguments(fault, args, at)
        return fault

    def arguments(self, fault: ChainFault, args: dict[str, Any], path: str) -> None:
        needs, may = _ARGUMENTS[fault.type]
        most = (1 << 10) if fault.type == "io" else self.limits.leak / MEGA
        for name in needs:
            if args.get(name) is None:
                self.add(_join(path, name), f"fault type {fault.type} needs {name}")
        for name, value in args.items():
            at = _join(path, name)
            if value is None:
                continue
            if name not in needs + may:
                self.add(at, f"fault type {fault.type} takes no {name}")
                continue
            match name:
                case "delay":
                    fault.delay = int(self.number(value, at, 0, DAY_MS) * 1e6)
                case "duration":
                    fault.duration = int(self.number(value, at, 0, DAY_MS) * 1e6)
                case "cores":
                    fault.cores = self.number(value, at, 0, 1024)
                case "rate":
                    fault.rate = self.number(value, at, 0, 100) / 100
                case "status":
                    status = self.number(value, at, 400, 599)
                    fault.status = int(status)
                    if status != fault.status:
                        self.add(at, f"{value} is no status")
                case "size":
                    if isinstance(value, int | float) and value > most:
                        self.add(at, f"{value} MB are more than the {most:.0f} MB possible")
                    else:
                        fault.size = int(self.number(value, at, 0, most) * MEGA)

    def number(self, v: Any, path: str, lo: float, hi: float) -> float:
        if isinstance(v, bool) or not isinstance(v, int | float) or math.isnan(v) or not lo <= v <= hi:
            self.add(path, f"{json.dumps(v)} is out of range: the range is {lo:.0f} to {hi:.0f}")
            return lo
        return v


def _compact(v: Any) -> Any:
    """Return what is sent on of a chain: all but what is null."""
    if isinstance(v, dict):
        return {key: _compact(value) for key, value in v.items() if value is not None}
    return [_compact(value) for value in v] if isinstance(v, list) else v


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
