"""Which cores a worker's threads run on."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference import cores

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the system does not tell which cores there are"
)


def _kept(place: int, workers: int) -> set[int]:
    """The cores of a thread that is worker number `place`."""

    def inside() -> set[int]:
        cores.keep(place, workers)
        return os.sched_getaffinity(0)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(inside).result(30)


def test_as_many_workers_as_cores_have_each_a_core_of_its_own() -> None:
    everything = os.sched_getaffinity(0)
    found = [_kept(place, len(everything)) for place in range(len(everything))]
    assert [len(kept) for kept in found] == [1] * len(everything)
    assert set().union(*found) == everything


def test_more_workers_than_cores_share_them_all() -> None:
    everything = os.sched_getaffinity(0)
    assert _kept(0, len(everything) + 1) == everything


def test_what_runs_beside_a_worker_may_use_every_core() -> None:
    everything = os.sched_getaffinity(0)

    def inside() -> set[int]:
        cores.keep(0, len(everything))
        with ThreadPoolExecutor(1, initializer=cores.roam) as beside:
            return beside.submit(os.sched_getaffinity, 0).result(30)

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(inside).result(30) == everything
