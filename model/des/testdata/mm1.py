"""An M/M/1 queue in SimPy, written as its documentation writes such a queue.

Usage: mm1.py LOAD CUSTOMERS. Prints the seconds that the simulation took, and
the mean time of a customer in the system, in mean services.
"""

import random
import sys
import time
from typing import Generator

import simpy


def customer(env: simpy.Environment, server: simpy.Resource, seen: list[float]) -> Generator:
    """One customer waits for the server, is served, and leaves."""
    arrived = env.now
    with server.request() as turn:
        yield turn
        yield env.timeout(random.expovariate(1.0))
    seen.append(env.now - arrived)


def source(env: simpy.Environment, server: simpy.Resource, load: float, count: int, seen: list[float]) -> Generator:
    """Customers arrive as a Poisson process."""
    for _ in range(count):
        yield env.timeout(random.expovariate(load))
        env.process(customer(env, server, seen))


def main() -> None:
    """Run one simulation and print what it took."""
    load, count = float(sys.argv[1]), int(sys.argv[2])
    random.seed(1)
    env = simpy.Environment()
    seen: list[float] = []
    env.process(source(env, simpy.Resource(env, capacity=1), load, count, seen))
    began = time.perf_counter()
    env.run()
    print(time.perf_counter() - began, sum(seen) / len(seen))


main()
