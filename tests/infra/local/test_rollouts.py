from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.local.deployments import Plan, Rolling, Size
from infra.local.instances import FleetError
from infra.local.rollouts import RollbackError, Rollout


class FakeVariant:
    def __init__(self, count: int) -> None:
        self.name = "AllTraffic"
        self.count = count
        self.instances: list[int] = []
        self.dead = 0

    @property
    def running(self) -> int:
        return len(self.instances) - self.dead


class FakeFleet:
    def __init__(self, name: str, count: int, note: Callable[[str], None]) -> None:
        self.config = name
        self.variants = self.all = [FakeVariant(count)]
        self.fault: str | None = None
        self._note = note

    @property
    def healthy(self) -> bool:
        return all(each.dead == 0 for each in self.variants)

    def prepare(self) -> None:
        self._note(f"{self.config} is prepared")

    def start(self) -> None:
        self.scale(lambda variant: variant.count)

    def scale(self, count: Callable[[Any], int]) -> None:
        if self.fault:
            raise FleetError(self.fault)
        for each in self.variants:
            each.instances = list(range(count(each)))
        self._note(f"{self.config} has {len(self.variants[0].instances)}")

    def stop(self) -> None:
        self.variants[0].instances = []
        self._note(f"{self.config} ends")


class Stage:
    """A rollout with fake fleets and a fake clock; what happened, and when."""

    def __init__(self, plan: Plan, count: int = 1) -> None:
        self.seconds = 0.0
        self.events: list[str] = []
        self.at: dict[float, Callable[[], None]] = {}
        self.sounding: list[str] = []
        self.old = FakeFleet("old", count, self.note)
        self.new = FakeFleet("new", count, self.note)
        self.old.variants[0].instances = list(range(count))
        alarms = SimpleNamespace(sounding=self._sounding)
        router = SimpleNamespace(share=self._share)
        clock = SimpleNamespace(time=lambda: self.seconds, sleep=self._sleep)
        self.rollout = Rollout(
            plan,
            cast(Any, (self.old, self.new)),
            cast(Any, router),
            cast(Any, alarms),
            patience=20,
            clock=cast(Any, clock),
        )

    def note(self, text: str) -> None:
        self.events.append(f"{self.seconds:.0f}: {text}")

    def _share(self, *shares: tuple[FakeFleet, float]) -> None:
        total = sum(part for _, part in shares)
        told = [f"{fleet.config} {part / total:.0%}" for fleet, part in shares if part]
        self.note(", ".join(told))

    def _sounding(self, names: tuple[str, ...], since: float) -> list[Any]:
        del since
        return [SimpleNamespace(name=each) for each in names if each in self.sounding]

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
        for moment in [each for each in self.at if each <= self.seconds]:
            self.at.pop(moment)()

    def run(self) -> str | None:
        """The rollout to its end; why it went back, if it did, and whether that failed."""
        try:
            self.rollout.run()
        except RollbackError as error:
            self.note("back")
            problem = self.rollout.roll_back()
            return f"{error}{problem or ''}"
        return None


CANARY = Plan(shares=(0.1, 1.0), wait=30, termination=15, alarms=("errors",))


def test_a_canary_bakes_twice_and_the_old_fleet_ends_last() -> None:
    stage = Stage(CANARY)
    assert stage.run() is None
    assert stage.events == [
        "0: new has 1",
        "0: old 90%, new 10%",
        "30: new 100%",
        "75: new 100%",
        "75: old ends",
    ]


def test_linear_steps_bake_each() -> None:
    stage = Stage(Plan(shares=(0.4, 0.8, 1.0), wait=10))
    assert stage.run() is None
    assert stage.events[1:5] == [
        "0: old 60%, new 40%",
        "10: old 20%, new 80%",
        "20: new 100%",
        "30: new 100%",
    ]


@pytest.mark.parametrize("moment", [12.0, 42.0, 70.0])
def test_an_alarm_during_any_bake_sends_all_traffic_back_before_the_new_fleet_ends(
    moment: float,
) -> None:
    stage = Stage(CANARY)
    stage.at[moment] = lambda: stage.sounding.append("errors")
    reason = stage.run()
    assert reason is not None
    assert reason.endswith("went into ALARM: errors.")
    assert [each.partition(": ")[2] for each in stage.events[-3:]] == [
        "back",
        "old 100%",
        "new ends",
    ]
    assert stage.seconds == pytest.approx(moment, abs=0.2)


def test_an_alarm_that_sounds_beforehand_keeps_the_traffic_where_it_is() -> None:
    stage = Stage(CANARY)
    stage.sounding.append("errors")
    assert "errors" in (stage.run() or "")
    assert stage.events == ["0: new has 1", "0: back", "0: old 100%", "0: new ends"]


def test_an_alarm_that_was_not_named_changes_nothing() -> None:
    stage = Stage(CANARY)
    stage.sounding.append("other")
    assert stage.run() is None


def test_a_new_fleet_that_does_not_start_is_the_reason() -> None:
    stage = Stage(CANARY)
    stage.new.fault = "it did not pass the ping health check"
    assert stage.run() == "it did not pass the ping health check"
    assert stage.events == ["0: back", "0: old 100%", "0: new ends"]


def test_what_nobody_foresaw_rolls_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(CANARY)
    monkeypatch.setattr(stage.new, "start", lambda: 1 / 0)
    assert "Request to service failed" in (stage.run() or "")
    assert stage.events[-1] == "0: new ends"


def test_when_the_time_is_up_it_rolls_back() -> None:
    stage = Stage(Plan(shares=(0.1, 1.0), wait=500, limit=600))
    assert "MaximumExecutionTimeoutInSeconds (600)" in (stage.run() or "")
    assert stage.seconds == pytest.approx(600, abs=0.2)


def test_a_server_of_the_new_fleet_that_dies_delays_the_next_step_until_it_is_back() -> None:
    stage = Stage(CANARY)

    def die() -> None:
        stage.new.variants[0].dead = 1

    def return_() -> None:
        stage.new.variants[0].dead = 0

    stage.at = {20.0: die, 40.0: return_}
    assert stage.run() is None
    assert "40: new 100%" in stage.events


def test_a_server_of_the_new_fleet_that_stays_dead_rolls_back() -> None:
    stage = Stage(CANARY)
    stage.at[20.0] = lambda: setattr(stage.new.variants[0], "dead", 1)
    assert "was not back within 20 seconds" in (stage.run() or "")
    assert stage.seconds == pytest.approx(50, abs=0.2)


def rolling(back: Size | None = None, batch: int = 2) -> Plan:
    size = Size("INSTANCE_COUNT", batch)
    return Plan(wait=10, alarms=("errors",), rolling=Rolling(size, back))


def test_a_rolling_update_replaces_instances_in_batches() -> None:
    stage = Stage(rolling(), count=5)
    assert stage.run() is None
    assert stage.events == [
        "0: new is prepared",
        "0: new has 2",
        "0: old 71%, new 29%",
        "10: old 60%, new 40%",
        "10: old has 3",
        "10: new has 4",
        "10: old 43%, new 57%",
        "20: old 20%, new 80%",
        "20: old has 1",
        "20: new has 5",
        "20: old 17%, new 83%",
        "30: new 100%",
        "30: old ends",
    ]


@pytest.mark.parametrize(
    ("back", "wanted"),
    [
        (None, ["old has 5", "old 100%", "new ends"]),
        (
            Size("INSTANCE_COUNT", 1),
            ["old has 4", "new 20%, old 80%", "new has 1", "old has 5", "old 100%", "new ends"],
        ),
    ],
)
def test_a_rolling_update_goes_back_at_once_or_in_batches(
    back: Size | None, wanted: list[str]
) -> None:
    stage = Stage(rolling(back), count=5)
    stage.at[12.0] = lambda: stage.sounding.append("errors")
    assert "errors" in (stage.run() or "")
    events = [each.partition(": ")[2] for each in stage.events]
    assert events[events.index("back") + 1 :] == wanted


def test_an_old_fleet_that_does_not_come_back_is_told() -> None:
    stage = Stage(rolling(), count=4)

    def fail() -> None:
        stage.sounding.append("errors")
        stage.old.fault = "no server"

    stage.at[12.0] = fail
    assert "The rollback failed: no server" in (stage.run() or "")
    assert "new ends" not in stage.events[-1]


def test_the_stages_are_told_as_they_come() -> None:
    stage = Stage(CANARY)
    seen = []
    for moment in (15.0, 45.0, 70.0):
        stage.at[moment] = lambda: seen.append(stage.rollout.progress.message(10))
    assert stage.rollout.progress.message(10) == "Launching 10 instance(s)."
    assert stage.run() is None
    first, final, last = seen
    enabled = "with traffic enabled on"
    assert first.startswith("Baking for 30 seconds (WaitIntervalInSeconds)")
    assert first.endswith(f"{enabled} canary capacity of 1 instance(s).")
    assert final.endswith(f"{enabled} full capacity of 10 instance(s).")
    assert last.startswith("Baking for 15 seconds (TerminationWaitInSeconds)")
    assert stage.rollout.progress.stage == "Deleting"
