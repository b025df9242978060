"""What status tells of what serves: mode, instances, backlog, and versions beside each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.alarms import Fleet
from infra.fleets import Fleets, look
from infra.record import Entry, Record, Release
from infra.traffic import Traffic, traffic
from tests.support.fake_cloud import FakeCloud, refused

AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "InitialVariantWeight": 1.0}
ASYNC = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://bucket/small/async/out"}}}
SCALED = Record("small").having([Entry("scalable target", "small")])


class Counting(FakeCloud):
    """A cloud with metrics, by name and variant, and scaling."""

    def __init__(self, **metrics: float) -> None:
        super().__init__()
        self.metrics = metrics
        self.asked: list[dict[str, Any]] = []
        self.bounds: tuple[int, int] | None = None

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """One number each, on the second of two pages, as CloudWatch may give it."""
        self.asked.append(request)
        if "NextToken" not in request:
            empty = [
                {"Id": one["Id"], "Values": [], "Timestamps": []}
                for one in request["MetricDataQueries"]
            ]
            paged = "backlog" not in [one["Id"] for one in empty]
            if paged:
                return {"MetricDataResults": empty, "NextToken": "more"}
        found = []
        for query in request["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            told = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            value = self.metrics.get(f"{metric['MetricName']}{told.get('VariantName', '')}")
            values = [] if value is None else [value]
            found.append({"Id": query["Id"], "Values": values, "Timestamps": [AT] * len(values)})
        return {"MetricDataResults": found}

    def describe_scalable_targets(self, **which: Any) -> dict[str, Any]:
        if self.bounds is None:
            raise refused("DescribeScalableTargets", "AccessDeniedException", "not allowed")
        target = {"MinCapacity": self.bounds[0], "MaxCapacity": self.bounds[1]}
        return {"ScalableTargets": [target]}

    def describe_scaling_policies(self, **which: Any) -> dict[str, Any]:
        return {"ScalingPolicies": []}

    def describe_scheduled_actions(self, **which: Any) -> dict[str, Any]:
        return {"ScheduledActions": []}


def variant(name: str, model: str, **more: Any) -> dict[str, Any]:
    return {"VariantName": name, "ModelName": model, **INSTANCES, **more}


def seen(name: str, has: int = 1, wanted: int = 1, weight: float = 1.0) -> dict[str, Any]:
    return {
        "VariantName": name,
        "CurrentInstanceCount": has,
        "DesiredInstanceCount": wanted,
        "CurrentWeight": weight,
    }


def endpoint(*variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"EndpointConfigName": "new", "ProductionVariants": list(variants), **more}


def alone(cloud: FakeCloud, record: Record, **more: Any) -> dict[str, str]:
    """The rows of an endpoint with one variant."""
    config = {"ProductionVariants": [variant("AllTraffic", "old")]}
    return dict(look(cloud, record, endpoint(seen("AllTraffic", 2, 3), **more), config).rows())


def release(number: int, model: str, config: str, **changes: Any) -> Release:
    at = (AT + timedelta(minutes=number)).isoformat()
    return Release(config, model, "job", "data", "image", at, number=number, **changes)


RELEASED = Record(
    "small",
    releases=(
        release(1, "old", "first"),
        release(2, "tried", "other", outcome="rolled back"),
        release(3, "new", "new"),
    ),
)


def beside(cloud: FakeCloud, record: Record = RELEASED, *, shadow: bool = False) -> Fleets:
    """An endpoint on which a new version serves beside the old one, with a fifth."""
    first = variant("AllTraffic", "old", InitialVariantWeight=1.0 if shadow else 0.8)
    second = variant("Candidate", "new", InitialVariantWeight=0.2, InstanceType="ml.c5.large")
    told = [seen("AllTraffic", 2, 2, 1.0 if shadow else 0.8), seen("Candidate", 1, 1, 0.2)]
    key = "ShadowProductionVariants"
    if shadow:
        return look(
            cloud,
            record,
            endpoint(told[0], **{key: told[1:]}),
            {"ProductionVariants": [first], key: [second], "CreationTime": AT},
        )
    described = {"ProductionVariants": [first, second], "CreationTime": AT}
    return look(cloud, record, endpoint(*told), described)


COUNTED = {
    "InvocationsAllTraffic": 80.0,
    "Invocation5XXErrorsAllTraffic": 1.0,
    "ModelLatencyAllTraffic": 2500.0,
}


def test_instances_are_told_with_what_is_wanted_and_their_bounds() -> None:
    assert alone(Counting(), Record("small")) == {
        "mode": "realtime",
        "instances": "2 of 3 wanted, fixed",
    }
    cloud = Counting()
    cloud.bounds = (1, 4)
    assert alone(cloud, SCALED)["instances"] == "2 of 3 wanted, scaled within 1 to 4"


def test_bounds_that_may_not_be_looked_at_are_told_as_such() -> None:
    told = alone(Counting(), SCALED)["instances"]
    assert told.startswith("2 of 3 wanted, the bounds of its scaling cannot be told: ")
    assert "AccessDenied" in told


def test_a_serverless_endpoint_has_no_instances() -> None:
    config = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    described = {"ProductionVariants": [{"VariantName": "A", "ModelName": "m", **config}]}
    running = {"VariantName": "A", "CurrentServerlessConfig": config["ServerlessConfig"]}
    found = look(Counting(), Record("small"), endpoint(running), described)
    assert found.rows() == [("mode", "serverless")]


@pytest.mark.parametrize(("size", "words"), [(7.0, "7 requests"), (0.0, "0 requests")])
def test_an_asynchronous_endpoint_tells_where_it_answers_and_what_waits(
    size: float, words: str
) -> None:
    rows = alone(Counting(ApproximateBacklogSize=size), Record("small"), **ASYNC)
    assert rows["mode"] == "async, answers to s3://bucket/small/async/out"
    assert rows["backlog"] == f"{words} wait or are worked on (09:30 UTC)"


def test_a_backlog_that_cloudwatch_does_not_have_is_not_zero() -> None:
    rows = alone(Counting(), Record("small"), **ASYNC)
    assert rows["backlog"] == "CloudWatch has no ApproximateBacklogSize of the last 15 minutes"


def test_metrics_that_may_not_be_read_are_told_as_such_and_end_nothing() -> None:
    class Denied(Counting):
        def get_metric_data(self, **request: Any) -> dict[str, Any]:
            raise refused("GetMetricData", "AccessDenied", "not allowed")

    assert "the backlog cannot be told" in alone(Denied(), Record("small"), **ASYNC)["backlog"]
    found = beside(Denied())
    assert "the traffic cannot be told" in dict(found.rows())["Candidate"]
    assert found.to_json()["variants"][1]["traffic"] is None


def test_each_version_is_told_with_release_share_instance_and_traffic() -> None:
    rows = dict(beside(Counting(**COUNTED)).rows())
    assert rows["AllTraffic"] == (
        "old (release 1): 80% of the answers; ml.m5.large, 2 of 2 wanted; "
        "since 2026-11-23 09:33 UTC 80 requests, 1 failed, p99 2.5 ms"
    )
    assert rows["Candidate"] == (
        "new (release 3): 20% of the answers; ml.c5.large, 1 of 1 wanted; "
        "since 2026-11-23 09:33 UTC CloudWatch has counted no request"
    )


def test_a_shadow_gets_copies_and_is_looked_up_among_the_shadows() -> None:
    told = dict(beside(Counting(), shadow=True).rows())["Candidate"]
    assert told.startswith("new (release 3): copies of 20% of the requests; ml.c5.large, 1 of 1")


def test_traffic_is_counted_since_the_candidate_began() -> None:
    cloud = Counting()
    beside(cloud)
    assert cloud.asked[0]["StartTime"] == AT + timedelta(minutes=3)
    beside(cloud, Record("small"))  # the deployment did not come to its end
    assert cloud.asked[-1]["StartTime"] == AT


@pytest.mark.parametrize(("days", "period"), [(0.5, 60), (3, 300), (40, 3600)])
def test_a_long_time_is_counted_by_longer_periods(days: float, period: int) -> None:
    cloud = Counting()
    (told,) = traffic(cloud, [Fleet("e", "AllTraffic", "c")], AT - timedelta(days=days), AT)
    assert told == Traffic("c", None, None, None)
    queries = cloud.asked[-1]["MetricDataQueries"]
    assert {one["MetricStat"]["Period"] for one in queries} == {period}


def test_numbers_are_those_of_all_pages_and_what_is_missing_is_said() -> None:
    cloud = Counting(InvocationsAllTraffic=3.0)
    (told,) = traffic(cloud, [Fleet("e", "AllTraffic", "c")], AT - timedelta(hours=1), AT)
    assert len(cloud.asked) == 2
    assert told.told() == "3 requests, failures not told"
