"""What is shown of an update while it goes on, and what a rollback is told as."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.progress import Lines
from infra.rolling import Rolling, glance
from infra.steps import Wait
from infra.watch import FailedError, Watch
from tests.support.deployments import Clock
from tests.support.fake_cloud import FakeCloud, refused

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 30,
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
        },
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "slow"}]},
}
LINEAR = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "LINEAR",
            "WaitIntervalInSeconds": 30,
            "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 40},
        },
    },
}
ROLLING = {
    "RollingUpdatePolicy": {
        "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 30,
    },
}


def endpoint(
    status: str | None, after: float = 0, deployment: Any = CANARY, **message: str
) -> dict[str, Any]:
    """DescribeEndpoint of an update whose new variant has had a status since so many seconds."""
    variant: dict[str, Any] = {"VariantName": "AllTraffic"}
    if status:
        began = START + timedelta(seconds=after)
        variant["VariantStatus"] = [{"Status": status, "StartTime": began, **message}]
    return {
        "EndpointStatus": "Updating",
        "EndpointConfigName": "old",
        "LastDeploymentConfig": deployment,
        "PendingDeploymentSummary": {
            "EndpointConfigName": "new",
            "ProductionVariants": [variant],
            "StartTime": START,
        },
    }


def told(*endpoints: dict[str, Any]) -> list[str]:
    rolling = Rolling()
    return [rolling.stage(one, START).words for one in endpoints]


def test_each_stage_is_told_in_words() -> None:
    assert told(endpoint(None), endpoint("Creating"), endpoint("ActivatingTraffic")) == [
        "Updating", "starting the new version", "moving traffic to the new version",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("deployment", "shares"),
    [(CANARY, [10, 100, 100]), (LINEAR, [40, 80, 100]), (ROLLING, [50, 100, 100])],
)
def test_the_share_grows_with_each_wait(deployment: Any, shares: list[int]) -> None:
    waits = [endpoint("Baking", after, deployment) for after in (0, 0, 40, 80)]
    assert told(endpoint("Creating"), *waits)[1:] == [
        f"watching the new version: {share} % of the traffic, 30 s"
        for share in (shares[0], *shares)  # the second look sees the same wait
    ]


@pytest.mark.parametrize("first", ["ActivatingTraffic", "Baking"])
@pytest.mark.parametrize(
    ("deployment", "shares"),
    [
        (CANARY, ["at least 10 %", "100 %"]),
        (LINEAR, ["at least 40 %", "at least 80 %"]),
        (ROLLING, ["at least 50 %", "100 %"]),
    ],
)
def test_of_an_update_that_was_under_way_a_least_share_is_told(
    first: str, deployment: Any, shares: list[str]
) -> None:
    looks = [endpoint("Baking", after, deployment) for after in (0, 40)]
    assert told(endpoint(first, 0, deployment), *looks)[1:] == [
        f"watching the new version: {share} of the traffic, 30 s" for share in shares
    ]


@pytest.mark.parametrize(
    ("deployment", "capacity", "share"),
    [
        (CANARY, "canary capacity of 1 instance(s)", "10 %"),
        (CANARY, "full capacity of 3 instance(s)", "100 %"),
        (LINEAR, "full capacity of 3 instance(s)", "100 %"),
    ],
)
def test_sagemakers_own_words_tell_the_share_whatever_was_missed(
    deployment: Any, capacity: str, share: str
) -> None:
    message = f"Baking for 30 seconds (WaitIntervalInSeconds) with traffic enabled on {capacity}."
    (words,) = told(endpoint("Baking", 0, deployment, StatusMessage=message))
    assert words == f"watching the new version: {share} of the traffic, 30 s"


def test_a_later_batch_of_a_rolling_update_is_no_beginning() -> None:
    later = endpoint("Creating", 0, ROLLING, StatusMessage="Launching 1 instance(s).")
    later["PendingDeploymentSummary"]["ProductionVariants"][0]["DesiredInstanceCount"] = 2
    words = told(later, endpoint("Baking", 40, ROLLING))[1]
    assert words == "watching the new version: at least 50 % of the traffic, 30 s"


def test_the_time_left_is_that_of_the_wait() -> None:
    stage = Rolling().stage(endpoint("Baking"), START + timedelta(seconds=12))
    assert (stage.elapsed, stage.lasts, stage.left) == (12, 30, 18)


def test_sagemakers_own_words_say_how_long_a_wait_is() -> None:
    told = endpoint("Baking", StatusMessage="Baking for 120 seconds (TerminationWaitInSeconds) …")
    assert Rolling().stage(told, START).lasts == 120


def test_the_latest_of_several_states_counts() -> None:
    both = endpoint("ActivatingTraffic", after=5)
    states = [{"Status": "Baking", "StartTime": START}]
    both["ProductionVariants"] = [{"VariantName": "AllTraffic", "VariantStatus": states}]
    assert told(both) == ["moving traffic to the new version"]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (
            endpoint("Baking"),
            "watching the new version: at least 10 % of the traffic, 18 s left of this step "
            "(to new)",
        ),
        (endpoint("Creating"), "starting the new version (to new)"),
        ({"EndpointStatus": "RollingBack"}, "going back to the old version"),
        ({"EndpointStatus": "InService"}, None),
    ],
)
def test_one_look_tells_the_stage_and_a_least_share(
    seen: dict[str, Any], words: str | None
) -> None:
    assert glance(seen, START + timedelta(seconds=12)) == words


def test_an_alarm_is_remembered_when_it_is_quiet_again() -> None:
    rolling = Rolling()
    slow = {"AlarmName": "slow", "StateValue": "ALARM", "StateReason": "2.0 > 1.0"}
    assert rolling.see([slow, {"AlarmName": "b", "StateValue": "OK"}]) == "1 in ALARM, 1 OK"
    assert rolling.see([{**slow, "StateValue": "OK"}]) == "1 OK"
    assert rolling.alarmed == {"slow": "2.0 > 1.0"}


class Rolled(FakeCloud):
    """A cloud whose endpoint bakes once, with an alarm, and is then on its old config again."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = [
            endpoint("Baking"),
            {**endpoint("Deleting"), "EndpointStatus": "RollingBack"},
            {
                "EndpointStatus": "InService",
                "EndpointConfigName": "old",
                "LastDeploymentConfig": CANARY,
                "FailureReason": "Alarms in ALARM state: slow",
            },
        ]
        self.logs = {"AllTraffic/i-0": ["the old one"], "AllTraffic/i-1": ["a request took 2 s"]}
        alarm = {"AlarmName": "slow", "StateReason": "Threshold Crossed: 2.0 was greater than 1.0"}
        self.alarms["slow"] = {**alarm, "StateValue": "ALARM"}

    def describe_log_streams(self, **which: Any) -> dict[str, Any]:
        moments = {"AllTraffic/i-0": -60_000, "AllTraffic/i-1": 1000}
        start = round(START.timestamp() * 1000)
        return {
            "logStreams": [
                {"logStreamName": name, "creationTime": start + moment}
                for name, moment in moments.items()
            ]
        }

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        return self.looks.pop(0)


def watched(cloud: FakeCloud) -> tuple[str, str]:
    """What a watch of the rollout shows, and how it fails."""
    shown, clock = io.StringIO(), Clock()
    watch = Watch(cloud, Lines(1, shown), clock, clock.sleep)
    with pytest.raises(FailedError) as failed:
        watch.until(Wait("endpoint", "small", 600, "new"))
    return shown.getvalue(), str(failed.value)


def test_a_rollback_is_a_failure_with_alarm_numbers_and_log() -> None:
    shown, failure = watched(Rolled())
    assert "watching the new version: at least 10 % of the traffic, 30 s; alarms: 1 in" in shown
    assert "Alarm slow: Threshold Crossed" in shown
    assert "going back to the old version" in shown
    assert "went back to old: Alarms in ALARM state: slow. Alarm slow went off" in failure
    assert "2.0 was greater than 1.0" in failure
    assert "| a request took 2 s" in failure
    assert "the old one" not in failure


def test_alarms_that_cannot_be_read_do_not_end_the_deployment() -> None:
    class Denied(Rolled):
        def describe_alarms(self, **which: Any) -> dict[str, Any]:
            raise refused("DescribeAlarms", "AccessDenied", "no")

    shown, failure = watched(Denied())
    assert shown.count("Its alarms cannot be shown") == 1
    assert "went back to old" in failure
