"""Servers in turn: each has the same load for a while, then sleeps while the others have it.

Here: what is sent, checking the answers, the rounds. Not here: what is made of it (serving.py), or
how a server is started (running.py).
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import load, running
from benchmarks.load import Latency
from benchmarks.running import Running
from benchmarks.servers import SERVERS
from inference import handler

WORKERS = 2
ROUNDS, ROUND_SECONDS = 5, 3.0
PACED_ROUNDS, PACED_SECONDS = 5, 3.0
PACED_WARM = 0.5
"""Seconds at the beginning of a round at half load that are not counted: connections are opened."""
WARM_STEADY, WARM_RISE, WARM_MOST = 10, 1.03, 90
""""Warm" is a server whose rate has not risen by 3 % for ten seconds: Java compiles what is busy
for tens of seconds."""
CHECKED_ROWS = 20
TOLERANCE = 1e-5


@dataclass
class Measured:
    """What a server did, round by round.

    Attributes:
        capacity: requests a second.
        paced: at half of the capacity.
        others: cores that other programs kept busy meanwhile.
        cpu: processor microseconds a request, at capacity.
        memory: megabytes after all rounds.
        problems: why it does not count.
    """

    capacity: list[float] = field(default_factory=list)
    paced: list[Latency] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Requests:
    """The same requests in the forms that they are needed in.

    Args:
        file: bodies of one row for wrk.
        first: a file with the first of them.
        bodies: the same bodies.
        scores: the score that each must be answered with.
    """

    file: Path
    first: Path
    bodies: Sequence[bytes]
    scores: Sequence[float]

    @classmethod
    def write(cls, bodies: Sequence[bytes], bundle: Path, folder: Path) -> Requests:
        """Put them into files, and ask the kit's core what their answers are."""
        file, first = folder / "rows", folder / "first"
        file.write_bytes(b"\0".join(bodies))
        first.write_bytes(bodies[0])
        model = handler.model_fn(bundle)
        answers = [
            handler.output_fn(handler.predict_fn(handler.input_fn(body, None), model), None)[0]
            for body in bodies[:CHECKED_ROWS]
        ]
        return cls(file, first, bodies, [_score(answer) for answer in answers])


def compare(
    names: Sequence[str],
    bundle: Path,
    requests: Requests,
    *,
    rounds: int = ROUNDS,
    seconds: float = ROUND_SECONDS,
    paced_rounds: int = PACED_ROUNDS,
) -> dict[str, Measured]:
    """Start all `names`, check their answers, and measure them in turn."""
    found = {name: Measured() for name in names}
    with contextlib.ExitStack() as stack:
        servers: dict[str, Running] = {}
        for name in names:
            server = running.running(SERVERS[name], bundle, requests.first, WORKERS)
            try:
                servers[name] = stack.enter_context(server)
            except running.StartError as error:
                print(error, flush=True)
                found[name].problems.append("does not start")
                continue
            found[name].problems += _wrong(servers[name], requests)
            servers[name].sleep()
        names = list(servers)
        warmed = {name: _warm(servers[name], requests) for name in names}
        told = (f"{name} {seconds}" for name, seconds in warmed.items())
        print(f"  seconds at capacity until warm: {', '.join(told)}", flush=True)
        for number in range(rounds):
            for name in _rotated(names, number):
                _capacity_round(servers[name], requests, seconds, found[name])
            print(
                f"  round {number + 1} of {rounds}, requests a second: {_line(found)}", flush=True
            )
        for number in range(paced_rounds):
            for name in _rotated(names, number):
                _paced_round(servers[name], requests, found[name])
        for name in names:
            with servers[name].awake():
                found[name].problems += _wrong(servers[name], requests)
                found[name].memory = servers[name].memory()
    return found


def _warm(server: Running, requests: Requests) -> int:
    """Load until the rate rises no more; the seconds that it took."""
    best, since, seconds = 0.0, 0, 0
    with server.awake():
        while since < WARM_STEADY and seconds < WARM_MOST:
            rate = load.capacity(server.port, requests.file, seconds=1).good
            since = 0 if rate > best * WARM_RISE else since + 1
            best = max(best, rate)
            seconds += 1
    return seconds


def _capacity_round(server: Running, requests: Requests, seconds: float, into: Measured) -> None:
    with server.awake():
        before = server.cpu_seconds()
        got = load.capacity(server.port, requests.file, seconds=seconds)
        spent = server.cpu_seconds() - before
    into.capacity.append(got.good)
    into.cpu.append(spent / max(got.answers, 1) * 1e6)
    if not got.good:
        into.problems.append("answered nothing in a round")
    if got.refused or got.broken:
        into.problems.append(f"errors under load ({got.refused:.1%} refused, {got.broken} broken)")


def _paced_round(server: Running, requests: Requests, into: Measured) -> None:
    rate = statistics.median(into.capacity) / 2
    if not rate:
        return
    with server.awake():
        seconds = PACED_WARM + PACED_SECONDS
        before, started = server.others_seconds(), time.perf_counter()
        answers = load.paced(server.port, requests.file, rate=rate, seconds=seconds)
        others = server.others_seconds() - before
        into.others.append(others / (time.perf_counter() - started))
    got = Latency.of([one for one in answers if one.due >= PACED_WARM])
    into.paced.append(got)
    if got.failed:
        into.problems.append(f"errors at half load ({got.failed} of {got.sent})")


def _wrong(server: Running, requests: Requests) -> list[str]:
    """What is wrong with its answers, if anything."""
    checked = CHECKED_ROWS if server.server.every_row else 1
    for body, score in zip(requests.bodies[:checked], requests.scores, strict=False):
        status, said = load.ask(server.port, body)
        if status != 200 or abs(_score(said) - score) > TOLERANCE:
            return [f"answers {status} {said[:80]!r}, but the score is {score:.6f}"]
    return []


def _score(answer: bytes) -> float:
    prediction = json.loads(answer)["predictions"][0]
    return float(prediction["score"])


def _rotated(names: Sequence[str], by: int) -> list[str]:
    start = by % len(names)
    return [*names[start:], *names[:start]]


def _line(found: Mapping[str, Measured]) -> str:
    last = {name: one.capacity[-1] for name, one in found.items() if one.capacity}
    return ", ".join(f"{name} {capacity:,.0f}" for name, capacity in last.items())
