"""Counting what a worker answered."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import cast

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
