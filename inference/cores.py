"""Which of the machine's cores a worker runs on.

Where there are as many workers as cores, each stays on one: else the system now and then lets two
wait for one core, for milliseconds, while another core has little to do. nginx and HAProxy can do
the same. What runs beside a worker's event loop may use every core.
"""

from __future__ import annotations

import os

_ALL = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else frozenset[int]()
"""The cores of this process; none where the system does not tell (macOS)."""


def keep(place: int, workers: int) -> None:
    """Let the calling thread, that of worker number `place` of so many, stay on a core of its own.

    Nothing happens where there are not as many workers as cores.
    """
    if workers == len(_ALL):
        os.sched_setaffinity(0, {sorted(_ALL)[place]})


def roam() -> None:
    """Let the calling thread, which began as its parent was, use all cores."""
    if _ALL:
        os.sched_setaffinity(0, _ALL)
