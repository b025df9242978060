"""What Application Auto Scaling keeps: targets, policies, scheduled actions, activities."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local.environment import ACCOUNT, REGION
from infra.local.scaling_rules import DEFAULT_COOLDOWN, Cooldowns
from infra.local.schedules import Schedule

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
ROLE = (
    f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
PLACE = {"ServiceNamespace": NAMESPACE, "ScalableDimension": DIMENSION}


def owner(resource: str) -> tuple[str, str]:
    """The endpoint and the variant that ``endpoint/<name>/variant/<name>`` names, else nothing."""
    parts = resource.split("/")
    known = len(parts) == 4 and (parts[0], parts[2]) == ("endpoint", "variant")
    return (parts[1], parts[3]) if known else ("", "")


@dataclass
class Policy:
    """A scaling policy.

    Attributes:
        alarms: the names of the alarms that it made (high and low), if it tracks a target.
        handled: the beginning of the last period that it acted on, in seconds.
    """

    name: str
    resource: str
    request: Mapping[str, Any]
    created: datetime
    cooldowns: Cooldowns
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))
    alarms: tuple[str, ...] = ()
    handled: float = 0.0

    @property
    def arn(self) -> str:
        """Its ARN, which alarms name as their action."""
        return (
            f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:{self.identity}:resource/"
            f"{NAMESPACE}/{self.resource}:policyName/{self.name}"
        )

    @property
    def tracking(self) -> Mapping[str, Any] | None:
        """TargetTrackingScalingPolicyConfiguration, if it is one."""
        return self.request.get("TargetTrackingScalingPolicyConfiguration")

    def told_alarms(self) -> list[dict[str, str]]:
        """Its own alarms as answers tell of them."""
        prefix = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:"
        return [{"AlarmName": each, "AlarmARN": prefix + each} for each in self.alarms]

    def describe(self) -> dict[str, Any]:
        """DescribeScalingPolicies' answer."""
        return {
            **self.request,
            "PolicyARN": self.arn,
            "CreationTime": self.created,
            "Alarms": self.told_alarms(),
        }


def cooldowns_of(request: Mapping[str, Any]) -> Cooldowns:
    """A policy's cool-downs, in seconds."""
    tracking = request.get("TargetTrackingScalingPolicyConfiguration")
    if tracking is None:
        seconds = request["StepScalingPolicyConfiguration"].get("Cooldown", DEFAULT_COOLDOWN)
        return Cooldowns(seconds, seconds)
    return Cooldowns(
        tracking.get("ScaleOutCooldown", DEFAULT_COOLDOWN),
        tracking.get("ScaleInCooldown", DEFAULT_COOLDOWN),
    )


@dataclass
class ScheduledAction:
    """A scheduled action, and when it is due next."""

    name: str
    resource: str
    request: Mapping[str, Any]
    created: datetime
    schedule: Schedule
    due: datetime | None
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))

    def describe(self) -> dict[str, Any]:
        """DescribeScheduledActions' answer."""
        place = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scheduledAction:{self.identity}"
        return {
            **self.request,
            "ScheduledActionARN": (
                f"{place}:resource/{NAMESPACE}/{self.resource}:scheduledActionName/{self.name}"
            ),
            "CreationTime": self.created,
        }


@dataclass
class Activity:
    """Something that was scaled."""

    resource: str
    count: int
    cause: str
    started: datetime
    status: str = "InProgress"
    message: str = ""
    ended: datetime | None = None
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))

    def describe(self) -> dict[str, Any]:
        """DescribeScalingActivities' answer."""
        return {
            **PLACE,
            "ActivityId": self.identity,
            "ResourceId": self.resource,
            "Description": f"Setting desired instance count to {self.count}.",
            "Cause": self.cause,
            "StartTime": self.started,
            "EndTime": self.ended,
            "StatusCode": self.status,
            "StatusMessage": self.message,
        }


@dataclass
class Target:
    """A scalable target, with what belongs to it.

    Attributes:
        changed: when its instances were last changed, in seconds.
    """

    resource: str
    least: int
    most: int
    created: datetime
    suspended: dict[str, bool]
    identity: str = field(default_factory=lambda: uuid.uuid4().hex[:22])
    policies: dict[str, Policy] = field(default_factory=dict)
    actions: dict[str, ScheduledAction] = field(default_factory=dict)
    changed: float = 0.0

    @property
    def arn(self) -> str:
        """Its ARN."""
        place = f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}"
        return f"{place}:scalable-target/{self.identity}"

    def describe(self) -> dict[str, Any]:
        """DescribeScalableTargets' answer."""
        return {
            **PLACE,
            "ResourceId": self.resource,
            "MinCapacity": self.least,
            "MaxCapacity": self.most,
            "RoleARN": ROLE,
            "CreationTime": self.created,
            "SuspendedState": self.suspended,
            "ScalableTargetARN": self.arn,
        }
