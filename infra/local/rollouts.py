"""Rollouts: from an endpoint's old fleet to its new one, step by step, and back if need be.

In a blue/green deployment the whole new fleet is started, gets its share of the traffic in one or
more steps, and the old one ends last. In a rolling one, instances are replaced in batches. After
each step the alarms are watched for a while. Whatever goes wrong, the old fleet takes all the
traffic again before the new one ends, so that no request meets a server that is gone.

What the steps of a rollout are and when it is rolled back: "Deployment guardrails" in the developer
guide. Clock and fleets are given, so that tests need neither time nor servers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from infra.local.alarms import Alarms
from infra.local.deployments import Plan, Rolling
from infra.local.fleets import Fleet
from infra.local.instances import FleetError
from infra.local.routing import Router
from infra.local.state import log_exception, now
from infra.local.variants import Variant

POLL = 0.1


class Clock(Protocol):
    """Seconds since 1970, and waiting."""

    def time(self) -> float:
        """The present."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Wait."""
        ...


class RollbackError(Exception):
    """A rollout is to be rolled back; the text is the endpoint's FailureReason."""


class Progress:
    """How far a deployment is: the stage of a fleet's variants, since when.

    The messages are those of "SageMaker endpoint deployment state change" in the guide to events.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.begun = now()
        self.enter("Creating", "Launching {} instance(s).")

    def enter(self, stage: str, message: str, share: float = 1.0) -> None:
        """Go on to a stage that concerns this share of the fleet's instances."""
        self.stage = stage
        self.since = now()
        self._message = message
        self._share = share

    def message(self, count: int) -> str:
        """The stage in words, of a variant of `count` instances."""
        return self._message.format(max(1, round(self._share * count)))


class Rollout:
    """One update of an endpoint.

    Args:
        plan: how.
        old, new: the fleets; the old one has all the traffic.
        router: who gets which share.
        alarms: every alarm.
        patience: seconds until an instance of the new fleet that died must be back.
        clock: the time.
    """

    def __init__(
        self,
        plan: Plan,
        fleets: tuple[Fleet, Fleet],
        router: Router,
        alarms: Alarms,
        *,
        patience: float,
        clock: Clock = time,
    ) -> None:
        self._plan = plan
        self._router = router
        self._alarms = alarms
        self._patience = patience
        self._clock = clock
        self._begun = clock.time()
        self._shifted: float | None = None
        self.old, self.new = fleets
        self.progress = Progress(self.new)

    def run(self) -> None:
        """Go to the new fleet; the old one has ended then.

        Raises:
            RollbackError: `roll_back` is to be called.
        """
        try:
            if self._plan.rolling:
                self._roll(self._plan.rolling)
            else:
                self._shift()
        except FleetError as error:
            raise RollbackError(str(error)) from None
        except RollbackError:
            raise
        except Exception as error:
            log_exception()
            raise RollbackError(unforeseen(error)) from error
        self._router.share((self.new, 1.0))
        self.progress.enter("Deleting", "Terminating {} instance(s).")
        self.old.stop()

    def roll_back(self) -> str | None:
        """Go back to the old fleet; why not, if it did not come back."""
        try:
            self._return()
        except Exception as error:
            if not isinstance(error, FleetError):
                log_exception()
            return f"The rollback failed: {error}"
        self._router.share((self.old, 1.0))
        self.new.stop()
        return None

    def _shift(self) -> None:
        self.new.start()
        for share in self._plan.shares:
            self._activate(share, 1 - share)
            self._bake(share, self._plan.wait, "WaitIntervalInSeconds")
        if self._plan.termination:
            self._bake(1.0, self._plan.termination, "TerminationWaitInSeconds")

    def _roll(self, rolling: Rolling) -> None:
        self.new.prepare()
        done = {each.name: 0 for each in self.new.variants}
        part = 0.0
        while part < 1:
            self.progress.enter("Creating", "Launching {} instance(s).", 1 - part)
            for each in self.new.variants:
                step = rolling.batch.instances(each.count)
                done[each.name] = min(each.count, done[each.name] + step)
            part = min(done[each.name] / each.count for each in self.new.variants)
            self.new.scale(_by_name(done))
            self._activate(sum(done.values()), _instances(self.old))
            self._bake(part, self._plan.wait, "WaitIntervalInSeconds")
            if part < 1:
                self._thin(self.old, self.new, part)

    def _thin(self, leaving: Fleet, staying: Fleet, part: float) -> None:
        """End that part of a fleet whose place the other's instances took."""
        rest = {each.name: math.ceil(each.count * (1 - part) - 1e-9) for each in leaving.variants}
        self._router.share((leaving, sum(rest.values())), (staying, _instances(staying)))
        leaving.scale(_by_name(rest))

    def _return(self) -> None:
        """Bring the old fleet to its full size again."""
        rolling = self._plan.rolling
        if rolling is None:
            return
        part = min(_running(each) / each.count for each in self.old.variants)
        while part < 1:
            target = {}
            for each in self.old.variants:
                step = rolling.back.instances(each.count) if rolling.back else each.count
                target[each.name] = min(each.count, _running(each) + step)
            self.old.scale(_by_name(target))
            part = min(target[each.name] / each.count for each in self.old.variants)
            if part < 1:
                self._thin(self.new, self.old, part)

    def _activate(self, new: float, old: float) -> None:
        """Send the traffic to both fleets in this proportion, once the new one is well."""
        deadline = self._clock.time() + self._patience
        while not self.new.healthy:
            self._check()
            if self._clock.time() >= deadline:
                sick = next(each for each in self.new.all if each.running < len(each.instances))
                raise RollbackError(
                    f"The primary container for production variant {sick.name} did not pass the "
                    "ping health check. Please check CloudWatch logs for this endpoint. It ended "
                    f"while it was baking and was not back within {self._patience:g} seconds."
                )
            self._clock.sleep(POLL)
        self._check()
        share = new / (new + old)
        self.progress.enter("ActivatingTraffic", f"Activating traffic on {_extent(share)}.", share)
        self._router.share((self.old, old), (self.new, new))
        if self._shifted is None:
            self._shifted = self._clock.time()

    def _bake(self, share: float, seconds: float, why: str) -> None:
        message = f"Baking for {seconds:g} seconds ({why}) with traffic enabled on "
        self.progress.enter("Baking", f"{message}{_extent(share)}.", share)
        deadline = self._clock.time() + seconds
        self._check()
        while self._clock.time() < deadline:
            self._clock.sleep(min(POLL, max(deadline - self._clock.time(), 0)))
            self._check()

    def _check(self) -> None:
        """Whether it may go on.

        Raises:
            RollbackError: an alarm sounds, or sounded since the new fleet has traffic; or the time
                is up.
        """
        since = math.inf if self._shifted is None else self._shifted
        sounding = self._alarms.sounding(self._plan.alarms, since)
        if sounding:
            names = ", ".join(each.name for each in sounding)
            raise RollbackError(
                f"The deployment was rolled back because CloudWatch alarms of its "
                f"AutoRollbackConfiguration went into ALARM: {names}."
            )
        if self._clock.time() - self._begun > self._plan.limit:
            raise RollbackError(
                "The deployment was rolled back because it took longer than "
                f"MaximumExecutionTimeoutInSeconds ({self._plan.limit:g})."
            )


def _extent(share: float) -> str:
    return f"{'full' if share >= 1 else 'canary'} capacity of {{}} instance(s)"


def unforeseen(error: Exception) -> str:
    """The FailureReason of what nobody foresaw."""
    return f"Request to service failed. If failure persists after retry, see cloud.log: {error}"


def _running(variant: Variant) -> int:
    return len(variant.instances)


def _instances(fleet: Fleet) -> int:
    return sum(_running(each) for each in fleet.variants)


def _by_name(counts: dict[str, int]) -> Callable[[Variant], int]:
    return lambda variant: counts.get(variant.name, variant.count)
