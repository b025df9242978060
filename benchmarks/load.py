"""Load for a server on 127.0.0.1: as much as it takes (wrk), or at a rate (pace.c).

At a rate it is open-loop: requests have fixed due times. One that finds every connection busy is
counted from when it was due, so a server that stalls is charged for all that waited (no coordinated
omission). How late the generator itself was is told and not counted as the server's.
"""

from __future__ import annotations

import functools
import http.client
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_suffix(".lua")
THREADS = 2
PACE = Path(__file__).with_name("pace.c")
BUILD = Path(__file__).parent.parent / "build"
CONNECTIONS = 16
ANSWER_SECONDS = 5.0
"""How long after the last request answers are waited for."""
NANO = 1e-9


class LoadError(Exception):
    """What was to make the load failed; the message says how."""


@dataclass(frozen=True)
class Capacity:
    """What came back in a closed loop.

    Args:
        good: answers of 2xx and 3xx a second.
        answers: all of them.
        refused: share of answers with another status.
        broken: connections that failed or timed out.
    """

    good: float
    answers: int
    refused: float
    broken: int


@dataclass(frozen=True)
class Answer:
    """What became of one request at a rate. Seconds.

    Args:
        due: when it was to be sent, from the first one's.
        latency: from then, or from when it was sent if a connection was free for it all along, to
            the answer's last byte; infinite without an answer.
        late: how long the generator left it, though it was due and a connection was free.
        status: of HTTP; 0 without an answer.
    """

    due: float
    latency: float
    late: float
    status: int


@dataclass(frozen=True)
class Latency:
    """What came back at a rate. Seconds.

    Args:
        p50, p99: of all requests; one without an answer takes for ever.
        late_p50, late_p99: the generator's own lateness.
        failed: requests without a 200.
        sent: requests.
    """

    p50: float
    p99: float
    late_p50: float
    late_p99: float
    failed: int
    sent: int

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Latency:
        """The quantiles."""
        latencies, late = [one.latency for one in answers], [one.late for one in answers]
        return cls(
            *(quantile(latencies, share) for share in (0.5, 0.99)),
            *(quantile(late, share) for share in (0.5, 0.99)),
            failed=sum(one.status != 200 for one in answers),
            sent=len(answers),
        )


def wrk() -> str:
    """The path of wrk; says how to get it where it is missing."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("wrk is needed: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS)")
    return found


@functools.cache
def pace() -> Path:
    """The generator at a rate, compiled; says how to get a compiler where there is none."""
    if shutil.which("cc") is None:
        sys.exit(
            "a C compiler is needed: apt-get install gcc libc6-dev (Debian, Ubuntu), "
            "xcode-select --install (macOS)"
        )
    BUILD.mkdir(exist_ok=True)
    path = BUILD / "pace"
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="pace-") as folder:
        made = Path(folder) / path.name
        words = ["cc", "-O2", "-pthread", "-o", str(made), str(PACE)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{PACE.name} does not compile:\n{done.stderr[-2000:]}")
        os.replace(made, path)
    return path


def capacity(
    port: int,
    bodies: Path,
    content_type: str = "application/json",
    *,
    connections: int = CONNECTIONS,
    seconds: float,
) -> Capacity:
    """As many requests as the server answers, each connection sending when it has its answer.

    Args:
        port: of the server.
        bodies: a file with a NUL between two bodies, which are sent in turn.
        content_type: theirs.
        connections: all kept alive.
        seconds: how long; wrk takes whole ones.

    Raises:
        LoadError: wrk fails.
    """
    whole = max(1, math.ceil(seconds))
    words = [wrk(), f"-t{THREADS}", f"-c{max(connections, THREADS)}", f"-d{whole}s"]
    words += ["--timeout", "10s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"]
    words += ["--", str(bodies), content_type]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=whole + 60)
    for line in done.stdout.splitlines():
        if line.startswith("[result]"):
            said = json.loads(line.removeprefix("[result]"))
            answers = said["requests"]
            good = (answers - said["refused"]) / said["seconds"]
            return Capacity(good, answers, said["refused"] / max(answers, 1), said["broken"])
    raise LoadError(f"wrk failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")


def paced(
    port: int,
    bodies: Path,
    content_type: str = "application/json",
    *,
    rate: float,
    seconds: float,
    connections: int = CONNECTIONS,
) -> list[Answer]:
    """Send requests in turn, `rate` a second, evenly spaced.

    Args:
        port: of the server.
        bodies: a file with a NUL between two bodies, which are sent in turn.
        content_type: theirs.
        rate: a second.
        seconds: how long.
        connections: at most so many are open.

    Raises:
        LoadError: the generator fails.
    """
    count = max(1, round(rate * seconds))
    words = [port, bodies, content_type, rate, count, connections, ANSWER_SECONDS]
    done = subprocess.run(
        [str(pace()), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + ANSWER_SECONDS + 60,
    )
    if done.returncode:
        raise LoadError(f"{PACE.name} failed:\n{done.stderr[-1000:]}")
    return [_answer(*map(int, line.split())) for line in done.stdout.splitlines()]


def _answer(due: int, free: int, sent: int, answered: int, status: int) -> Answer:
    latency = (answered - (sent if free <= due else due)) * NANO if status else math.inf
    return Answer(due * NANO, latency, max(0, sent - max(due, free)) * NANO, status)


def ask(port: int, body: bytes, content_type: str = "application/json") -> tuple[int, bytes]:
    """Status and body of one answer."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        client.request("POST", "/invocations", body, {"Content-Type": content_type})
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; infinite where there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.inf
