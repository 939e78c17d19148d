"""Keys by which every random decision is made, and the distributions of delays.

A key follows from the seed and the names of what decides, so all runtimes decide alike;
testdata/vectors.json of the project has examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .exact import exp, log, log1p, normal_quantile

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _mix(z: int) -> int:
    """Return the output function of SplitMix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


@dataclass(frozen=True, slots=True)
class Key:
    """A key names one random decision."""

    value: int

    @staticmethod
    def seed(seed: int) -> Key:
        """Return the root of all keys of a run."""
        return Key(_mix((seed + _GOLDEN) & _MASK))

    def name(self, name: str) -> Key:
        """Return the key of something that has a name."""
        data = name.encode()
        h = self.value ^ 14695981039346656037
        for byte in data:
            h = ((h ^ byte) * 1099511628211) & _MASK
        return Key(_mix((h + len(data)) & _MASK))

    def number(self, n: int) -> Key:
        """Return the key of something that has a number."""
        rotated = ((self.value << 25) | (self.value >> 39)) & _MASK
        return Key(_mix(rotated ^ _mix((n + _GOLDEN) & _MASK)))

    def uint64(self) -> int:
        """Return the key's one draw."""
        return _mix((self.value + _GOLDEN) & _MASK)

    def float64(self) -> float:
        """Return the key's one draw, uniform in [0, 1)."""
        return (self.uint64() >> 11) / (1 << 53)

    def int_n(self, n: int) -> int:
        """Return the key's one draw, uniform in 0..n-1."""
        return (self.uint64() * n) >> 64

    def chance(self, p: float) -> bool:
        """Report whether something of probability p happens."""
        return p > 0 and self.float64() < p


_MAX_DELAY = 24 * 3600 * 1_000_000_000
_Z99 = 2.3263478740408408
_UNITS = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9,
    "m": 60 * 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9,
}  # fmt: skip
_PART = re.compile(r"(\d+)(?:\.(\d+))?([a-zµμ]+)")


def parse_duration(text: Any) -> int:
    """Read a duration such as 1m30s, in nanoseconds."""
    if text in (None, "", "0"):
        return 0
    if not isinstance(text, str) or not re.fullmatch(r"-?(\d+(\.\d+)?[a-zµμ]+)+", text):
        raise ValueError(f"invalid duration {text!r}: write a number with a unit, such as 300ms or 1m30s")
    total = 0
    for whole, fraction, unit in _PART.findall(text):
        if unit not in _UNITS:
            raise ValueError(f"invalid duration {text!r}: {unit} is not a unit")
        total += int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction)
    return -total if text.startswith("-") else total


_SIZES = {"": 1} | {s: 1000**i for i, s in enumerate("kMGTP", 1)} | {f"{s}i": 1024**i for i, s in enumerate("KMGTP", 1)}


def parse_size(text: Any) -> int:
    """Read a size such as 64Ki, in bytes."""
    if text is None:
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(\D*)", str(text))
    if not match or match[2] not in _SIZES:
        raise ValueError(f"invalid size {text!r}: write a number of bytes, such as 512 or 64Ki")
    return int(float(match[1]) * _SIZES[match[2]])


class Delay:
    """A distribution of durations, in nanoseconds."""

    def __init__(self, text: Any = None) -> None:
        self.fixed = 0
        self.quantile: Callable[[float], float] | None = None
        if isinstance(text, dict) and "fixed" not in text:
            self.quantile = _quantile_of(text)
        else:
            self.fixed = parse_duration(text["fixed"] if isinstance(text, dict) else text)

    @property
    def is_zero(self) -> bool:
        """Report whether the delay is always 0."""
        return self.fixed == 0 and self.quantile is None

    def draw(self, key: Key) -> int:
        """Return the duration that the key decides."""
        if self.quantile is None:
            return min(self.fixed, _MAX_DELAY)
        return int(min(max(self.quantile(key.float64()), 0), _MAX_DELAY))

    @staticmethod
    def jittered(delay: int, jitter: int) -> Delay:
        """Return a delay that is uniform around another."""
        d = Delay()
        if jitter == 0:
            d.fixed = delay
        else:
            lo, hi = float(delay - jitter), float(delay + jitter)
            d.quantile = lambda p: p * (hi - lo) + lo
        return d


def _quantile_of(text: dict[str, Any]) -> Callable[[float], float]:
    if len(text) != 1:
        raise ValueError(f"expected one distribution, got {text!r}")
    [(kind, v)] = text.items()

    def ns(name: str) -> float:
        return float(parse_duration(v.get(name)))

    match kind:
        case "uniform":
            lo, hi = ns("min"), ns("max")
            return lambda p: p * (hi - lo) + lo
        case "normal":
            mean, deviation = ns("mean"), ns("stddev")
            return lambda p: deviation * normal_quantile(p) + mean
        case "lognormal":
            mu = log(ns("p50"))
            sigma = (log(ns("p99")) - mu) / _Z99
            return lambda p: exp(sigma * normal_quantile(p) + mu)
        case "exponential":
            scale = ns("mean")
            return lambda p: -scale * log1p(-p)
        case "pareto":
            least, alpha = ns("min"), float(v["alpha"])
            return lambda p: least * exp(-log1p(-p) / alpha)
        case "empirical":
            values = [float(parse_duration(text)) for text in v]
            return lambda p: values[min(int(p * len(values)), len(values) - 1)]
    raise ValueError(f"distribution {kind!r} is not known")
