"""Scales variants: looks at the policies and schedules of every target, again and again.

What is wanted is decided by `scaling_rules`; here are the metrics, the alarms and the endpoints. A
policy is looked at once a period, and never by a period that began before the last change, since
its metric was that of another number of instances. As on AWS, a variant without traffic has an
InvocationsPerInstance of 0, so that it scales in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from infra.local.alarms import Alarm, Alarms
from infra.local.application_autoscaling import ApplicationAutoScaling
from infra.local.endpoints import Endpoints
from infra.local.meter import NAMESPACE
from infra.local.scalable_targets import Activity, Policy, Target, owner
from infra.local.scaling_rules import SCALE_IN_PART, Limits, Wish, decide, stepped, tracked
from infra.local.series import Metric
from infra.local.state import Cloud, log_exception, now
from infra.local.variants import Variant
from infra.local.wire import RefusalError

TICK = 0.25
POLL = 0.1


class Scaler:
    """Does what targets' policies and schedules ask for.

    Args:
        cloud: the cloud.
        service: the targets.
        endpoints: what is scaled.
        alarms: what policies act on.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        cloud: Cloud,
        service: ApplicationAutoScaling,
        endpoints: Endpoints,
        alarms: Alarms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cloud = cloud
        self._service = service
        self._endpoints = endpoints
        self._alarms = alarms
        self._clock = clock
        self._period = int(cloud.settings.scaling_period)

    def watch(self) -> None:
        """Scale from now on, in a thread."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            with self._service.lock:
                targets = list(self._service.targets.values())
            for target in targets:
                try:
                    self.look(target)
                except Exception:  # one target must not end them all
                    log_exception()

    def look(self, target: Target) -> None:
        """Scale a target if something asks for it and nothing else is going on."""
        with self._service.lock:
            self._run_schedule(target)
        endpoint_name, variant_name = owner(target.resource)
        endpoint = self._endpoints.get(endpoint_name)
        fleet = endpoint.fleet if endpoint else None
        variant = fleet.variant(variant_name) if fleet else None
        if endpoint is None or fleet is None or variant is None:
            return
        if fleet.asynchronous is None:
            self._tell_nothing(endpoint_name, variant_name)
        if endpoint.status != "InService":
            return
        with self._service.lock:
            limits = Limits(variant.count, target.least, target.most)
            wish = self._outside(limits) or decide(limits, self._wishes(target, variant, limits))
        if wish:
            self._scale(target, variant, wish)

    def _tell_nothing(self, endpoint: str, variant: str) -> None:
        names = {"EndpointName": endpoint, "VariantName": variant}
        metric = Metric.of(NAMESPACE, "InvocationsPerInstance", names)
        moment = int(self._clock())
        if not self._cloud.metrics.periods(metric, moment - self._period, moment + 1, 1):
            self._cloud.metrics.add([(metric, 0.0, "None")], moment)

    def _run_schedule(self, target: Target) -> None:
        moment = datetime.fromtimestamp(self._clock(), UTC)
        for action in target.actions.values():
            if action.due is None or action.due > moment:
                continue
            ends = action.request.get("EndTime")
            over = ends is not None and action.due.timestamp() > ends
            action.due = None if over else action.schedule.after(moment)
            if over or target.suspended["ScheduledScalingSuspended"]:
                continue
            wanted = action.request["ScalableTargetAction"]
            target.least = wanted.get("MinCapacity", target.least)
            target.most = wanted.get("MaxCapacity", target.most)

    def _outside(self, limits: Limits) -> Wish | None:
        """What brings a target back within its bounds."""
        count = limits.clamp(limits.current)
        if count == limits.current:
            return None
        side, bound = ("minimum", "below") if count > limits.current else ("maximum", "above")
        return Wish(count, f"the capacity was {bound} the {side} capacity", "")

    def _wishes(self, target: Target, variant: Variant, limits: Limits) -> Iterator[Wish]:
        moment = self._clock()
        for policy in target.policies.values():
            for wish in self._asked(target, policy, variant):
                more, less = wish.count > limits.current, wish.count < limits.current
                suspended = (more and target.suspended["DynamicScalingOutSuspended"]) or (
                    less and target.suspended["DynamicScalingInSuspended"]
                )
                allowed = policy.cooldowns.allow(moment, limits, limits.clamp(wish.count))
                count = limits.current if suspended else allowed
                yield Wish(count, wish.cause, wish.policy, wish.vetoes)

    def _asked(self, target: Target, policy: Policy, variant: Variant) -> Iterator[Wish]:
        """What a policy wants by its alarms."""
        current = variant.count
        for alarm in self._alarms.acting(policy.arn):
            low = bool(policy.alarms) and alarm.name == policy.alarms[1]
            value = self._value(target, policy, alarm) if alarm.state == "ALARM" else None
            if value is None:
                if low and not (policy.tracking or {}).get("DisableScaleIn"):
                    yield Wish(current, "", policy.name, vetoes=True)
                continue
            cause = f"monitor alarm {alarm.name} in state ALARM triggered policy {policy.name}"
            if policy.tracking is None:
                breach = value - alarm.request["Threshold"]
                config = policy.request["StepScalingPolicyConfiguration"]
                yield Wish(stepped(current, breach, config), cause, policy.name)
                continue
            goal = alarm.request["Threshold"] / (SCALE_IN_PART if low else 1.0)
            wanted = tracked(current, value, goal)
            if not low or not policy.tracking.get("DisableScaleIn"):
                yield Wish(wanted, cause, policy.name, vetoes=low)

    def _value(self, target: Target, policy: Policy, alarm: Alarm) -> float | None:
        """An alarm's metric in the last period that tells of the present instances."""
        rule = alarm.rule
        end = int(self._clock()) // rule.period * rule.period
        begin = end - rule.period
        if begin < max(target.changed, policy.handled):
            return None
        return alarm.values(self._cloud.metrics, begin, end).get(begin)

    def _scale(self, target: Target, variant: Variant, wish: Wish) -> None:
        before, since = variant.count, target.changed
        activity = Activity(target.resource, wish.count, wish.cause, now())
        endpoint, name = owner(target.resource)
        desired = {"VariantName": name, "DesiredInstanceCount": wish.count}
        target.changed = float("inf")  # until it is known when
        try:
            self._endpoints.update_weights(
                {"EndpointName": endpoint, "DesiredWeightsAndCapacities": [desired]}
            )
        except RefusalError:  # somebody else changes it: later
            target.changed = since
            return
        self._service.record(activity)
        with self._service.lock:
            if policy := target.policies.get(wish.policy):
                policy.cooldowns.scaled(self._clock(), before, wish.count)
                policy.handled = self._clock()
        threading.Thread(target=self._follow, args=(target, activity), daemon=True).start()

    def _follow(self, target: Target, activity: Activity) -> None:
        """Tell how it went, when it has."""
        endpoint = self._endpoints.get(owner(target.resource)[0])
        while endpoint is not None and endpoint.status in ("Updating", "RollingBack"):
            time.sleep(POLL)
        with self._service.lock:
            target.changed = self._clock()
            activity.ended = now()
            fault = endpoint.failure_reason if endpoint else "The endpoint is gone."
            if fault:
                activity.status, activity.message = "Failed", fault
            else:
                activity.status = "Successful"
                activity.message = (
                    f"Successfully set desired instance count to {activity.count}. Change "
                    "successfully fulfilled by sagemaker."
                )
