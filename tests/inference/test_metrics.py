"""Counting what a worker answered."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import handler
from inference.metrics import BOUNDS, STAGES, Done, Recorder
from shared.predictions import Predictions

NANOSECONDS = st.integers(0, 200 * 10**9)
REQUESTS = st.tuples(st.integers(1, 64), NANOSECONDS, NANOSECONDS)
"""Rows; until the body was there; until it was parsed."""
BATCHES = st.lists(
    st.tuples(
        st.lists(REQUESTS, min_size=1, max_size=5), st.lists(NANOSECONDS, min_size=5, max_size=5)
    ),
    max_size=8,
)


@pytest.fixture(scope="module", name="loop")
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def _done(requests: Sequence[tuple[int, int, int]], times: Sequence[int]) -> Done:
    """Requests that began at 0 and were answered together."""
    *stages, encoded, written = times
    each = [number for rows, read, parsed in requests for number in (rows, 0, read, read + parsed)]
    nothing = cast(Predictions, None)
    answer = handler.Answer(nothing, "1", handler.Stages(*stages), ())
    return Done(cast(handler.Model, None), answer, each, written - encoded, written)


@given(BATCHES)
def test_each_request_counts_in_the_class_of_each_of_its_times(
    loop: asyncio.AbstractEventLoop,
    batches: list[tuple[list[tuple[int, int, int]], list[int]]],
) -> None:
    recorder = Recorder(loop, lambda: None, None)
    classes = np.zeros((len(STAGES), len(BOUNDS) + 1), int)
    sums = np.zeros(len(STAGES))
    bounds = [round(bound * 1e9) for bound in BOUNDS]
    for requests, times in batches:
        recorder.answers(_done(requests, times))
        for _, read, parsed in requests:
            for stage, time in enumerate((read, parsed, *times)):
                classes[stage, bisect_left(bounds, time)] += 1
                sums[stage] += time * 1e-9
    recorder.flush()
    assert recorder.times.tolist() == classes.tolist()
    assert np.allclose(recorder.sums, sums)
    assert recorder.answered == sum(len(requests) for requests, _ in batches)
    assert recorder.rows == sum(rows for requests, _ in batches for rows, _, _ in requests)


class Turns:
    """An event loop that does what it was asked to do later when it is told to."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def call_later(self, _: float, callback: Callable[..., None], *given: Any) -> None:
        self.later.append(lambda: callback(*given))

    def turn(self) -> None:
        if self.later:
            self.later.pop(0)()


@given(st.lists(st.one_of(BATCHES, st.sampled_from(["a turn", "all at once"]))))
def test_counting_step_by_step_comes_to_the_same_whatever_happens_between_two_steps(
    loop: asyncio.AbstractEventLoop, happenings: Sequence[Any]
) -> None:
    told: list[int] = []
    turns = Turns()
    stepped = Recorder(
        cast(asyncio.AbstractEventLoop, turns), lambda: told.append(stepped.answered), None
    )
    at_once = Recorder(loop, lambda: None, None)
    for happens in happenings:
        if happens == "a turn":
            turns.turn()
        elif happens == "all at once":
            stepped.flush()
            at_once.flush()
            assert stepped.times.tolist() == at_once.times.tolist()
        else:
            for batch in happens:
                stepped.answers(_done(*batch))
                at_once.answers(_done(*batch))
    while turns.later:
        turns.turn()
    at_once.flush()
    assert stepped.times.tolist() == at_once.times.tolist()
    assert np.allclose(stepped.sums, at_once.sums)
    assert stepped.rows == at_once.rows
    assert (told or [0])[-1] == stepped.answered == at_once.answered


def test_requests_have_their_turn_between_the_parts_of_counting() -> None:
    told: list[None] = []
    turns = Turns()
    recorder = Recorder(cast(asyncio.AbstractEventLoop, turns), lambda: told.append(None), None)
    recorder.answers(_done([(1, 5, 5)], [1, 2, 3, 4, 5]))
    counted = []
    while turns.later:
        turns.turn()
        counted.append(int(recorder.times.any(axis=1).sum()))
    assert len(set(counted)) >= 4
    assert counted[-1] == len(STAGES)
    assert len(told) == 1
