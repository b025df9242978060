"""How a new version takes over from the old one: [endpoint].rollout, shadow and ab as values.

SageMaker makes the new fleet beside the old one, moves the traffic as `Rollout.request` says, and
goes back by itself when an alarm goes off. Here: the values, what AWS would refuse of them, and
DeploymentConfig. The alarms themselves are made in alarms.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from infra.requests import Request
from infra.units import short_time
from shared.errors import ProjectError

if TYPE_CHECKING:
    from infra.sections import EndpointSection, RolloutSection

Kind = Literal["all-at-once", "canary", "linear", "rolling"]

LONGEST_WAIT = 3600
LIMITS = (600, 28_800)
MOST_ALARMS = 10
# The smallest and the largest share that SageMaker moves at a time.
PERCENT = {"canary": (1, 50), "linear": (10, 50), "rolling": (5, 50)}
DEFAULT_PERCENT = {"canary": 10, "linear": 25, "rolling": 25}
# What an alarm needs to be heard: a period to be filled, one for the figures to arrive, one to act.
PERIODS_OF_A_WAIT = 3
_TYPES = {"all-at-once": "ALL_AT_ONCE", "canary": "CANARY", "linear": "LINEAR"}


@dataclass(frozen=True)
class Thresholds:
    """When the new fleet counts as broken.

    Attributes:
        errors: share of requests answered with 5xx.
        latency: seconds that the container may take for 99 of 100 requests.
        unusual: values a row that are missing, unknown to the model or out of the range it knows,
            more than in the old version's rows of the same minutes.
        period: seconds over which each is measured.
    """

    errors: float = 0.01
    latency: float = 1.0
    unusual: float = 0.5
    period: int = 60


@dataclass(frozen=True)
class Rollout:
    """How the traffic moves. Seconds.

    Attributes:
        percent: of the traffic that moves at a time; None where all of it does.
        wait: how long each step is watched, the last one too.
        keep_old: how long the old fleet is kept when all is done.
        limit: what all of it may take.
        alarms: "default" for those that we make, "none", or names of others.
    """

    kind: Kind
    percent: int | None
    wait: int
    keep_old: int
    limit: int
    alarms: Literal["default", "none"] | tuple[str, ...]
    thresholds: Thresholds = Thresholds()

    @property
    def steps(self) -> int:
        """After how many moves of traffic it waits."""
        if self.percent is None:
            return 1
        return 2 if self.kind == "canary" else math.ceil(100 / self.percent)

    @property
    def waits(self) -> int:
        """Seconds of waiting alone."""
        return self.steps * self.wait + self.keep_old

    def request(self, alarms: Sequence[str]) -> Request:
        """DeploymentConfig, with these alarms to go back at."""
        size: Request = {"Type": "CAPACITY_PERCENT", "Value": self.percent}
        if self.kind == "rolling":
            policy: Request = {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": size,
                    "WaitIntervalInSeconds": self.wait,
                    "MaximumExecutionTimeoutInSeconds": self.limit,
                }
            }
        else:
            routing: Request = {
                "Type": _TYPES[self.kind],
                "WaitIntervalInSeconds": self.wait,
            }
            if self.kind != "all-at-once":
                routing["CanarySize" if self.kind == "canary" else "LinearStepSize"] = size
            policy = {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": routing,
                    "TerminationWaitInSeconds": self.keep_old,
                    "MaximumExecutionTimeoutInSeconds": self.limit,
                }
            }
        if alarms:
            policy["AutoRollbackConfiguration"] = {
                "Alarms": [{"AlarmName": name} for name in alarms]
            }
        return policy


@dataclass(frozen=True)
class Beside:
    """The new version beside the old one: as a shadow, or with a share of the answers."""

    share: float
    shadow: bool


def rollout(section: RolloutSection | None) -> Rollout | None:
    """What [endpoint].rollout says; None where it says nothing: all at once, unwatched."""
    if section is None:
        return None
    kind, told = section.kind, section.thresholds
    written = section.wait if kind in ("linear", "rolling") else section.bake
    usual = 300 if kind in ("linear", "rolling") else 600
    return Rollout(
        kind,
        None if kind == "all-at-once" else section.percent or DEFAULT_PERCENT[kind],
        usual if written is None else round(written),
        round(section.keep_old or 0),
        round(section.limit),
        tuple(section.alarms) if isinstance(section.alarms, list) else section.alarms,
        Thresholds(told.errors, told.latency, told.unusual, round(told.period)),
    )


def beside(section: EndpointSection) -> Beside | None:
    """What [endpoint].shadow or ab says."""
    if section.shadow:
        return Beside(section.shadow.share, shadow=True)
    return Beside(section.ab.share, shadow=False) if section.ab else None


def refusals(section: EndpointSection) -> Iterator[ProjectError]:
    """Everything for which AWS would refuse the rollout, or which could not work."""
    if section.mode == "serverless":
        for key in ("rollout", "shadow", "ab"):
            if getattr(section, key):
                yield ProjectError(
                    "a serverless endpoint has one variant, and moves to a new one at once",
                    where=f"endpoint.{key}",
                    cure='Leave it out, or write mode = "realtime"',
                )
        return
    if section.shadow and section.ab:
        yield ProjectError(
            "the new version can be beside the old one in one way only",
            where="endpoint.ab",
            cure="Write shadow or ab, not both",
        )
    if (section.shadow or section.ab) and section.rollout:
        which = "shadow" if section.shadow else "ab"
        yield ProjectError(
            f"means nothing together with {which}: SageMaker moves traffic in steps only between "
            "variants of the same names, and the new version gets one of its own",
            where="endpoint.rollout",
            cure=f"Leave rollout or {which} out",
        )
    if section.rollout:
        yield from _misplaced(section.rollout)
        made = rollout(section.rollout)
        assert made
        yield from _refused(made, section.rollout)


def _misplaced(section: RolloutSection) -> Iterator[ProjectError]:
    """Keys that mean nothing to this kind of rollout."""
    kind = section.kind
    stepwise = kind in ("linear", "rolling")
    cures = {
        "percent": (kind == "all-at-once", "Leave it out: all of the traffic moves at once"),
        "bake": (stepwise, "Write wait: how long each step is watched"),
        "wait": (not stepwise, "Write bake: how long the new version is watched"),
        "keep_old": (kind == "rolling", "Leave it out: the old instances go as the new ones come"),
    }
    for key, (misplaced, cure) in cures.items():
        if misplaced and getattr(section, key) is not None:
            yield ProjectError(
                f'means nothing to kind = "{kind}"', where=f"endpoint.rollout.{key}", cure=cure
            )


def _refused(made: Rollout, section: RolloutSection) -> Iterator[ProjectError]:
    place = "endpoint.rollout"
    low, high = PERCENT.get(made.kind, (1, 100))
    if made.percent is not None and not low <= made.percent <= high:
        yield ProjectError(
            f'{made.percent} is not allowed; kind = "{made.kind}" moves {low} to {high} '
            "percent at a time",
            where=f"{place}.percent",
        )
    elif made.waits >= made.limit:
        yield ProjectError(
            f"{short_time(made.limit)} is too short: the waits alone take {short_time(made.waits)}",
            where=f"{place}.limit",
            cure="Write a longer limit, 8h at most, or wait less",
        )
    wait = "wait" if made.kind in ("linear", "rolling") else "bake"
    needed = PERIODS_OF_A_WAIT * made.thresholds.period
    if made.alarms == "default" and made.wait < needed:
        yield ProjectError(
            f"{short_time(made.wait)} is too short for alarms over "
            f"{short_time(made.thresholds.period)}: they need {short_time(needed)} to be heard",
            where=f"{place}.{wait}",
            cure=f'Write {wait} = "{needed}s" or longer, thresholds = {{ period = "10s" }}, or '
            'alarms = "none"',
        )
    if isinstance(made.alarms, tuple) and section.thresholds != type(section.thresholds)():
        yield ProjectError(
            "means nothing to alarms of your own", where=f"{place}.thresholds", cure="Leave it out"
        )
