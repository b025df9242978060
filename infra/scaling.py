"""Instances that come and go: Application Auto Scaling's target, policies and scheduled actions.

Names carry digests of what they say, so another setting is another policy, and what is not wanted
any more is known by its name. Here: the values and the steps. Not here: which settings are allowed
(modes.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from infra.failures import explain
from infra.package import digest_of
from infra.requests import Request
from infra.serving import VARIANT
from infra.steps import Action, Call, Step, Unchanged

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.observe import ObservedEndpoint
    from infra.resources import Desired
    from infra.sections import EndpointSection

SERVICE = "application-autoscaling"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
NAMESPACE = {"ServiceNamespace": "sagemaker"}
_NAMES = re.compile(r"(.+)-(requests|backlog|wake|schedule)-[0-9a-f]{6}")


@dataclass(frozen=True)
class Scheduled:
    """Other bounds from some moment on."""

    at: str
    least: int
    most: int
    timezone: str


@dataclass(frozen=True)
class Scaling:
    """How many instances an endpoint has.

    Attributes:
        least, most: bounds.
        target: requests a minute of each instance, or waiting ones for each; None: nothing but the
            schedule changes the number.
        backlog: whether the target is of waiting requests, as asynchronous endpoints have them.
        scale_in, scale_out: seconds after which there may be fewer, or more, again.
    """

    least: int
    most: int
    target: float | None
    backlog: bool
    scale_in: int
    scale_out: int
    schedule: tuple[Scheduled, ...] = ()

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most instances there may ever be, its schedule included."""
        least = [self.least, *(one.least for one in self.schedule)]
        return min(least), max([self.most, *(one.most for one in self.schedule)])


@dataclass(frozen=True)
class ObservedScaling:
    """What is registered for an endpoint.

    Attributes:
        bounds: of its target; None: it has none.
        policies, actions: names.
        deaf: which of these policies never act, as an alarm that would have them do so is gone.
    """

    bounds: tuple[int, int] | None = None
    policies: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    deaf: frozenset[str] = frozenset()


UNSCALED = ObservedScaling()


def scaling(section: EndpointSection) -> Scaling | None:
    """What [endpoint].scaling says; None: the number of instances is fixed."""
    asked = section.scaling
    if asked is None or section.mode == "serverless":
        return None
    backlog = section.mode == "async"
    target = asked.backlog_per_instance if backlog else asked.invocations_per_instance
    return Scaling(
        asked.min,
        asked.max,
        (target or 5.0) if backlog else target,
        backlog,
        round(asked.scale_in),
        round(asked.scale_out),
        tuple(Scheduled(one.at, one.min, one.max, one.timezone) for one in asked.schedule),
    )


def resource(project: str) -> str:
    """What is scaled: the variant of the project's endpoint."""
    return f"endpoint/{project}/variant/{VARIANT}"


def place(project: str) -> Request:
    """The parameters that every call about it has."""
    return {**NAMESPACE, "ResourceId": resource(project), "ScalableDimension": DIMENSION}


def project_of(name: str) -> str:
    """The project of a policy or scheduled action of ours."""
    found = _NAMES.fullmatch(name)
    return found.group(1) if found else name


def look(cloud: Cloud, project: str) -> ObservedScaling:
    """What is registered for the project's endpoint.

    Raises:
        DeploymentError: AWS refuses.
    """
    named = {**NAMESPACE, "ResourceId": resource(project)}
    try:
        targets = cloud.call(
            SERVICE,
            "describe_scalable_targets",
            {**NAMESPACE, "ResourceIds": [named["ResourceId"]], "ScalableDimension": DIMENSION},
        )["ScalableTargets"]
        if not targets:
            return UNSCALED
        policies = cloud.call(SERVICE, "describe_scaling_policies", named)["ScalingPolicies"]
        actions = cloud.call(SERVICE, "describe_scheduled_actions", named)["ScheduledActions"]
        deaf = _deaf(cloud, policies)
    except Exception as error:
        raise explain(error, f"Looking at the scaling of {project}") from error
    return ObservedScaling(
        (targets[0]["MinCapacity"], targets[0]["MaxCapacity"]),
        frozenset(one["PolicyName"] for one in policies),
        frozenset(one["ScheduledActionName"] for one in actions),
        deaf,
    )


def governed(desired: Desired, endpoint: ObservedEndpoint | None, seen: ObservedScaling) -> Desired:
    """What is desired, where scaling decides the number of an endpoint's instances.

    Then the number at the start stays the running config's, since another one alone would be a new
    version that runs on as many instances as the old one. A candidate's number is not scaled.
    """
    if endpoint is None or not (desired.scaling and seen.bounds) or desired.beside:
        return desired
    count = next((one.count for one in endpoint.variants if one.name == VARIANT), None)
    if count is None or endpoint.mode != desired.hosting.mode:
        return desired
    return replace(desired, hosting=replace(desired.hosting, count=count))


def _deaf(cloud: Cloud, policies: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Names of the policies of which an alarm is gone: AWS's own ones, or that of a waking one."""
    alarms = {
        one["PolicyName"]: {alarm["AlarmName"] for alarm in one.get("Alarms", [])}
        | ({one["PolicyName"]} if _wakes(one["PolicyName"]) else set())
        for one in policies
    }
    wanted = set().union(*alarms.values())
    if not wanted:
        return frozenset()
    found = cloud.call("cloudwatch", "describe_alarms", {"AlarmNames": sorted(wanted)})
    gone = wanted - {one["AlarmName"] for one in found.get("MetricAlarms", [])}
    return frozenset(name for name, its in alarms.items() if its & gone)


def scaling_steps(
    project: str,
    wanted: Scaling | None,
    seen: ObservedScaling,
    steps: list[Step],
    same: list[Unchanged],
) -> None:
    """Add what makes the scaling, once the endpoint is there, and what ends it."""
    policies = dict(_policies(project, wanted)) if wanted else {}
    actions = dict(_actions(project, wanted)) if wanted else {}
    _endings(project, wanted, seen, {*policies, *actions}, steps)
    if wanted is None:
        return
    # A scheduled action changes the bounds to its own, as it should.
    scheduled = [(one.least, one.most) for one in wanted.schedule]
    if seen.bounds in [(wanted.least, wanted.most), *scheduled]:
        same.append(Unchanged("scalable target", project, "within the same bounds"))
    else:
        call = Call(
            SERVICE,
            "register_scalable_target",
            {**place(project), "MinCapacity": wanted.least, "MaxCapacity": wanted.most},
        )
        action: Action = "update" if seen.bounds else "create"
        reason = f"{wanted.least} to {wanted.most} instances"
        if seen.bounds:
            reason += f", not {seen.bounds[0]} to {seen.bounds[1]}"
        steps.append(Step("after", action, "scalable target", project, reason, call))
    for kind, found, known in (
        ("scaling policy", policies, seen.policies),
        ("scheduled action", actions, seen.actions),
    ):
        for name, call in found.items():
            if name in seen.deaf:
                steps.append(Step("after", "update", kind, name, "its alarm is gone", call))
            elif name in known:
                same.append(Unchanged(kind, name, "says the same"))
            else:
                steps.append(Step("after", "create", kind, name, "is not there", call))


def _endings(
    project: str,
    wanted: Scaling | None,
    seen: ObservedScaling,
    names: set[str],
    steps: list[Step],
) -> None:
    def delete(kind: str, name: str) -> None:
        for call in deletion(kind, name):
            steps.append(Step("after", "delete", kind, name, "is not asked for any more", call))

    for name in sorted(seen.actions - names):
        if _ours(project, name):
            delete("scheduled action", name)
    for name in sorted(seen.policies - names):
        if _ours(project, name):
            delete("scaling policy", name)
    if wanted is None and seen.bounds:
        delete("scalable target", project)


def _ours(project: str, name: str) -> bool:
    found = _NAMES.fullmatch(name)
    return found is not None and found.group(1) == project


def deletion(kind: str, name: str) -> tuple[Call, ...]:
    """The calls that delete one of a name."""
    if kind == "scalable target":
        return (Call(SERVICE, "deregister_scalable_target", place(name)),)
    where = place(project_of(name))
    if kind == "scheduled action":
        request = {**where, "ScheduledActionName": name}
        return (Call(SERVICE, "delete_scheduled_action", request),)
    policy = Call(SERVICE, "delete_scaling_policy", {**where, "PolicyName": name})
    if _wakes(name):
        return (Call("cloudwatch", "delete_alarms", {"AlarmNames": [name]}), policy)
    return (policy,)


def _wakes(name: str) -> bool:
    """Whether a policy of that name is ours and wakes: its alarm has the same name."""
    found = _NAMES.fullmatch(name)
    return found is not None and found.group(2) == "wake"


def _named(project: str, kind: str, content: Any) -> str:
    return f"{project}-{kind}-{digest_of(json.dumps(content, sort_keys=True).encode())[:6]}"


def _policies(project: str, wanted: Scaling) -> Iterator[tuple[str, Call]]:
    if wanted.target is not None:
        config: Request = {
            "TargetValue": float(wanted.target),
            "ScaleInCooldown": wanted.scale_in,
            "ScaleOutCooldown": wanted.scale_out,
        }
        if wanted.backlog:
            config["CustomizedMetricSpecification"] = {
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Namespace": "AWS/SageMaker",
                "Dimensions": [{"Name": "EndpointName", "Value": project}],
                "Statistic": "Average",
            }
        else:
            config["PredefinedMetricSpecification"] = {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            }
        name = _named(project, "backlog" if wanted.backlog else "requests", config)
        request = {
            **place(project),
            "PolicyName": name,
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": config,
        }
        yield name, Call(SERVICE, "put_scaling_policy", request)
    if wanted.backlog and wanted.least == 0:
        yield _waking(project, wanted)


def _waking(project: str, wanted: Scaling) -> tuple[str, Call]:
    """From no instance to one: a backlog per instance says nothing where there is none."""
    config = {
        "AdjustmentType": "ChangeInCapacity",
        "MetricAggregationType": "Average",
        "Cooldown": wanted.scale_out,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }
    name = _named(project, "wake", config)
    policy = {
        **place(project),
        "PolicyName": name,
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": config,
    }
    alarm = {
        "AlarmName": name,
        "AlarmDescription": "Requests wait, and there is no instance",
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity",
        "Dimensions": [{"Name": "EndpointName", "Value": project}],
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
    }
    # The alarm names the policy by an ARN that only the answer tells.
    return name, Call(SERVICE, "put_waking_policy", {"policy": policy, "alarm": alarm})


def put_waking_policy(cloud: Cloud, policy: Request, alarm: Request) -> None:
    """Put the policy, and then the alarm that has it act.

    Raises:
        DeploymentError: the alarm is refused, and the policy is there.
    """
    answer = cloud.call(SERVICE, "put_scaling_policy", policy)
    request = {**alarm, "AlarmActions": [answer["PolicyARN"]]}
    try:
        cloud.call("cloudwatch", "put_metric_alarm", request)
    except Exception as error:
        raise explain(error, f"create alarm {alarm['AlarmName']}") from error


def _actions(project: str, wanted: Scaling) -> Iterator[tuple[str, Call]]:
    for one in wanted.schedule:
        content = {
            "Schedule": one.at,
            "Timezone": one.timezone,
            "ScalableTargetAction": {"MinCapacity": one.least, "MaxCapacity": one.most},
        }
        name = _named(project, "schedule", content)
        request = {**place(project), "ScheduledActionName": name, **content}
        yield name, Call(SERVICE, "put_scheduled_action", request)
