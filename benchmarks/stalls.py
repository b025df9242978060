"""How long the machine itself keeps each core from whoever is measured on it.

Programs of the system, and of the host of a virtual machine, take a core for milliseconds now and
then. That shows in any p99 and is no server's doing. `python -m benchmarks.stalls` prints it; every
core is kept busy meanwhile, so that nothing can be moved to one that is not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import NamedTuple

SECONDS = 5.0
NOTED = 0.0005
"""Shorter ones do not matter here."""


class Stalls(NamedTuple):
    """Of one core: the share of the time that it was taken, and seconds at the longest."""

    share: float
    longest: float


def measure(seconds: float = SECONDS) -> list[Stalls]:
    """All cores that this process may use, at the same time; none where they cannot be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    words = [sys.executable, "-m", "benchmarks.stalls", str(seconds)]
    cores = sorted(os.sched_getaffinity(0))
    watchers = [
        subprocess.Popen([*words, str(core)], stdout=subprocess.PIPE, text=True) for core in cores
    ]
    said = [watcher.communicate(timeout=seconds + 60)[0] for watcher in watchers]
    return [Stalls(*map(float, line.split())) for line in said]


def told(seconds: float = SECONDS) -> str:
    """A line about it."""
    each = [
        f"{one.share:.1%}, {one.longest * 1e3:.1f} ms at the longest" for one in measure(seconds)
    ]
    return f"taken from each core by the machine itself: {'; '.join(each) or 'not known here'}"


def watch(core: int, seconds: float) -> Stalls:
    """Stay on `core`, and see when the clock jumps."""
    os.sched_setaffinity(0, {core})
    clock = time.perf_counter
    taken = longest = 0.0
    last = started = clock()
    while last < started + seconds:
        now = clock()
        if now - last > NOTED:
            taken += now - last
            longest = max(longest, now - last)
        last = now
    return Stalls(taken / (last - started), longest)


def main() -> int:
    """Print the line; with seconds and a core, that core's two numbers."""
    if sys.argv[1:]:
        seconds, core = sys.argv[1:]
        print(*watch(int(core), float(seconds)))
    else:
        print(told())
    return 0


if __name__ == "__main__":
    sys.exit(main())
