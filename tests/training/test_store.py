"""Encoded rows on the disk: every row once an epoch, in an order that the seed decides."""

import os
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import StorageError
from training import store
from training.rows import Rows
from training.store import Stored


def rows(count: int) -> Rows:
    number = np.arange(count)
    numeric = np.stack([number, -number, 0 * number], axis=1).astype(np.float32)
    return Rows(numeric, number.astype(np.int32)[:, None], number.astype(np.float32))


def blocks(whole: Rows, cuts: list[int]) -> Iterator[Rows]:
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        yield whole.cut(start, max(start, end))


def stored(whole: Rows, cuts: list[int], chunk_rows: int = 4) -> Stored:
    row = whole.cut(0, 0)
    size = chunk_rows * store.row_bytes(row)
    return store.write(blocks(whole, cuts), row, whole.target, chunk_bytes=size)


def epoch(learnt: Stored, seed: int, number: int, batch: int) -> list[list[float]]:
    return [window.target.tolist() for window in learnt.windows(seed, number, batch)]


CUTS = st.lists(st.integers(0, 300), max_size=5).map(sorted)


@settings(deadline=None)
@given(st.integers(1, 300), CUTS, st.integers(1, 40))
def test_any_blocks_are_stored_as_the_same_rows(count: int, cuts: list[int], chunk: int) -> None:
    whole = rows(count)
    cuts = [place for place in cuts if place <= count]
    learnt, other = stored(whole, cuts, chunk), stored(whole, [], chunk)
    assert learnt.digest() == other.digest()
    for field in range(3):
        read = np.concatenate([block.arrays[field] for block in learnt.blocks()])
        assert read.tobytes() == whole.arrays[field].tobytes()


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 500), st.integers(0, 3))
def test_an_epoch_meets_each_row_once_in_whole_batches(count: int, batch: int, seed: int) -> None:
    windows = epoch(stored(rows(count), []), seed, 1, batch)
    assert sorted(chain.from_iterable(windows)) == list(range(count))
    assert all(len(window) % batch == 0 for window in windows[:-1])


def test_rows_keep_their_parts_together_when_they_are_shuffled() -> None:
    for window in stored(rows(500), []).windows(0, 1, 16):
        assert np.array_equal(window.numeric[:, 0], window.target)
        assert np.array_equal(window.numeric[:, 1], -window.target)
        assert np.array_equal(window.codes[:, 0], window.target)


def test_seed_and_epoch_decide_the_order() -> None:
    learnt = stored(rows(500), [])
    assert epoch(learnt, 3, 1, 16) == epoch(learnt, 3, 1, 16)
    assert epoch(learnt, 3, 1, 16) != epoch(learnt, 3, 2, 16)
    assert epoch(learnt, 3, 1, 16) != epoch(learnt, 4, 1, 16)


def test_a_window_mixes_places_from_all_over_the_file() -> None:
    first = next(stored(rows(10_000), []).windows(0, 1, 16)).target
    tenths = np.bincount((first // 1000).astype(int), minlength=10)
    assert np.count_nonzero(tenths) >= 7
    assert np.abs(np.diff(first)).mean() > 1000


def test_rows_are_taken_by_their_places() -> None:
    places = np.array([0, 3, 4, 250, 499])
    assert stored(rows(500), []).take(places).target.tolist() == places.tolist()


def test_a_process_forked_from_this_one_reads_the_same_rows() -> None:
    learnt = stored(rows(500), [])
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, b"same" if epoch(learnt, 0, 1, 16) == expected(learnt) else b"else")
        os._exit(0)
    assert epoch(learnt, 0, 1, 16) == expected(learnt)
    os.waitpid(child, 0)
    assert os.read(reading, 4) == b"same"
    os.close(reading)
    os.close(writing)


def expected(learnt: Stored) -> list[list[float]]:
    return epoch(learnt, 0, 1, 16)


def test_rows_in_memory_are_met_once_each_too() -> None:
    windows = [window.target.tolist() for window in rows(500).windows(0, 1, 16)]
    assert sorted(chain.from_iterable(windows)) == list(range(500))


def test_rows_that_are_gone_are_a_clear_error() -> None:
    learnt = stored(rows(500), [])
    os.truncate(learnt._file.fileno(), 100)
    with pytest.raises(StorageError, match="encoded rows are gone"):
        list(learnt.windows(0, 1, 16))
