"""Application Auto Scaling for the variants of endpoints: its operations. `scaler` scales.

Moto keeps targets and policies of everything, checks little and scales nothing, so all of the
service is answered here, for ``sagemaker:variant:DesiredInstanceCount`` alone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.local import schedules, tracking_alarms, wire
from infra.local.alarms import Alarms
from infra.local.endpoints import Endpoints
from infra.local.scalable_targets import (
    DIMENSION,
    NAMESPACE,
    PLACE,
    Activity,
    Policy,
    ScheduledAction,
    Target,
    cooldowns_of,
    owner,
)
from infra.local.scaling_checks import check_policy
from infra.local.state import Answer, Cloud, Operation, now
from infra.local.wire import RefusalError, invalid, not_offered

TARGET = "AnyScaleFrontendService."
SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
MOST_ACTIVITIES = 500


class ApplicationAutoScaling:
    """The service.

    Attributes:
        lock: held while anything below is read or changed.
        targets: by ResourceId.
        activities: the newest last.
    """

    def __init__(self, cloud: Cloud, endpoints: Endpoints, alarms: Alarms) -> None:
        self._cloud = cloud
        self._endpoints = endpoints
        self._alarms = alarms
        self.lock = threading.RLock()
        self.targets: dict[str, Target] = {}
        self.activities: list[Activity] = []
        # An alarm in ALARM is seen when the scaler looks at its policy.
        alarms.actions["autoscaling"] = lambda alarm, arn: None
        self._operations: dict[str, Operation] = {
            "RegisterScalableTarget": self.register,
            "DescribeScalableTargets": self.describe_targets,
            "DeregisterScalableTarget": self.deregister,
            "PutScalingPolicy": self.put_policy,
            "DescribeScalingPolicies": self.describe_policies,
            "DeleteScalingPolicy": self.delete_policy,
            "PutScheduledAction": self.put_action,
            "DescribeScheduledActions": self.describe_actions,
            "DeleteScheduledAction": self.delete_action,
            "DescribeScalingActivities": self.describe_activities,
            "ListTagsForResource": self.tags,
            "TagResource": self.tag,
            "UntagResource": self.untag,
        }

    def answer(self, target: str, body: bytes) -> bytes:
        """The answer to a request.

        Raises:
            RefusalError: the request is wrong, or nobody offers what it asks for.
        """
        name = target.removeprefix(TARGET)
        if name not in self._operations:
            raise RefusalError(
                "UnknownOperationException",
                f"The local cloud does not offer Application Auto Scaling's {name}.",
            )
        model = wire.service("application-autoscaling").operation_model(name)
        try:
            request = json.loads(body or b"{}")
        except ValueError:
            raise RefusalError("SerializationException", "The request is not JSON.") from None
        request = wire.read(model.input_shape, request)
        for key, only in PLACE.items():
            if request.get(key, only) != only:
                raise not_offered(f"{request[key]}; the {key} here is {only}")
        with self.lock:
            found = self._operations[name](request)
        return json.dumps(wire.render(model.output_shape, found or {})).encode()

    def register(self, request: dict[str, Any]) -> Answer:
        """Make a target, or change its bounds."""
        resource = request["ResourceId"]
        old = self.targets.get(resource)
        least = request.get("MinCapacity", old.least if old else None)
        most = request.get("MaxCapacity", old.most if old else None)
        if least is None or most is None:
            raise invalid("MinCapacity and MaxCapacity are required to register a scalable target.")
        self.check_bounds(resource, least, most)
        if "RoleARN" in request and "role/aws-service-role/" not in request["RoleARN"]:
            raise not_offered("a RoleARN other than the service-linked role")
        if old is None:
            target = Target(resource, least, most, now(), dict.fromkeys(SUSPENDED, False))
            self.targets[resource] = target
            self._cloud.tags[target.arn] = dict(request.get("Tags", {}))
        else:
            target = old
            if request.get("Tags"):
                raise invalid("Tags can only be given when a scalable target is first registered.")
            target.least, target.most = least, most
        target.suspended.update(request.get("SuspendedState", {}))
        return {"ScalableTargetARN": target.arn}

    def check_bounds(self, resource: str, least: int, most: int) -> None:
        """What a variant's bounds may be.

        Raises:
            RefusalError: there is no such variant, or it cannot have them.
        """
        endpoint_name, variant_name = owner(resource)
        endpoint = self._endpoints.get(endpoint_name)
        fleet = endpoint.fleet if endpoint else None
        if fleet is None or fleet.variant(variant_name) is None:
            raise invalid(f"SageMaker endpoint variant does not exist: {resource}")
        if fleet.serverless:
            raise invalid(f"{resource} is serverless and has no {DIMENSION}.")
        if least < 0 or most < least:
            raise invalid("Maximum capacity cannot be less than minimum capacity, nor below 0.")
        if least < 1 and fleet.asynchronous is None:
            raise invalid("Minimum capacity cannot be less than 1 for a real-time variant.")

    def describe_targets(self, request: dict[str, Any]) -> Answer:
        """Targets, a page of them."""
        wanted = request.get("ResourceIds")
        found = [
            each.describe()
            for each in self.targets.values()
            if wanted is None or each.resource in wanted
        ]
        return _page("ScalableTargets", found, request)

    def deregister(self, request: dict[str, Any]) -> None:
        """Forget a target, its policies, alarms and scheduled actions."""
        target = self._target(request)
        for policy in list(target.policies.values()):
            self._drop_alarms(policy)
        del self.targets[target.resource]
        self._cloud.tags.pop(target.arn, None)

    def put_policy(self, request: dict[str, Any]) -> Answer:
        """Make a policy, or change what it says."""
        target = self._target(request)
        old = target.policies.get(request["PolicyName"])
        kind = request.setdefault("PolicyType", old.request["PolicyType"] if old else "StepScaling")
        if old and old.request["PolicyType"] != kind:
            raise invalid(f"The policy {old.name} has another PolicyType.")
        check_policy(request)
        policy = Policy(
            request["PolicyName"], target.resource, request, now(), cooldowns_of(request)
        )
        if old:
            policy.identity, policy.created = old.identity, old.created
            policy.cooldowns.out_at, policy.cooldowns.in_at = (
                old.cooldowns.out_at,
                old.cooldowns.in_at,
            )
            self._drop_alarms(old)
        target.policies[policy.name] = policy
        for alarm in tracking_alarms.requests(policy, self._cloud.settings.scaling_period):
            self._alarms.keep(alarm)
            policy.alarms = (*policy.alarms, alarm["AlarmName"])
        return {"PolicyARN": policy.arn, "Alarms": policy.told_alarms()}

    def _drop_alarms(self, policy: Policy) -> None:
        there = set(policy.alarms) - set(self._alarms.missing(policy.alarms))
        if there:
            self._alarms.delete({"AlarmNames": sorted(there)})

    def describe_policies(self, request: dict[str, Any]) -> Answer:
        """Policies, a page of them."""
        names, resource = request.get("PolicyNames"), request.get("ResourceId")
        found = [
            policy.describe()
            for target in self.targets.values()
            for policy in target.policies.values()
            if (names is None or policy.name in names) and resource in (None, target.resource)
        ]
        return _page("ScalingPolicies", found, request)

    def delete_policy(self, request: dict[str, Any]) -> None:
        """Forget a policy and its alarms."""
        target = self.targets.get(request["ResourceId"])
        policy = target.policies.pop(request["PolicyName"], None) if target else None
        if policy is None:
            raise _missing("scaling policy", request["PolicyName"])
        self._drop_alarms(policy)

    def put_action(self, request: dict[str, Any]) -> None:
        """Make a scheduled action, or change what it says."""
        target = self._target(request)
        name = request["ScheduledActionName"]
        old = target.actions.get(name)
        request = {**(old.request if old else {}), **request}
        if "Schedule" not in request or not request.get("ScalableTargetAction"):
            raise invalid("Schedule and ScalableTargetAction are required.")
        wanted = request["ScalableTargetAction"]
        least = wanted.get("MinCapacity", target.least)
        most = wanted.get("MaxCapacity", target.most)
        self.check_bounds(target.resource, least, most)
        moment = now()
        start = datetime.fromtimestamp(request.get("StartTime", moment.timestamp()), UTC)
        try:
            schedule = schedules.parse(request["Schedule"], start, request.get("Timezone", "UTC"))
        except schedules.ScheduleError as error:
            raise invalid(str(error)) from None
        due = schedule.after(max(moment, start - timedelta(microseconds=1)))
        if due is None:
            raise invalid(f"The schedule {request['Schedule']} is never due any more.")
        action = ScheduledAction(name, target.resource, request, moment, schedule, due)
        if old:
            action.identity, action.created = old.identity, old.created
        target.actions[name] = action

    def describe_actions(self, request: dict[str, Any]) -> Answer:
        """Scheduled actions, a page of them."""
        names, resource = request.get("ScheduledActionNames"), request.get("ResourceId")
        found = [
            action.describe()
            for target in self.targets.values()
            for action in target.actions.values()
            if (names is None or action.name in names) and resource in (None, target.resource)
        ]
        return _page("ScheduledActions", found, request)

    def delete_action(self, request: dict[str, Any]) -> None:
        """Forget a scheduled action."""
        target = self.targets.get(request["ResourceId"])
        if target is None or target.actions.pop(request["ScheduledActionName"], None) is None:
            raise _missing("scheduled action", request["ScheduledActionName"])

    def describe_activities(self, request: dict[str, Any]) -> Answer:
        """What was scaled, the newest first, a page of it."""
        if request.get("IncludeNotScaledActivities"):
            raise not_offered("activities that did not scale")
        resource = request.get("ResourceId")
        found = [
            each.describe()
            for each in reversed(self.activities)
            if resource in (None, each.resource)
        ]
        return _page("ScalingActivities", found, request)

    def record(self, activity: Activity) -> None:
        """Remember something that was scaled."""
        with self.lock:
            self.activities = [*self.activities, activity][-MOST_ACTIVITIES:]

    def tags(self, request: dict[str, Any]) -> Answer:
        """The tags of a target."""
        return {"Tags": self._tags(request)}

    def tag(self, request: dict[str, Any]) -> None:
        """Set tags of a target."""
        self._tags(request).update(request["Tags"])

    def untag(self, request: dict[str, Any]) -> None:
        """Remove tags of a target."""
        own = self._tags(request)
        for key in request["TagKeys"]:
            own.pop(key, None)

    def _tags(self, request: Mapping[str, Any]) -> dict[str, str]:
        found = self._cloud.tags.get(request["ResourceARN"])
        if found is None:
            raise RefusalError(
                "ResourceNotFoundException",
                f"No scalable target found for the resource ARN {request['ResourceARN']}.",
            )
        return found

    def _target(self, request: Mapping[str, Any]) -> Target:
        target = self.targets.get(request["ResourceId"])
        if target is None:
            raise RefusalError(
                "ObjectNotFoundException",
                f"No scalable target found for service namespace: {NAMESPACE}, resource ID: "
                f"{request['ResourceId']}, scalable dimension: {DIMENSION}",
            )
        return target


def _missing(what: str, name: str) -> RefusalError:
    return RefusalError("ObjectNotFoundException", f"No {what} found named {name}.")


def _page(key: str, found: Sequence[Mapping[str, Any]], request: Mapping[str, Any]) -> Answer:
    try:
        start = int(request.get("NextToken", "0"))
    except ValueError:
        raise RefusalError("InvalidNextTokenException", "Invalid NextToken.") from None
    end = start + request.get("MaxResults", 50)
    return {key: found[start:end], "NextToken": str(end) if end < len(found) else None}
