"""Parts of the rows have their own scores, and chance is not called a finding."""

from typing import Any

import numpy as np
import pytest

from shared.predictions import Predictions
from shared.schema import Column, Target
from training.evaluation import slices
from training.evaluation.slices import Slice

RANDOM = np.random.default_rng(0)
SHOP = Column("shop", "category")
NONE: Any = np.empty(0)


def numbers(values: Any) -> Predictions:
    return Predictions(Target("price", "regression"), np.asarray(values), NONE.astype(int), NONE)


def choices(choice: Any) -> Predictions:
    target = Target("grade", "multiclass", ("a", "b", "c"))
    return Predictions(target, NONE, np.asarray(choice), np.zeros((len(choice), 3)))


def scores(values: Any) -> Predictions:
    found = np.asarray(values)[:, None]
    target = Target("late", "binary", (False, True))
    return Predictions(target, NONE, (found[:, 0] >= 0.5).astype(int), found)


def by_level(found: list[Slice]) -> dict[str, Slice]:
    return {one.level: one for one in found}


def test_each_level_has_its_own_root_mean_square_and_error() -> None:
    shops = np.array(["a"] * 100 + ["b"] * 300, object)
    missed = np.r_[np.tile([3.0, -1.0], 50), np.full(300, 2.0)]
    found = by_level(slices.find([SHOP], {"shop": shops}, missed + 10, numbers(np.full(400, 10.0))))
    first, second = found["a"], found["b"]
    assert (first.rows, first.score) == (100, pytest.approx(np.sqrt(5)))
    # Squares of 9 and 1 deviate by 4; the root's slope is 1 / (2 sqrt 5).
    assert first.error == pytest.approx(4 * np.sqrt(100 / 99) / 10 / (2 * np.sqrt(5)))
    assert (first.others, first.gap) == (2, pytest.approx(np.sqrt(5) - 2))
    assert (second.error, second.worse, second.gap) == (0, False, pytest.approx(2 - np.sqrt(5)))
    assert (first.observed, first.predicted) == (11, 10)


def test_a_level_that_is_really_worse_stands_first_and_is_called_so() -> None:
    truth = RANDOM.integers(0, 2, 4000)
    shops = np.array(["a", "b", "c", None], object)[RANDOM.integers(0, 4, 4000)]
    noise = np.where(shops == "b", 3.0, 0.5)
    values = 1 / (1 + np.exp(-(truth - 0.5 + noise * RANDOM.normal(size=4000))))
    found = slices.find([SHOP], {"shop": shops}, truth, scores(values))
    assert [one.level for one in found if one.worse] == ["b"]
    assert found[0].level == "b"
    assert {one.level for one in found} == {"a", "b", "c", slices.MISSING}
    assert found[0].observed == pytest.approx(np.mean(truth[shops == "b"]))


def test_noise_is_rarely_called_a_finding() -> None:
    false_alarms = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        truth, choice = random.integers(0, 3, 6000), random.integers(0, 3, 6000)
        shops = np.array([f"s{number}" for number in range(30)], object)[
            random.integers(0, 30, 6000)
        ]
        found = slices.find([SHOP], {"shop": shops}, truth, choices(choice))
        false_alarms += any(one.worse for one in found)
    assert false_alarms <= 6  # 5 % of 40 are expected


def test_levels_with_few_rows_or_few_of_a_class_are_left_out() -> None:
    shops = np.array(["big"] * 300 + ["other"] * 300 + ["rare"] * 99 + ["calm"] * 200, object)
    truth = np.r_[np.tile([0, 1], 349), 0, np.zeros(191, int), np.ones(9, int)]
    found = slices.find([SHOP], {"shop": shops}, truth, scores(RANDOM.random(len(truth))))
    assert by_level(found).keys() == {"big", "other"}


def test_a_column_with_one_level_has_nothing_to_compare() -> None:
    shops = np.full(500, "only", object)
    assert not slices.find([SHOP], {"shop": shops}, np.zeros(500, int), choices(np.zeros(500, int)))


def test_times_are_sliced_by_their_parts_in_their_own_zone() -> None:
    column = Column(
        "at", "datetime", parts=("minute_of_day", "weekday", "day"), timezone="America/New_York"
    )
    # 2013-07-01 was a Monday; 03:30 UTC is Sunday, half past eleven, in New York.
    times = np.array(["2013-07-01T03:30", "2013-07-01T15:30", "NaT"], "datetime64[us]")
    rows = np.repeat(times, 100)
    found = slices.find([column], {"at": rows}, np.zeros(300, int), choices(np.zeros(300, int)))
    assert {(one.column, one.level) for one in found} == {
        ("at.hour", "23"),
        ("at.hour", "11"),
        ("at.hour", slices.MISSING),
        ("at.weekday", "Sunday"),
        ("at.weekday", "Monday"),
        ("at.weekday", slices.MISSING),
    }


def test_booleans_are_sliced_and_numbers_are_not() -> None:
    columns = [Column("night", "boolean"), Column("size", "numeric")]
    data = {"night": np.tile([0.0, 1.0], 150), "size": np.arange(300.0)}
    found = slices.find(columns, data, np.zeros(300, int), choices(np.zeros(300, int)))
    assert {(one.column, one.level) for one in found} == {("night", "false"), ("night", "true")}
