"""Application Auto Scaling through boto3: what it keeps and refuses, and a fleet that grows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import BUCKET, Bench, until

pytestmark = pytest.mark.slow

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
INVOCATIONS = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
TRACKING = {"TargetValue": 60.0, "PredefinedMetricSpecification": INVOCATIONS}
STEPS = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
}


class Scaling:
    """The service's client, with a resource filled in."""

    def __init__(self, bench: Bench, endpoint: str) -> None:
        self.client = bench.cloud.session().client("application-autoscaling")
        self.resource = f"endpoint/{endpoint}/variant/AllTraffic"
        self.place = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": self.resource,
            "ScalableDimension": DIMENSION,
        }

    def register(self, least: int, most: int, **more: Any) -> str:
        answer = self.client.register_scalable_target(
            **self.place, MinCapacity=least, MaxCapacity=most, **more
        )
        return str(answer["ScalableTargetARN"])

    def track(self, **changes: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.client.put_scaling_policy(
            **self.place,
            PolicyName="track",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={**TRACKING, **changes},
        )
        return found

    def schedule(self, schedule: str, **action: int) -> None:
        self.client.put_scheduled_action(
            **self.place,
            ScheduledActionName="plan",
            Schedule=schedule,
            ScalableTargetAction=action,
        )


@pytest.fixture(scope="module")
def endpoint(bench: Bench) -> str:
    return bench.deploy()


@pytest.fixture
def scaling(bench: Bench, endpoint: str) -> Iterator[Scaling]:
    found = Scaling(bench, endpoint)
    found.register(1, 2)
    yield found
    found.client.deregister_scalable_target(**found.place)


def test_load_brings_a_second_instance_and_a_schedule_sends_it_away(
    bench: Bench, endpoint: str, scaling: Scaling
) -> None:
    scaling.track(ScaleOutCooldown=0, ScaleInCooldown=600)

    def instances() -> int:
        for _ in range(10):
            bench.invoke(endpoint, b"x")
        described = bench.sagemaker.describe_endpoint(EndpointName=endpoint)
        return int(described["ProductionVariants"][0]["CurrentInstanceCount"])

    assert until(instances, lambda count: count == 2) == 2
    bench.settled(endpoint)
    soon = datetime.now(UTC) + timedelta(seconds=4)
    scaling.schedule(f"at({soon:%Y-%m-%dT%H:%M:%S})", MinCapacity=1, MaxCapacity=1)
    assert until(instances, lambda count: count == 1) == 1

    def activities() -> list[dict[str, Any]]:
        found = scaling.client.describe_scaling_activities(
            ServiceNamespace="sagemaker", ResourceId=scaling.resource
        )
        return list(found["ScalingActivities"])

    until(activities, lambda found: all(each["StatusCode"] == "Successful" for each in found))
    last, first = activities()
    assert "AlarmHigh" in first["Cause"]
    assert first["Description"] == "Setting desired instance count to 2."
    assert last["Cause"] == "the capacity was above the maximum capacity"


def test_what_is_put_is_described_until_it_is_deleted(bench: Bench, scaling: Scaling) -> None:
    client, cloudwatch = scaling.client, bench.cloud.session().client("cloudwatch")
    arn = scaling.register(1, 2, SuspendedState={"ScheduledScalingSuspended": True})
    answer = scaling.track()
    scaling.schedule("cron(0 7 ? * MON-FRI *)", MinCapacity=1)
    (target,) = client.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[scaling.resource]
    )["ScalableTargets"]
    assert target["ScalableTargetARN"] == arn
    assert target["SuspendedState"]["ScheduledScalingSuspended"] is True
    (policy,) = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["PolicyARN"] == answer["PolicyARN"]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == TRACKING
    names = [each["AlarmName"] for each in policy["Alarms"]]
    alarms = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert sorted(each["EvaluationPeriods"] for each in alarms) == [3, 15]
    (action,) = client.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert action["Schedule"] == "cron(0 7 ? * MON-FRI *)"
    client.tag_resource(ResourceARN=arn, Tags={"project": "p"})
    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"project": "p"}
    client.delete_scheduled_action(**scaling.place, ScheduledActionName="plan")
    client.delete_scaling_policy(**scaling.place, PolicyName="track")
    assert cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"] == []
    for call in (
        lambda: client.delete_scheduled_action(**scaling.place, ScheduledActionName="plan"),
        lambda: client.delete_scaling_policy(**scaling.place, PolicyName="track"),
    ):
        with pytest.raises(client.exceptions.ObjectNotFoundException):
            call()


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((0, 2), "less than 1 for a real-time variant"),
        ((3, 2), "cannot be less than minimum"),
        ((-1, 2), "cannot be less than minimum"),
    ],
)
def test_bounds_that_no_variant_can_have_are_refused(
    scaling: Scaling, bounds: tuple[int, int], words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        scaling.register(*bounds)


def test_what_is_not_there_is_refused(bench: Bench, scaling: Scaling) -> None:
    nobody = Scaling(bench, "nobody")
    with pytest.raises(ClientError, match="does not exist"):
        nobody.register(1, 2)
    with pytest.raises(ClientError, match="No scalable target found"):
        nobody.track()
    with pytest.raises(ClientError, match="does not offer ecs"):
        scaling.client.describe_scalable_targets(ServiceNamespace="ecs")
    with pytest.raises(ClientError, match="does not offer Application Auto Scaling's"):
        scaling.client.get_predictive_scaling_forecast(
            **scaling.place, PolicyName="p", StartTime=0, EndTime=1
        )


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        ("TargetTrackingScaling", {"TargetValue": 1.0}, "either a predefined metric or"),
        ("TargetTrackingScaling", {**TRACKING, "TargetValue": 0.0}, "greater than 0"),
        (
            "TargetTrackingScaling",
            {
                "TargetValue": 1.0,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
                },
            },
            "does not offer the predefined metric",
        ),
        ("StepScaling", {"AdjustmentType": "ExactCapacity"}, "at least one step"),
        (
            "StepScaling",
            {**STEPS, "StepAdjustments": [*STEPS["StepAdjustments"], {"ScalingAdjustment": 1}]},
            "must not overlap",
        ),
        ("StepScaling", {**STEPS, "MetricAggregationType": "Maximum"}, "does not offer Metric"),
    ],
)
def test_policies_that_mean_nothing_are_refused(
    scaling: Scaling, kind: str, config: dict[str, Any], words: str
) -> None:
    name = "TargetTrackingScaling" if kind.startswith("Target") else "StepScaling"
    with pytest.raises(ClientError, match=words):
        scaling.client.put_scaling_policy(
            **scaling.place,
            PolicyName="p",
            PolicyType=kind,
            **{f"{name}PolicyConfiguration": config},
        )


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("cron(0 7 * * MON *)", "exactly one is"),
        ("at(2020-01-01T00:00:00)", "never due any more"),
        ("rate(1 hours)", "is not one such as"),
    ],
)
def test_schedules_that_are_never_due_are_refused(
    scaling: Scaling, schedule: str, words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        scaling.schedule(schedule, MinCapacity=1)


def test_an_asynchronous_variant_may_be_scaled_to_none_and_starts_again(bench: Bench) -> None:
    name = bench.name("config")
    bench.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[bench.variant(bench.model())],
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/scaled"}},
    )
    endpoint = bench.endpoint(name)
    scaling = Scaling(bench, endpoint)
    scaling.register(0, 0)

    def count() -> int:
        described = bench.sagemaker.describe_endpoint(EndpointName=endpoint)
        return int(described["ProductionVariants"][0]["CurrentInstanceCount"])

    until(count, lambda found: found == 0)
    answer = bench.runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"later")
    scaling.register(1, 1)
    until(
        lambda: bench.keys("scaled/"),
        lambda keys: keys == [answer["OutputLocation"].rpartition("/")[2]],
    )
    assert bench.get(answer["OutputLocation"]) == b"later"
    scaling.client.deregister_scalable_target(**scaling.place)
    bench.delete(endpoint)
