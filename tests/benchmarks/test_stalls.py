"""How long the machine keeps a core from a program."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import stalls

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here"
)


def test_only_jumps_of_the_clock_count_as_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.1e-3, 8.1e-3, 8.2e-3, 10.2e-3, 10.6e-3, 20e-3])
    monkeypatch.setattr(stalls.time, "perf_counter", lambda: next(times))
    core = min(os.sched_getaffinity(0))
    with ThreadPoolExecutor(1) as thread:  # it stays on that core
        found = thread.submit(stalls.watch, core, 20e-3).result(30)
    assert found.longest == pytest.approx(9.4e-3)
    assert found.share == pytest.approx((8 + 2 + 9.4) / 20)


def test_every_core_is_watched_and_has_its_part_in_the_line() -> None:
    assert len(stalls.measure(0.01)) == len(os.sched_getaffinity(0))
    assert "ms at the longest" in stalls.told(0.01)
