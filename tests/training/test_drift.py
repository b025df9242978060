"""What is said of new rows that differ from the old ones, and what is not worth a word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.retraining import Shift
from shared.schema import Column
from shared.transforms import Transforms
from training import drift

COLUMNS = (
    Column("weight", "numeric"),
    Column("fruit", "category", min_count=1),
    Column("ripe", "boolean"),
    Column("picked", "datetime"),
    Column("shop.size", "numeric"),
)


def rows(count: int = 1000, **changed: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    start = np.datetime64("2024-01-01", "us")
    columns = {
        "weight": random.normal(100, 20, count),
        "fruit": np.array(["apple", "pear"] * (count // 2), dtype=object),
        "ripe": random.integers(0, 2, count).astype(np.float64),
        "picked": start + np.arange(count) * np.timedelta64(1, "h"),
        "shop.size": random.normal(5, 1, count),
    }
    return {**columns, **changed}


def found(**changed: Any) -> dict[tuple[str, str], Shift]:
    old, new = rows(), rows(**changed)
    transforms = Transforms.fit(old, COLUMNS)
    return {(one.column, one.what): one for one in drift.shifts(transforms, old, new)}


def test_rows_of_the_same_kind_are_not_worth_a_word() -> None:
    shifts = found()
    assert not [shift for shift in shifts.values() if shift.words]
    assert drift.told(list(shifts.values())).endswith("the new rows look like the old ones")
    assert {name for name, _ in shifts} == {column.name for column in COLUMNS}


def test_levels_that_training_never_saw_are_counted_and_named() -> None:
    fruit = np.array(["apple"] * 900 + ["kiwi"] * 60 + ["fig"] * 40, dtype=object)
    shift = found(fruit=fruit)["fruit", "unknown"]
    assert (shift.old, shift.new) == (0.0, 0.1)
    assert shift.words is not None
    assert "10.0% of the new rows hold a level that training never saw (kiwi, fig)" in shift.words
    assert "make deploy" in shift.words


def test_a_column_of_nothing_but_unknown_levels_is_said_to_be_one() -> None:
    words = found(fruit=np.array(["kiwi"] * 1000, dtype=object))["fruit", "unknown"].words
    assert words is not None
    assert "every new row holds a level that training never saw" in words


def test_values_beyond_the_fitted_range_are_counted_with_the_range() -> None:
    shift = found(weight=rows()["weight"] + 60)["weight", "outside"]
    assert shift.old < 0.01
    assert shift.new > 0.4
    assert shift.words is not None
    assert "lie outside" in shift.words


@pytest.mark.parametrize(("missing", "told"), [(20, False), (300, True)])
def test_a_missing_rate_is_told_where_it_moved_by_more_than_the_threshold(
    missing: int, told: bool
) -> None:
    weight = rows()["weight"]
    weight[:missing] = np.nan
    shift = found(weight=weight)["weight", "missing"]
    assert shift.new == missing / 1000
    assert bool(shift.words) is told


def test_a_source_that_knows_too_little_is_named_with_its_cure() -> None:
    words = found(**{"shop.size": np.full(1000, np.nan)})["shop.size", "missing"].words
    assert words is not None
    assert "the source 'shop'" in words
    assert "missing in 100.0% of the new rows, 0.0% of the old" in words
