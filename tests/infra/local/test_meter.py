from __future__ import annotations

import json

import pytest

from inference.emf import NAMESPACE, Periods
from inference.metrics import BOUNDS, STAGES
from infra.local.meter import Meter, read_line
from infra.local.series import Metric, Store

NAMES = {"EndpointName": "e", "VariantName": "v"}


def total(store: Store, name: str, namespace: str = "AWS/SageMaker", **more: str) -> float:
    metric = Metric.of(namespace, name, {**NAMES, **more})
    return sum(bucket.total for _, bucket in store.periods(metric, 0, 1 << 40, 60))


def test_each_request_counts_for_its_variant_and_for_the_variant_under_its_configuration() -> None:
    store = Store()
    meter = Meter(store)
    for config, status in (("old", 200), ("old", 400), ("new", 500), ("new", 0), ("new", 200)):
        meter.count(("e", "v", config), 2, status, 0.002, 0.001)
    assert total(store, "Invocations") == 5
    assert total(store, "Invocations", EndpointConfigName="new") == 3
    assert total(store, "InvocationsPerInstance") == 2.5
    assert total(store, "Invocation4XXErrors", EndpointConfigName="old") == 1
    assert total(store, "Invocation5XXErrors", EndpointConfigName="new") == 2
    assert total(store, "Invocation5XXErrors", EndpointConfigName="old") == 0
    assert total(store, "InvocationModelErrors") == 3
    assert total(store, "ModelLatency") == pytest.approx(10_000)
    assert total(store, "OverheadLatency") == pytest.approx(5000)


def test_a_request_that_no_server_saw_has_no_model_latency() -> None:
    store = Store()
    Meter(store).count(("e", "v", "c"), 0, 503, None, 0.001)
    assert total(store, "Invocation5XXErrors") == 1
    assert {each.name for each in store.metrics()}.isdisjoint(
        {"ModelLatency", "InvocationsPerInstance"}
    )


def line(**values: object) -> str:
    directive = {
        "Namespace": "Kit",
        "Dimensions": [["EndpointName", "VariantName"], ["EndpointName", "VariantName", "Version"]],
        "Metrics": [{"Name": "Rows", "Unit": "Count"}, {"Name": "Latency", "Unit": "Milliseconds"}],
    }
    about = {"Timestamp": 100_000, "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": about, **NAMES, "Version": 3, **values})


def test_metrics_in_log_lines_are_taken_out_with_each_set_of_dimensions() -> None:
    store = Store()
    distribution = {"Values": [1.0, 2.0], "Counts": [9, 1], "Sum": 11, "Count": 10}
    read_line(store, line(Rows=5, Latency=distribution))
    read_line(store, line(Rows=[1, 2]))
    assert total(store, "Rows", "Kit") == 8
    assert total(store, "Rows", "Kit", Version="3") == 8
    metric = Metric.of("Kit", "Latency", NAMES)
    [(begin, bucket)] = store.periods(metric, 0, 1000, 1)
    assert (begin, store.unit(metric)) == (100, "Milliseconds")
    assert (bucket.count, bucket.statistic("p50"), bucket.statistic("p99")) == (10, 1.0, 2.0)


def test_the_metrics_of_our_own_container_can_be_watched_for_one_fleet_alone() -> None:
    def counted(rows: int) -> dict[str, object]:
        quality = {"rows": rows, "missing": {"age": rows}, "unknown": {}, "outside": {}}
        times = [[0] * (len(BOUNDS) + 1) for _ in STAGES]
        counts = {"answered": rows, "rows": rows, "errors": [], "times": times, "version": "7"}
        return {**counts, "quality": quality}

    store = Store()
    told = Periods("e", "v", counted(0), "new", 10).line(counted(4), 100_000)
    assert told is not None
    read_line(store, told.decode())
    assert total(store, "MissingValues", NAMESPACE, EndpointConfigName="new") == 4
    assert total(store, "Requests", NAMESPACE) == 4


@pytest.mark.parametrize(
    "text",
    [
        "just a line",
        '{"_aws": 1}',
        '{"_aws": {"Timestamp": 1}}',
        '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": 5}}',
        '{"_aws',
        line(Rows="many"),
        line(Rows=float("nan")),
        line(Latency={"Values": [1.0], "Counts": []}),
        line(Rows=5).replace('"VariantName": "v"', '"Other": "v"'),
    ],
)
def test_a_line_that_is_nearly_one_of_metrics_is_just_a_line(text: str) -> None:
    store = Store()
    read_line(store, text)
    assert store.metrics() == []
