"""What each kind of column becomes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from shared import clock
from shared.errors import BundleError, DataError
from shared.schema import Column, Target
from shared.transforms import TargetTransform, Transforms
from shared.values import Array

nan = math.nan


def fitted(data: Array, **options: Any) -> tuple[Transforms, Array]:
    """Transforms fitted on one column x, and its encoding."""
    kind = options.pop("kind", "numeric")
    transforms = Transforms.fit({"x": data}, [Column("x", kind, **options)])
    return transforms, transforms.encode({"x": data}).numeric


def numeric(transforms: Transforms, *values: float) -> list[list[float]]:
    return transforms.encode({"x": np.array(values)}).numeric.tolist()


def texts(*values: str | None) -> Array:
    return np.array(values, dtype=object)


def times(*values: str) -> Array:
    return np.array(values, dtype="datetime64[us]")


def test_standard_scaling_subtracts_the_mean_and_divides_by_the_standard_deviation() -> None:
    _, encoded = fitted(np.array([1.0, 2.0, 3.0, 4.0]), clip=None, log=False)
    assert np.allclose(encoded[:, 0], (np.array([1, 2, 3, 4]) - 2.5) / np.std([1, 2, 3, 4]))


def test_robust_scaling_subtracts_the_median_and_divides_by_the_interquartile_range() -> None:
    _, encoded = fitted(np.array([1.0, 2.0, 3.0, 4.0, 100.0]), clip=None, log=False, scale="robust")
    assert np.allclose(encoded[:, 0], (np.array([1, 2, 3, 4, 100]) - 3) / 2)


def test_robust_scaling_of_mostly_equal_values_divides_by_the_standard_deviation() -> None:
    data = np.array([0.0] * 9 + [10.0])
    _, encoded = fitted(data, clip=None, log=False, scale="robust")
    assert np.allclose(encoded[:, 0], data / np.std(data))


def test_quantile_scaling_gives_ranks_of_mean_zero_and_variance_one() -> None:
    data = np.exp(np.linspace(-5, 5, 1001))
    _, encoded = fitted(data, clip=None, scale="quantile")
    expected = (np.linspace(0, 1, 1001) - 0.5) * math.sqrt(12)
    assert np.abs(encoded[:, 0] - expected).max() < 0.02
    assert encoded[0, 0] == pytest.approx(-math.sqrt(3))
    assert encoded[-1, 0] == pytest.approx(math.sqrt(3))


def test_values_beyond_the_fitted_quantiles_are_clipped_to_them() -> None:
    transforms, _ = fitted(np.linspace(0.0, 100.0, 101), clip=(0.1, 0.9), log=False)
    low, ten, ninety, high = numeric(transforms, -1e300, 10.0, 90.0, 1e300)
    assert low == ten
    assert high == ninety


def test_clipping_a_column_of_almost_one_value_keeps_its_rare_values() -> None:
    _, encoded = fitted(np.array([0.0] * 9999 + [5.0]), log=False)
    assert encoded[0, 0] != encoded[-1, 0]


def test_a_skewed_column_of_positive_numbers_is_made_logarithmic() -> None:
    data = np.exp(np.linspace(-3.0, 3.0, 500))
    transforms, encoded = fitted(data)
    assert transforms.scalings[0].unit == pytest.approx(np.quantile(data, 0.1), rel=0.05)
    assert abs(np.mean(encoded**3)) < 1 < abs(np.mean(((data - data.mean()) / data.std()) ** 3))


@pytest.mark.parametrize(
    "data",
    [np.linspace(0.0, 1.0, 50), -np.exp(np.linspace(-3.0, 3.0, 50)), np.array([0.0, 0.0])],
    ids=["not skewed", "negative", "zero"],
)
def test_other_columns_are_not_made_logarithmic(data: Array) -> None:
    assert fitted(data)[0].scalings[0].unit is None


def test_log_true_refuses_negative_numbers() -> None:
    with pytest.raises(DataError, match=r"column 'x': log = true, but some values are negative"):
        fitted(np.array([-1.0, 2.0]), log=True)


def test_a_logarithmic_column_takes_negative_numbers_for_zero() -> None:
    transforms, _ = fitted(np.array([0.0, 1.0, 10.0]), log=True, clip=None)
    assert numeric(transforms, -5.0) == numeric(transforms, 0.0)


@pytest.mark.parametrize(("impute", "stands"), [("median", 2.0), ("mean", 4.0), ("zero", 0.0)])
def test_a_missing_number_is_imputed_and_indicated(impute: str, stands: float) -> None:
    data = np.array([1.0, 2.0, 9.0, nan])
    transforms, encoded = fitted(data, impute=impute, clip=None, log=False)
    assert transforms.numeric_names == ("x", "x.missing")
    assert encoded[:, 1].tolist() == [0, 0, 0, 1]
    assert encoded[3, 0] == numeric(transforms, stands)[0][0]


def test_there_is_no_indicator_where_nothing_was_missing_in_training() -> None:
    transforms, _ = fitted(np.array([1.0, 2.0]))
    assert transforms.numeric_names == ("x",)
    assert np.isfinite(numeric(transforms, nan)).all()


@pytest.mark.parametrize("scale", ["standard", "robust", "quantile"])
@pytest.mark.parametrize("clip", [None, (0.01, 0.99)])
def test_a_constant_column_becomes_zero(scale: str, clip: Any) -> None:
    assert fitted(np.array([0.1] * 7), scale=scale, clip=clip)[1].tolist() == [[0.0]] * 7


@pytest.mark.parametrize("scale", ["standard", "robust", "quantile"])
@pytest.mark.parametrize("data", [[1e308, -1e308, 0.0], [5e-324, 0.0, 1e-310], [-0.0, 0.0, 1e300]])
def test_extreme_numbers_are_encoded_to_finite_ones(scale: str, data: list[float]) -> None:
    _, encoded = fitted(np.array(data), scale=scale, clip=None)
    assert np.isfinite(encoded).all()


@pytest.mark.parametrize("kind", ["numeric", "boolean", "category", "datetime"])
def test_a_column_that_is_all_missing_is_refused_by_name(kind: str) -> None:
    empty = {"category": texts(None, None), "datetime": times("NaT", "NaT")}
    with pytest.raises(DataError, match="column 'x': every value is missing"):
        fitted(empty.get(kind, np.array([nan, nan])), kind=kind)


def test_a_boolean_stays_zero_or_one_and_the_more_frequent_one_stands_for_missing() -> None:
    _, encoded = fitted(np.array([0.0, 1.0, 1.0, nan]), kind="boolean")
    assert encoded.tolist() == [[0, 0], [1, 0], [1, 0], [1, 1]]


def test_categories_are_coded_by_falling_frequency_after_the_three_special_slots() -> None:
    data = texts(*"bbbbb", *"aaaaa", *"ccccccc", "rare", None)
    transforms = Transforms.fit({"x": data}, [Column("x", "category", min_count=5)])
    asked = texts(None, "never seen", "rare", "c", "a", "b")
    assert transforms.encode({"x": asked}).codes[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert transforms.categories == (("x", 6),)


def test_levels_beyond_max_levels_are_rare() -> None:
    data = texts(*"aaabbc")
    transforms = Transforms.fit({"x": data}, [Column("x", "category", max_levels=2, min_count=1)])
    assert transforms.encode({"x": texts("a", "b", "c")}).codes[:, 0].tolist() == [3, 4, 2]


def test_parts_of_a_time_are_points_on_circles() -> None:
    parts = ("minute_of_day", "hour", "weekday", "day", "dayofyear", "month")
    transforms, encoded = fitted(times("2013-03-01T06:30"), kind="datetime", parts=parts)
    turns = [390 / 1440, 6 / 24, 4 / 7, 0 / 31, 59 / 366, 2 / 12]
    expected = [f(2 * math.pi * turn) for turn in turns for f in (math.sin, math.cos)]
    assert np.allclose(encoded[0], expected, atol=1e-6)
    assert transforms.numeric_names[:2] == ("x.minute_of_day.sin", "x.minute_of_day.cos")


def test_a_missing_time_is_the_centre_of_the_circle_and_indicated() -> None:
    _, encoded = fitted(times("2013-03-01", "NaT"), kind="datetime", parts=("hour",))
    assert encoded.tolist() == [[0, 1, 0], [0, 0, 1]]


def test_times_before_1970_and_on_leap_days_have_the_right_parts() -> None:
    parts = ("hour", "weekday", "dayofyear")
    encoded = fitted(times("1968-02-29T23:59", "2000-12-31"), kind="datetime", parts=parts)[1]
    turns = [[23 / 24, 3 / 7, 59 / 366], [0, 6 / 7, 365 / 366]]
    assert np.allclose(encoded[:, ::2], np.sin(2 * np.pi * np.array(turns)), atol=1e-6)


def test_parts_are_taken_in_the_time_zone_summer_time_included() -> None:
    utc = times("2013-01-15T17:00", "2013-07-15T16:00", "2013-03-10T06:59", "2013-03-10T07:00")
    local = times("2013-01-15T12:00", "2013-07-15T12:00", "2013-03-10T01:59", "2013-03-10T03:00")
    options: dict[str, Any] = {"kind": "datetime", "parts": ("minute_of_day", "weekday")}
    there = fitted(utc, timezone="America/New_York", **options)[1]
    assert there.tolist() == fitted(local, **options)[1].tolist()


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(DataError, match="the time zone 'Mars/Olympus' is not known"):
        fitted(times("2013-01-01"), kind="datetime", timezone="Mars/Olympus")


def test_baked_offsets_are_those_of_the_zone_at_any_time() -> None:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    for name in ("America/New_York", "Pacific/Apia", "Asia/Kathmandu", "Africa/Casablanca"):
        transitions, offsets = clock.zone(name, "x")
        moments = np.arange(-(2 * 10**15), 3 * 10**15, 7_001_000_000_000)
        found = np.array(offsets)[np.searchsorted(transitions, moments, side="right")]
        for moment, offset in zip(moments.tolist(), found.tolist(), strict=True):
            local = datetime.fromtimestamp(moment // 10**6, UTC).astimezone(ZoneInfo(name))
            delta = local.utcoffset()
            assert delta is not None
            assert offset == delta.total_seconds() * 1e6


def test_no_rows_are_encoded_to_empty_matrices() -> None:
    transforms, _ = fitted(np.array([1.0, 2.0]))
    encoded = transforms.encode({"x": np.array([])})
    assert encoded.numeric.shape == (0, 1)
    assert encoded.codes.shape == (0, 0)


def test_a_feature_that_is_not_there_is_named() -> None:
    transforms, _ = fitted(np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="column 'x': the column is needed"):
        transforms.encode({"y": np.array([1.0])})


def test_no_features_and_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no feature"):
        Transforms.fit({"x": np.array([1.0])}, [])
    with pytest.raises(DataError, match="no training rows"):
        Transforms.fit({"x": np.array([])}, [Column("x", "numeric")])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"scalings": 1}', '{"scalings": [{}]}', "{" * 10000, "NaN"]
)
def test_damaged_json_is_refused_with_a_clear_error(text: str) -> None:
    with pytest.raises(BundleError, match=r"^transforms"):
        Transforms.from_json(text)


REGRESSION = Target("y", "regression")


@pytest.mark.parametrize("log", [True, False, "auto"])
def test_a_regression_target_is_decoded_to_what_it_was(log: Any) -> None:
    values = np.exp(np.linspace(-3.0, 8.0, 100))
    fit = TargetTransform.fit(values, REGRESSION, log)
    encoded = fit.encode(values)
    assert encoded.dtype == np.float32
    assert abs(encoded.mean()) < 1e-3
    assert np.allclose(fit.decode(encoded.reshape(-1, 1)), values, rtol=1e-5, atol=1e-3)


def test_decoding_one_output_gives_the_bits_it_has_in_a_batch() -> None:
    fit = TargetTransform.fit(np.exp(np.linspace(0.0, 8.0, 100)), REGRESSION, log=True)
    outputs = np.linspace(-3, 3, 1001, dtype=np.float32)
    batch = fit.decode(outputs)
    assert [fit.decode(outputs[i : i + 1])[0] for i in range(1001)] == batch.tolist()


@pytest.mark.parametrize("scale", [1e-130, 1.0, 1e6, 1e130])
@pytest.mark.parametrize("log", [True, False])
def test_the_error_of_an_absurd_output_still_has_a_finite_square(scale: float, log: bool) -> None:
    fit = TargetTransform.fit(scale * np.array([1.0, 10.0, 100.0]), REGRESSION, log)
    decoded = fit.decode(np.array([3e38, 1e4, -3e38], dtype=np.float32))
    assert np.isfinite(np.square(decoded)).all()


def test_class_indices_are_left_alone() -> None:
    classes = np.array([0, 1, 1])
    fit = TargetTransform.fit(classes, Target("y", "binary", (False, True)))
    assert fit.encode(classes) is classes
