"""Rows that come block by block are fitted as rows that come at once."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import vocabulary
from shared.errors import DataError
from shared.sampling import MOST, Sample, Urn
from shared.schema import Column
from shared.transforms import Fitting, Transforms
from shared.values import Columns
from tests.shared.strategies import tables

CUTS = st.lists(st.integers(0, 30), max_size=5).map(sorted)


def cut(columns: Columns, cuts: Sequence[int]) -> list[Columns]:
    edges = [0, *cuts, None]
    return [
        {name: array[slice(*ends)] for name, array in columns.items()} for ends in pairwise(edges)
    ]


@given(tables(), CUTS)
def test_any_blocks_fit_what_the_whole_fits(
    table: tuple[list[Column], Columns], cuts: list[int]
) -> None:
    features, columns = table
    fitting = Fitting(features)
    for block in cut(columns, cuts):
        fitting.add(block)
    assert fitting.done().to_json() == Transforms.fit(columns, features).to_json()


@given(tables(), st.randoms())
def test_the_order_of_rows_changes_nothing(
    table: tuple[list[Column], Columns], random: Random
) -> None:
    features, columns = table
    order = list(range(len(columns[features[0].name])))
    random.shuffle(order)
    shuffled = {name: array[order] for name, array in columns.items()}
    fitted = Transforms.fit(shuffled, features)
    assert fitted.to_json() == Transforms.fit(columns, features).to_json()


@given(tables(), CUTS)
def test_any_blocks_are_encoded_to_the_bits_of_the_whole(
    table: tuple[list[Column], Columns], cuts: list[int]
) -> None:
    features, columns = table
    transforms = Transforms.fit(columns, features)
    whole = transforms.encode(columns)
    parts = [transforms.encode(block) for block in cut(columns, cuts)]
    assert np.concatenate([part.numeric for part in parts]).tobytes() == whole.numeric.tobytes()
    assert np.concatenate([part.codes for part in parts]).tobytes() == whole.codes.tobytes()


@given(st.integers(0, 200), st.integers(1, 60), st.lists(st.integers(0, 200)).map(sorted))
def test_a_sample_depends_on_the_rows_and_not_on_their_blocks(
    rows: int, most: int, cuts: list[int]
) -> None:
    values = np.arange(rows, dtype=np.float64)
    whole, sample, urn = Sample(most), Sample(most), Urn()
    whole.add(values, Urn().draw(rows))
    for start, end in zip([0, *cuts], [*cuts, rows], strict=True):
        block = values[start:end]
        sample.add(block, urn.draw(len(block)))
    assert sample.values().tolist() == whole.values().tolist()
    assert len(sample.values()) == min(rows, most)


def test_a_sample_is_spread_over_all_rows() -> None:
    sample, urn = Sample(1000), Urn()
    for start in range(0, 100_000, 5000):
        sample.add(np.arange(start, start + 5000), urn.draw(5000))
    tenths = np.bincount(sample.values() // 10_000)
    assert len(tenths) == 10
    assert (abs(tenths - 100) < 50).all()


def test_beyond_the_sample_the_extremes_are_still_the_columns_own() -> None:
    data = np.random.default_rng(0).normal(size=2 * MOST)
    data[[7, -7]] = -50.0, 50.0
    scaling = Transforms.fit({"x": data}, [Column("x", "numeric", clip=(0.0, 1.0))]).scalings[0]
    assert (scaling.low, scaling.high) == (-50.0, 50.0)
    assert scaling.centre == pytest.approx(0.0, abs=0.01)
    assert scaling.spread == pytest.approx(1.0, abs=0.02)


def test_a_column_of_too_many_levels_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MOST_LEVELS", 3)
    levels = np.array(list("abcd"), dtype=object)
    with pytest.raises(DataError, match=r"column 'x': there are more than 3 .* feature = false"):
        Transforms.fit({"x": levels}, [Column("x", "category")])
