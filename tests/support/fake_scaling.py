"""Application Auto Scaling in memory; a part of FakeCloud."""
# ruff: noqa: N803 - arguments are named as AWS names them

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


class FakeScaling:
    """What scales, under its ResourceId; policies and scheduled actions by name."""

    def __init__(self) -> None:
        self.alarms: dict[str, dict[str, Any]] = {}
        self.targets: dict[str, tuple[int, int]] = {}
        self.policies: set[str] = set()
        self.actions: set[str] = set()

    def describe_scalable_targets(self, ResourceIds: list[str], **rest: Any) -> dict[str, Any]:
        found = [self.targets[name] for name in ResourceIds if name in self.targets]
        return {
            "ScalableTargets": [
                {"MinCapacity": least, "MaxCapacity": most} for least, most in found
            ]
        }

    def register_scalable_target(
        self, ResourceId: str, MinCapacity: int, MaxCapacity: int, **rest: Any
    ) -> None:
        self.targets[ResourceId] = (MinCapacity, MaxCapacity)

    def deregister_scalable_target(self, ResourceId: str, **rest: Any) -> None:
        del self.targets[ResourceId]
        self.policies.clear()
        self.actions.clear()

    def describe_scaling_policies(self, ResourceId: str, **rest: Any) -> dict[str, Any]:
        return {"ScalingPolicies": [{"PolicyName": name} for name in sorted(self.policies)]}

    def put_scaling_policy(self, ResourceId: str, PolicyName: str, **rest: Any) -> dict[str, Any]:
        self._scaled(ResourceId, "PutScalingPolicy")
        self.policies.add(PolicyName)
        return {"PolicyARN": f"arn:aws:autoscaling:us-east-1:123456789012:policy/{PolicyName}"}

    def delete_scaling_policy(self, PolicyName: str, **rest: Any) -> None:
        self.policies.remove(PolicyName)

    def describe_scheduled_actions(self, ResourceId: str, **rest: Any) -> dict[str, Any]:
        return {"ScheduledActions": [{"ScheduledActionName": name} for name in self.actions]}

    def put_scheduled_action(self, ResourceId: str, ScheduledActionName: str, **rest: Any) -> None:
        self._scaled(ResourceId, "PutScheduledAction")
        self.actions.add(ScheduledActionName)

    def delete_scheduled_action(self, ScheduledActionName: str, **rest: Any) -> None:
        self.actions.remove(ScheduledActionName)

    def _scaled(self, resource: str, operation: str) -> None:
        if resource not in self.targets:
            error = {"Code": "ObjectNotFoundException", "Message": "No scalable target registered"}
            raise ClientError({"Error": error}, operation)
