"""The work of a service.

Python runs one thread at a time, so all work on the processor of one process shares one core.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

_CHUNK = 256
_UNIT_ROOTS = 32768
_SYNC_EVERY = 512 * 1024
_BLOCK = bytes(1024)


def _roots(n: int) -> None:
    for _ in range(n):
        math.sqrt(random.random())


def burn_units(units: float) -> None:
    """Take so many units of 32 768 square roots of random numbers."""
    _roots(int(units * _UNIT_ROOTS))


def burn_time(ns: int) -> None:
    """Spend so much processor time on this thread."""
    end = time.thread_time_ns() + ns
    while time.thread_time_ns() < end:
        _roots(_CHUNK)


_BURN = """
import math, sys, time
share, end = float(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    period = time.monotonic()
    while time.monotonic() < min(end, period + share / 100):
        for _ in range(256): math.sqrt(2)
    if share < 1: time.sleep(max(0.0, period + 0.01 - time.monotonic()))
"""


def burn_cores(cores: float, ns: int) -> None:
    """Keep a number of processors busy for so long, by processes of their own."""
    burners = []
    while cores > 0:
        command = [sys.executable, "-S", "-E", "-c", _BURN, str(min(cores, 1)), str(ns / 1e9)]
        burners.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        cores -= 1
    for burner in burners:
        burner.wait()


def write_and_sync(size: int) -> None:
    """Write a temporary file, sync it every 512 KiB and at the end, and remove it."""
    with tempfile.TemporaryFile(prefix="microsim-io-", buffering=0) as file:
        written = 0
        while written < size:
            written += file.write(_BLOCK[: size - written])
            if written % _SYNC_EVERY == 0 or written == size:
                os.fsync(file.fileno())


def sleep(ns: int, stopping: threading.Event) -> None:
    """Wait, unless the service ends before."""
    end = time.monotonic_ns() + ns
    while (left := end - time.monotonic_ns()) > 0 and not stopping.wait(left / 1e9):
        pass


class Memory:
    """Memory that is held, within the bound of the contract."""

    MAX = 4 << 30

    def __init__(self) -> None:
        self.held = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> Callable[[], None]:
        """Take memory and make it real. The function that is returned gives it back."""
        with self._lock:
            if self.held + size > self.MAX:
                raise MemoryError(f"{size} bytes beside the {self.held} held are more than the {self.MAX} possible")
            self.held += size
        block = [b"\1" * size]

        def free() -> None:
            with self._lock:
                if block:
                    block.clear()
                    self.held -= size

        return free
