"""How many instances a scaling policy wants. Pure: values in, numbers out, the clock handed in.

The rules are those of the Application Auto Scaling user guide: a target tracking policy wants as
many as bring its metric to the target; scaling out wins over scaling in, and all tracking policies
must agree to scale in; cool-downs as described there ("Define cooldown periods").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_COOLDOWN = 300
SCALE_IN_PART = 0.9


@dataclass(frozen=True)
class Wish:
    """What one policy wants.

    Attributes:
        count: of instances.
        cause: why, in words for DescribeScalingActivities.
        policy: its name.
        vetoes: whether it may keep others from scaling in below `count`.
    """

    count: int
    cause: str
    policy: str
    vetoes: bool = False


@dataclass(frozen=True)
class Limits:
    """Where a target stands, and how far it may go."""

    current: int
    least: int
    most: int

    def clamp(self, count: int) -> int:
        """The nearest that is allowed."""
        return max(self.least, min(self.most, count))


@dataclass
class Cooldowns:
    """When a policy last scaled, and how many seconds it then waits.

    Attributes:
        added: instances added by the scale-out whose cool-down runs.
    """

    out_for: float = DEFAULT_COOLDOWN
    in_for: float = DEFAULT_COOLDOWN
    out_at: float = -math.inf
    in_at: float = -math.inf
    added: int = 0

    def allow(self, moment: float, limits: Limits, count: int) -> int:
        """How many instances there may be now, of those that are wanted.

        While a scale-out cools down, what it added counts as part of the next one; nothing is
        removed while either cools down.
        """
        if count > limits.current:
            counted = self.added if moment - self.out_at < self.out_for else 0
            return max(limits.current, count - counted)
        if moment - self.out_at < self.out_for or moment - self.in_at < self.in_for:
            return limits.current
        return count

    def scaled(self, moment: float, before: int, after: int) -> None:
        """Remember what was done."""
        if after > before:
            self.out_at, self.added = moment, after - before
        else:
            self.in_at = moment


def tracked(current: int, value: float, target: float) -> int:
    """How many instances bring a metric that goes down with each of them to its target."""
    return math.ceil(current * value / target - 1e-9)


def stepped(current: int, breach: float, config: Mapping[str, Any]) -> int:
    """How many instances a step scaling policy wants.

    Args:
        current: how many there are.
        breach: the metric's value minus the alarm's threshold.
        config: StepScalingPolicyConfiguration.
    """
    for step in config["StepAdjustments"]:
        low = step.get("MetricIntervalLowerBound", -math.inf)
        high = step.get("MetricIntervalUpperBound", math.inf)
        # Below the threshold, the upper bound belongs to the step instead of the lower one.
        inside = low <= breach < high if breach >= 0 else low < breach <= high
        if inside:
            return _adjusted(current, step["ScalingAdjustment"], config)
    return current


def _adjusted(current: int, adjustment: int, config: Mapping[str, Any]) -> int:
    kind = config["AdjustmentType"]
    if kind == "ExactCapacity":
        return adjustment
    if kind == "ChangeInCapacity":
        return max(0, current + adjustment)
    change = current * adjustment / 100
    # As the guide has it: towards zero beyond one, away from zero below.
    rounded = (
        math.trunc(change)
        if abs(change) >= 1
        else int(math.copysign(math.ceil(abs(change)), change))
    )
    least = config.get("MinAdjustmentMagnitude", 0)
    if abs(rounded) < least:
        rounded = int(math.copysign(least, adjustment))
    return max(0, current + rounded)


def decide(limits: Limits, wishes: Iterable[Wish]) -> Wish | None:
    """The wish that comes true; None: nothing changes.

    The largest one that adds instances; else, if no tracking policy objects, the largest that
    removes some.
    """
    clamped = [
        Wish(limits.clamp(each.count), each.cause, each.policy, each.vetoes) for each in wishes
    ]
    out = [each for each in clamped if each.count > limits.current]
    if out:
        return max(out, key=lambda each: each.count)
    fewer = [each for each in clamped if each.count < limits.current]
    if not fewer or any(each.vetoes and each.count >= limits.current for each in clamped):
        return None
    return max(fewer, key=lambda each: each.count)
