"""A DeploymentConfig read: how the traffic moves to a new fleet, and what brings it back.

The limits are those of the API reference (BlueGreenUpdatePolicy, TrafficRoutingConfig,
RollingUpdatePolicy, AutoRollbackConfig); those of single members are checked with the request.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.local.wire import invalid

LONGEST = 28_800.0
MOST_ALARMS = 10


@dataclass(frozen=True)
class Size:
    """A part of a fleet: a number of instances of each variant, or per cent."""

    kind: str
    value: int

    def part(self, count: int) -> float:
        """Which fraction of `count` instances this is."""
        return self.value / (100 if self.kind == "CAPACITY_PERCENT" else count)

    def instances(self, count: int) -> int:
        """How many of `count` instances this is, at least one."""
        return min(count, max(1, math.floor(self.part(count) * count + 1e-9)))


@dataclass(frozen=True)
class Rolling:
    """Batches of a rolling update; `back`: of its rollback, None: all at once."""

    batch: Size
    back: Size | None


@dataclass(frozen=True)
class Plan:
    """How an endpoint goes from one fleet to another.

    Attributes:
        shares: what the new fleet gets of the traffic, step by step; the last is 1.
        wait: seconds of baking after each step, while alarms are watched.
        termination: seconds from the last step's baking to the old fleet's end.
        limit: seconds in all.
        alarms: whose ALARM brings the old fleet back.
        rolling: instances are replaced in batches instead.
    """

    shares: tuple[float, ...] = (1.0,)
    wait: float = 0.0
    termination: float = 0.0
    limit: float = LONGEST
    alarms: tuple[str, ...] = ()
    rolling: Rolling | None = None


def read(
    config: Mapping[str, Any],
    counts: Sequence[int],
    unknown: Callable[[Iterable[str]], Sequence[str]],
) -> Plan:
    """The plan of a DeploymentConfig.

    Args:
        config: the request's.
        counts: how many instances each of the new fleet's variants has.
        unknown: which of the names no alarm has.

    Raises:
        RefusalError: AWS would refuse it.
    """
    alarms = _alarms(config.get("AutoRollbackConfiguration", {}), unknown)
    if "BlueGreenUpdatePolicy" in config and "RollingUpdatePolicy" in config:
        raise invalid(
            "Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified in "
            "DeploymentConfig."
        )
    if "RollingUpdatePolicy" in config:
        return _rolling(config["RollingUpdatePolicy"], counts, alarms)
    policy = config.get("BlueGreenUpdatePolicy")
    if policy is None:
        return Plan(alarms=alarms)
    routing = policy["TrafficRoutingConfiguration"]
    return Plan(
        shares=_shares(routing, counts),
        wait=routing["WaitIntervalInSeconds"],
        termination=policy.get("TerminationWaitInSeconds", 0),
        limit=policy.get("MaximumExecutionTimeoutInSeconds", LONGEST),
        alarms=alarms,
    )


def check_variants(config: Mapping[str, Any], old: Iterable[str], new: Sequence[str]) -> None:
    """Refuse a policy that fleets with these variants cannot follow.

    The rules are those of "Exclusions" in the guide to deployment guardrails.

    Raises:
        RefusalError: the names differ, or there are several and the policy is a rolling one.
    """
    if not {"BlueGreenUpdatePolicy", "RollingUpdatePolicy"} & set(config):
        return
    if set(old) != set(new):
        raise invalid(
            "With an update policy, the new endpoint configuration must have the same variant "
            f"names as the old one, {', '.join(sorted(old))}."
        )
    if "RollingUpdatePolicy" in config and len(new) > 1:
        raise invalid("RollingUpdatePolicy cannot be used for an endpoint of several variants.")


def _alarms(
    config: Mapping[str, Any], unknown: Callable[[Iterable[str]], Sequence[str]]
) -> tuple[str, ...]:
    given = config.get("Alarms", [])
    if any("AlarmName" not in each for each in given):
        raise invalid("Each of AutoRollbackConfiguration's Alarms must have an AlarmName.")
    names = tuple(each["AlarmName"] for each in given)
    missing = unknown(names)
    if missing:
        raise invalid(
            "The following alarms of AutoRollbackConfiguration do not exist: "
            f"{', '.join(sorted(set(missing)))}."
        )
    return names


def _shares(routing: Mapping[str, Any], counts: Sequence[int]) -> tuple[float, ...]:
    kind = routing["Type"]
    wanted = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(kind)
    for name in ("CanarySize", "LinearStepSize"):
        if (name in routing) != (name == wanted):
            verb = "is required" if name == wanted else "cannot be specified"
            raise invalid(f"{name} {verb} when the traffic routing type is {kind}.")
    if wanted is None:
        return (1.0,)
    size = _size(routing[wanted], wanted, counts, lowest=10 if kind == "LINEAR" else 0)
    part = statistics.fmean(size.part(each) for each in counts)
    if kind == "CANARY":
        return (part, 1.0)
    steps = math.ceil(1 / part - 1e-9)
    return (*(part * step for step in range(1, steps)), 1.0)


def _rolling(policy: Mapping[str, Any], counts: Sequence[int], alarms: tuple[str, ...]) -> Plan:
    if 0 in counts:
        raise invalid("RollingUpdatePolicy cannot be used for a variant without instances.")
    back = policy.get("RollbackMaximumBatchSize")
    return Plan(
        wait=policy["WaitIntervalInSeconds"],
        limit=policy.get("MaximumExecutionTimeoutInSeconds", LONGEST),
        alarms=alarms,
        rolling=Rolling(
            _size(policy["MaximumBatchSize"], "MaximumBatchSize", counts, lowest=5),
            _size(back, "RollbackMaximumBatchSize", counts, highest=100) if back else None,
        ),
    )


def _size(
    given: Mapping[str, Any],
    name: str,
    counts: Sequence[int],
    *,
    lowest: int = 0,
    highest: int = 50,
) -> Size:
    """A size within its bounds, which are per cent of each variant's instances."""
    size = Size(given["Type"], given["Value"])
    if size.kind == "INSTANCE_COUNT" and 0 in counts:
        raise invalid(f"{name} cannot be an INSTANCE_COUNT of a variant without instances.")
    for count in counts:
        if not lowest <= size.part(count) * 100 <= highest:
            bounds = f"between {lowest}% and {highest}%" if lowest else f"at most {highest}%"
            raise invalid(
                f"{name} must be {bounds} of the variant's total instance count, which is {count}."
            )
    return size
