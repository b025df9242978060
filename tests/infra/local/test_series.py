from __future__ import annotations

import math

import pytest

from infra.local.series import FINE_SECONDS, Bucket, Metric, Store, is_percentile

LATENCY = Metric.of("AWS/SageMaker", "ModelLatency", {"EndpointName": "e", "VariantName": "v"})


def filled() -> Store:
    store = Store()
    for second in range(100, 120):
        store.add([(LATENCY, float(second), "Microseconds")], moment=second + 0.5)
    return store


def test_values_are_gathered_by_periods_that_begin_at_multiples() -> None:
    found = filled().periods(LATENCY, 100, 120, 10)
    assert [begin for begin, _ in found] == [100, 110]
    first = found[0][1]
    assert [first.statistic(each) for each in ("SampleCount", "Sum", "Average")] == [
        10,
        1045,
        104.5,
    ]
    assert (first.statistic("Minimum"), first.statistic("Maximum")) == (100, 109)
    assert filled().periods(LATENCY, 105, 107, 1, "Microseconds")[0][0] == 105
    assert filled().periods(LATENCY, 100, 120, 10, "Seconds") == []


def test_other_dimensions_are_another_metric() -> None:
    other = Metric.of("AWS/SageMaker", "ModelLatency", {"EndpointName": "e"})
    assert filled().periods(other, 0, 1000, 10) == []


@pytest.mark.parametrize(
    ("name", "wanted"), [("p50", 50), ("p99", 99), ("p99.9", 100), ("p0", 1), ("p100", 100)]
)
def test_percentiles(name: str, wanted: float) -> None:
    bucket = Bucket()
    for value in range(100, 0, -1):
        bucket.add(float(value))
    assert bucket.statistic(name) == wanted


def test_a_summary_has_no_percentile_unless_all_values_are_one() -> None:
    assert Bucket(3.0, 6.0, 1.0, 3.0, None).statistic("p99") is None
    assert Bucket(3.0, 6.0, 2.0, 2.0, None).statistic("p99") == 2.0
    mixed = Bucket(3.0, 6.0, 1.0, 3.0, None)
    mixed.merge(filled().periods(LATENCY, 100, 101, 1)[0][1])
    assert mixed.statistic("p99") is None
    assert Bucket().statistic("Sum") is None


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("p99", True),
        ("p99.95", True),
        ("p100", True),
        ("p101", False),
        ("tm99", False),
        ("p", False),
    ],
)
def test_what_a_percentile_is_called(name: str, wanted: bool) -> None:
    assert is_percentile(name) is wanted


def test_old_seconds_become_minutes_and_no_value_is_lost() -> None:
    store = filled()
    store.add([(LATENCY, 7.0, "Microseconds")], moment=5000.0)
    store.compact(now=FINE_SECONDS + 1000.0)
    assert [begin for begin, _ in store.periods(LATENCY, 0, 6000, 1)] == [60, 5000]
    found = store.periods(LATENCY, 0, 6000, 60)
    assert math.isclose(sum(bucket.count for _, bucket in found), 21)
    assert found[0][1].statistic("p50") == 109
