"""More than the server can take: ten times as many connections as it lets requests in.

Goodput is what it still answers with 200, as a share of its capacity; all other requests get their
503. Then requests of 10,000 rows, likewise. After each flood one request at a time asks whether
the server is back to normal.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import load
from benchmarks.figures import Figure
from benchmarks.load import Capacity
from benchmarks.running import Running
from inference import limits

TIMES = 10
ROUNDS = 3
SECONDS = 4.0
WATCHED_SECONDS = 2.0
WINDOW_SECONDS = 0.1
SLOWED = 2.0
STEADY = 3
PROBES = 100


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
    body = rows.read_bytes().partition(b"\0")[0]
    for name, bodies, content_type, few, allowed in (one_row, many_rows):
        connections = TIMES * allowed * workers
        shares, seconds = [], []
        before = _load(server, bodies, content_type, few)
        for _ in range(ROUNDS):
            usual = statistics.median(_probe(server.port, body) for _ in range(PROBES))
            flood = _load(server, bodies, content_type, connections)
            seconds.append(_recovery(server.port, body, usual))
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


def _probe(port: int, body: bytes) -> float:
    """Seconds of one request on a connection of its own; infinite unless its answer is a 200."""
    started = time.perf_counter()
    try:
        status, _ = load.ask(port, body)
    except OSError:
        return float("inf")
    return time.perf_counter() - started if status == 200 else float("inf")


def _recovery(port: int, body: bytes, usual: float) -> float:
    """Seconds until the last refusal, and until answers take about as long as usual again.

    They do from the first of STEADY windows in a row whose median is at most SLOWED times `usual`.
    """
    started = time.perf_counter()
    refused = 0.0
    normal: list[float] = []
    steady = None
    while (begun := time.perf_counter() - started) < WATCHED_SECONDS:
        probes = []
        while time.perf_counter() - started < begun + WINDOW_SECONDS:
            probes.append(_probe(port, body))
            time.sleep(0.002)
        if max(probes) == float("inf"):
            refused = time.perf_counter() - started
        normal = [*normal, begun] if statistics.median(probes) <= SLOWED * usual else []
        if steady is None and len(normal) == STEADY:
            steady = normal[0]
    return max(refused, WATCHED_SECONDS if steady is None else steady)
