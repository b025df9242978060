"""More than the server can take: ten times as many connections as it lets requests in.

Goodput is what it still answers with 200, as a share of its capacity; all other requests get their
503. Then requests of 10,000 rows, likewise. Before and after each flood the same few requests a
second tell what is normal and when the server is back to it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import load
from benchmarks.figures import Figure
from benchmarks.load import Answer, Capacity, Latency
from benchmarks.running import Running
from inference import limits

TIMES = 10
ROUNDS = 3
SECONDS = 4.0
PROBES = 200
"""A second: a few per cent of the capacity."""
USUAL_SECONDS, WATCHED_SECONDS = 1.0, 2.0
WINDOW_SECONDS = 0.1
SLOWED = 2.0
STEADY = 3


def figures(server: Running, rows: Path, large: Path, workers: int) -> Iterator[Figure]:
    """Goodput and recovery with one row a request and with many.

    Args:
        server: ours.
        rows: bodies of one row, in JSON.
        large: a body of 10,000 rows, in CSV.
        workers: of the server.
    """
    one_row = ("one row", rows, "application/json", 16, limits.IN_FLIGHT)
    few = workers * limits.LARGE_IN_FLIGHT
    many_rows = ("10,000 rows", large, "text/csv", few, limits.LARGE_IN_FLIGHT)
    for name, bodies, content_type, few, allowed in (one_row, many_rows):
        connections = TIMES * allowed * workers
        shares, seconds = [], []
        before = _load(server, bodies, content_type, few)
        for _ in range(ROUNDS):
            usual = Latency.of(_probe(server, rows, USUAL_SECONDS)).p50
            flood = _load(server, bodies, content_type, connections)
            seconds.append(recovery(_probe(server, rows, WATCHED_SECONDS), usual))
            after = _load(server, bodies, content_type, few)
            capacity = (before.good + after.good) / 2
            shares.append(flood.good / capacity)
            before = after
            print(
                f"  {name}: {capacity:,.0f} a second over {few} connections; over {connections} "
                f"{flood.good:,.0f}, {flood.refused:.0%} refused, {flood.broken} broken; "
                f"back to normal after {seconds[-1]:.1f} s",
                flush=True,
            )
        share = statistics.median(shares)
        yield Figure(f"overload, {name} a request: goodput", share, "x", ">=", 0.7, 0.8)
        yield Figure(f"overload, {name} a request: back to normal", max(seconds), "s", "<=", 1, 1)


def _load(server: Running, bodies: Path, content_type: str, connections: int) -> Capacity:
    return load.capacity(
        server.port, bodies, content_type, connections=connections, seconds=SECONDS
    )


def _probe(server: Running, rows: Path, seconds: float) -> list[Answer]:
    return load.paced(server.port, rows, rate=PROBES, seconds=seconds)


def recovery(answers: Sequence[Answer], usual: float) -> float:
    """Seconds until the last refusal, and until answers take about as long as usual again.

    They do from the first of STEADY windows in a row whose median is at most SLOWED times `usual`,
    seconds, which must have been found at the same rate: a server that sleeps between two requests
    takes longer for each. Infinite when they do not, or when the last request is refused.
    """
    refused = [one.due for one in answers if one.status != 200]
    if refused and refused[-1] == answers[-1].due:
        return math.inf
    windows: dict[int, list[float]] = {}
    for one in answers:
        windows.setdefault(int(one.due / WINDOW_SECONDS), []).append(one.latency)
    steady = 0
    for number, latencies in windows.items():
        steady = steady + 1 if statistics.median(latencies) <= SLOWED * usual else 0
        if steady == STEADY:
            begun = (number - STEADY + 1) * WINDOW_SECONDS
            return max([begun, *refused[-1:]])
    return math.inf
