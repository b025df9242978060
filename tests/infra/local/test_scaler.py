"""What scales when, with a clock of the test's own and an endpoint that does as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from infra.local import processes
from infra.local.alarms import Alarms
from infra.local.application_autoscaling import ApplicationAutoScaling
from infra.local.endpoints import Endpoints
from infra.local.scalable_targets import Target
from infra.local.scaler import Scaler
from infra.local.series import Metric
from infra.local.state import Cloud, Settings
from tests.support.local_cloud import until

RESOURCE = "endpoint/e/variant/v"
PLACE = {"ResourceId": RESOURCE}
BEGIN = datetime(2026, 11, 23, 15, 0, tzinfo=UTC).timestamp()
BACKLOG = {
    "MetricName": "ApproximateBacklogSizePerInstance",
    "Namespace": "AWS/SageMaker",
    "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
    "Statistic": "Average",
}


@dataclass
class One:
    """A variant, its fleet and its endpoint in one."""

    count: int = 1
    asynchronous: Mapping[str, Any] | None = None
    serverless: bool = False
    status: str = "InService"
    failure_reason: str | None = None
    scaled: list[int] = field(default_factory=list)

    @property
    def fleet(self) -> One:
        return self

    def variant(self, name: str) -> One | None:
        return self if name == "v" else None

    def get(self, name: str) -> One | None:
        return self if name == "e" else None

    def update_weights(self, request: Mapping[str, Any]) -> None:
        self.count = request["DesiredWeightsAndCapacities"][0]["DesiredInstanceCount"]
        self.scaled.append(self.count)


class World:
    """A scaler with everything around it."""

    def __init__(self, root: Path, *, asynchronous: bool) -> None:
        self.now = BEGIN
        self.one = One(asynchronous={} if asynchronous else None)
        ledger = processes.Ledger(root / "processes")
        self.cloud = Cloud(root, root, "", "", Settings(scaling_period=60), {}, ledger)
        self.alarms = Alarms(self.cloud, lambda: self.now)
        endpoints = cast(Endpoints, self.one)
        self.service = ApplicationAutoScaling(self.cloud, endpoints, self.alarms)
        self.scaler = Scaler(self.cloud, self.service, endpoints, self.alarms, lambda: self.now)

    def target(self, least: int, most: int) -> Target:
        self.service.register({**PLACE, "MinCapacity": least, "MaxCapacity": most})
        return self.service.targets[RESOURCE]

    def track(self, target: float, **changes: Any) -> None:
        """A policy that tracks invocations, or what it is told."""
        own = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        metric = {"PredefinedMetricSpecification": own}
        custom = changes.pop("custom", None)
        if custom:
            metric = {"CustomizedMetricSpecification": custom}
        self.service.put_policy(
            {
                **PLACE,
                "PolicyName": changes.pop("name", "track"),
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": target,
                    **metric,
                    **changes,
                },
            }
        )

    def tell(self, name: str, value: float) -> None:
        dimensions = {"EndpointName": "e"}
        if name == "InvocationsPerInstance":
            dimensions["VariantName"] = "v"
        metric = Metric.of("AWS/SageMaker", name, dimensions)
        self.cloud.metrics.add([(metric, value, "None")], self.now)

    def minutes(self, number: int, name: str = "", value: float | None = None) -> None:
        """Time passes; a metric has a value in each minute."""
        for _ in range(number):
            if value is not None:
                self.tell(name, value)
            self.now += 60
            self.alarms.judge()
            target = self.service.targets[RESOURCE]
            self.scaler.look(target)
            until(lambda target=target: target.changed, lambda changed: changed < float("inf"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, asynchronous=False)


@pytest.fixture
def queue(tmp_path: Path) -> World:
    return World(tmp_path, asynchronous=True)


def test_three_minutes_above_the_target_scale_out_and_fifteen_below_scale_in(world: World) -> None:
    target = world.target(1, 4)
    world.track(100, ScaleOutCooldown=0, ScaleInCooldown=0)
    world.minutes(15, "InvocationsPerInstance", 95)
    world.minutes(2, "InvocationsPerInstance", 250)
    assert world.one.scaled == []
    world.minutes(1, "InvocationsPerInstance", 250)
    assert world.one.scaled == [3]
    world.minutes(14, "InvocationsPerInstance", 10)
    assert world.one.scaled == [3]
    world.minutes(2, "InvocationsPerInstance", 10)
    assert world.one.scaled == [3, 1]
    causes = [each.cause for each in world.service.activities]
    assert "AlarmHigh" in causes[0]
    assert "AlarmLow" in causes[1]
    assert [each.status for each in world.service.activities] == ["Successful", "Successful"]
    assert target.least == 1


def test_a_variant_without_traffic_scales_in(world: World) -> None:
    world.one.count = 3
    world.target(1, 4)
    world.track(100, ScaleInCooldown=0)
    world.minutes(18)
    assert world.one.scaled == [1]


def test_a_cool_down_holds_the_next_change_back(world: World) -> None:
    world.one.count = 4
    world.target(1, 8)
    world.track(100, ScaleInCooldown=600)
    world.minutes(15, "InvocationsPerInstance", 95)
    world.minutes(15, "InvocationsPerInstance", 60)
    assert world.one.scaled == [3]
    world.minutes(9, "InvocationsPerInstance", 60)
    assert world.one.scaled == [3]
    world.minutes(1, "InvocationsPerInstance", 60)
    assert world.one.scaled == [3, 2]


def test_scale_in_can_be_switched_off_and_suspended(world: World) -> None:
    world.one.count = 3
    target = world.target(1, 4)
    world.track(100, ScaleInCooldown=0, DisableScaleIn=True)
    world.minutes(20)
    assert world.one.scaled == []
    world.track(100, ScaleInCooldown=0)
    target.suspended["DynamicScalingInSuspended"] = True
    world.minutes(20)
    assert world.one.scaled == []
    target.suspended["DynamicScalingInSuspended"] = False
    world.minutes(2)
    assert world.one.scaled == [1]


def test_two_policies_scale_in_together_or_not_at_all(world: World) -> None:
    world.one.count = 4
    world.target(1, 4)
    world.track(100, ScaleInCooldown=0)
    world.track(50, name="other", ScaleInCooldown=0, custom={**BACKLOG, "Namespace": "own"})
    world.minutes(20, "InvocationsPerInstance", 10)
    assert world.one.scaled == []
    world.service.delete_policy({**PLACE, "PolicyName": "other"})
    world.minutes(2, "InvocationsPerInstance", 10)
    assert world.one.scaled == [1]


def test_a_backlog_without_capacity_brings_the_first_instance_and_an_empty_one_the_last(
    queue: World,
) -> None:
    queue.one.count = 0
    queue.target(0, 5)
    queue.track(5, custom=BACKLOG, ScaleInCooldown=0, ScaleOutCooldown=0)
    answer = queue.service.put_policy(
        {
            **PLACE,
            "PolicyName": "first",
            "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "Cooldown": 300,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            },
        }
    )
    queue.alarms.put(
        {
            "AlarmName": "waiting",
            "MetricName": "HasBacklogWithoutCapacity",
            "Namespace": "AWS/SageMaker",
            "Dimensions": BACKLOG["Dimensions"],
            "Statistic": "Average",
            "Period": 60,
            "EvaluationPeriods": 2,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "AlarmActions": [answer["PolicyARN"]],
        }
    )
    queue.minutes(2, "HasBacklogWithoutCapacity", 1)
    assert queue.one.scaled == [1]
    queue.tell("HasBacklogWithoutCapacity", 0)
    queue.minutes(1, "ApproximateBacklogSizePerInstance", 12)
    assert queue.one.scaled == [1, 3]
    queue.minutes(15, "ApproximateBacklogSizePerInstance", 4.8)
    assert queue.one.scaled == [1, 3]
    queue.minutes(15, "ApproximateBacklogSizePerInstance", 0)
    assert queue.one.scaled == [1, 3, 0]


def test_bounds_are_kept_at_once_and_moved_by_a_schedule(world: World) -> None:
    world.target(2, 4)
    world.minutes(1)
    assert world.one.scaled == [2]
    world.service.put_action(
        {
            **PLACE,
            "ScheduledActionName": "morning",
            "Schedule": "cron(0 7 ? * MON-FRI *)",
            "Timezone": "Europe/Berlin",
            "ScalableTargetAction": {"MinCapacity": 3, "MaxCapacity": 6},
        }
    )
    morning = datetime(2026, 11, 24, 6, 0, tzinfo=UTC).timestamp()
    world.now = morning - 120
    world.minutes(1)
    assert world.one.scaled == [2]
    world.minutes(1)
    assert world.one.scaled == [2, 3]
    action = world.service.targets[RESOURCE].actions["morning"]
    assert action.due == datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
    described = world.service.describe_targets({})["ScalableTargets"][0]
    assert (described["MinCapacity"], described["MaxCapacity"]) == (3, 6)


def test_nothing_is_scaled_while_the_endpoint_changes(world: World) -> None:
    world.target(2, 4)
    world.one.status = "Updating"
    world.scaler.look(world.service.targets[RESOURCE])
    assert world.one.scaled == []
