"""What is told of an update while it goes on: its stage, the share of traffic, the alarms.

Read from DescribeEndpoint and DescribeAlarms as they are documented: a variant's status is
Creating, ActivatingTraffic, Baking or Deleting, with the time at which that began. Not here: how
long to wait, and what a failure means (watch.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.units import short_time

_STAGES = {
    "Creating": "starting the new version",
    "Updating": "starting the new version",
    "ActivatingTraffic": "moving traffic to the new version",
    "Baking": "watching the new version",
    "Deleting": "ending the old version",
}
_SECONDS = re.compile(r"for (\d+) seconds")
_LAUNCHING = re.compile(r"Launching (\d+) instance")


@dataclass(frozen=True)
class Stage:
    """Where an update is.

    Attributes:
        words: the same as long as the stage lasts.
        elapsed, lasts: seconds of a wait, where it is one.
    """

    words: str
    elapsed: float = 0.0
    lasts: float = 0.0

    @property
    def left(self) -> float:
        """Seconds until the wait is over."""
        return max(0.0, self.lasts - self.elapsed)


class Rolling:
    """An update as it is seen look by look.

    Shares are counted from the waits that were seen. Where it was under way before the first look,
    waits may be missing: then the share is what SageMaker's own words say, or a least one.

    Attributes:
        began: when SageMaker began with it, where that was seen.
    """

    def __init__(self) -> None:
        self._waits: list[datetime] = []
        self._looked = False
        self._missed = False
        self._alarmed: dict[str, str] = {}
        self.began: datetime | None = None

    @property
    def alarmed(self) -> dict[str, str]:
        """The alarms that were seen in ALARM at any moment, and CloudWatch's reasons."""
        return dict(self._alarmed)

    def stage(self, endpoint: Mapping[str, Any], now: datetime | None = None) -> Stage:
        """Where the update is by DescribeEndpoint's answer."""
        status = str(endpoint["EndpointStatus"])
        pending = endpoint.get("PendingDeploymentSummary") or {}
        self.began = pending.get("StartTime") or self.began
        if status == "RollingBack":
            return Stage("going back to the old version")
        last = _last_status(endpoint)
        if not self._looked and status == "Updating":
            self._looked, self._missed = True, _has_moved(endpoint)
        if status != "Updating" or last is None:
            return Stage(status)
        words = _STAGES.get(last["Status"], last["Status"])
        began = last.get("StartTime")
        if last["Status"] != "Baking" or began is None:
            return Stage(words)
        if began not in self._waits:
            self._waits.append(began)
        deployment = endpoint.get("LastDeploymentConfig") or {}
        lasts = _lasts(last, deployment)
        share = self._share(deployment, last.get("StatusMessage") or "")
        elapsed = ((now or datetime.now(UTC)) - began).total_seconds()
        return Stage(f"{words}: {share} of the traffic, {short_time(lasts)}", elapsed, lasts)

    def see(self, alarms: Iterable[Mapping[str, Any]]) -> str:
        """Take note of alarms as DescribeAlarms tells them; their states in words."""
        states: dict[str, int] = {}
        for alarm in alarms:
            state = str(alarm["StateValue"])
            states[state] = states.get(state, 0) + 1
            if state == "ALARM":
                self._alarmed[str(alarm["AlarmName"])] = str(alarm.get("StateReason") or "")
        told = {"OK": "OK", "ALARM": "in ALARM", "INSUFFICIENT_DATA": "without data yet"}
        return ", ".join(f"{count} {told.get(state, state)}" for state, count in states.items())

    def _share(self, deployment: Mapping[str, Any], message: str) -> str:
        """What of the traffic the new version has at the wait that was seen last."""
        routing = (deployment.get("BlueGreenUpdatePolicy") or {}).get(
            "TrafficRoutingConfiguration"
        ) or {}
        rolling = deployment.get("RollingUpdatePolicy") or {}
        canary = routing.get("CanarySize")
        step = canary or routing.get("LinearStepSize") or rolling.get("MaximumBatchSize")
        if step is None or "full capacity" in message:
            return "100 %"
        if canary and "canary capacity" in message:
            return f"{int(canary['Value'])} %"
        waits = len(self._waits)
        counted = 100 if canary and waits > 1 else min(100, int(step["Value"]) * waits)
        return f"at least {counted} %" if self._missed and counted < 100 else f"{counted} %"


def glance(endpoint: Mapping[str, Any], now: datetime | None = None) -> str | None:
    """Where an update is by one look; None where there is none."""
    pending = endpoint.get("PendingDeploymentSummary") or {}
    if endpoint["EndpointStatus"] not in ("Updating", "RollingBack"):
        return None
    stage = Rolling().stage(endpoint, now)
    words = stage.words.partition(",")[0]
    left = f", {short_time(stage.left)} left of this step" if stage.lasts else ""
    to = f" (to {pending['EndpointConfigName']})" if pending.get("EndpointConfigName") else ""
    return f"{words}{left}{to}"


def alarm_names(endpoint: Mapping[str, Any]) -> list[str]:
    """The alarms that an endpoint's last update was to go back at."""
    deployment = endpoint.get("LastDeploymentConfig") or {}
    rollback = deployment.get("AutoRollbackConfiguration") or {}
    return [str(alarm["AlarmName"]) for alarm in rollback.get("Alarms") or []]


def _has_moved(endpoint: Mapping[str, Any]) -> bool:
    """Whether the new version may have had traffic before this look."""
    pending = endpoint.get("PendingDeploymentSummary") or {}
    for variant in pending.get("ProductionVariants") or []:
        for status in variant.get("VariantStatus") or []:
            if status["Status"] in ("ActivatingTraffic", "Baking", "Deleting"):
                return True
            # A rolling update launches its later batches when the first have traffic.
            launching = _LAUNCHING.search(status.get("StatusMessage") or "")
            if launching and int(launching[1]) < variant.get("DesiredInstanceCount", 0):
                return True
    return False


def _last_status(endpoint: Mapping[str, Any]) -> Mapping[str, Any] | None:
    pending = endpoint.get("PendingDeploymentSummary") or {}
    variants = [
        *(pending.get("ProductionVariants") or []),
        *(endpoint.get("ProductionVariants") or []),
    ]
    statuses = [status for one in variants for status in one.get("VariantStatus") or []]
    dated = [status for status in statuses if status.get("StartTime")]
    return max(dated, key=lambda status: status["StartTime"]) if dated else None


def _lasts(status: Mapping[str, Any], deployment: Mapping[str, Any]) -> float:
    found = _SECONDS.search(status.get("StatusMessage") or "")
    if found:
        return float(found[1])
    blue = deployment.get("BlueGreenUpdatePolicy") or {}
    policy = blue.get("TrafficRoutingConfiguration") or deployment.get("RollingUpdatePolicy") or {}
    return float(policy.get("WaitIntervalInSeconds", 0))
