from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from infra.local.deployments import Plan, check_variants, read
from infra.local.wire import RefusalError


def blue_green(kind: str, wait: int = 5, *, policy: Any = None, **routing: Any) -> dict[str, Any]:
    traffic = {"Type": kind, "WaitIntervalInSeconds": wait, **routing}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic, **(policy or {})}}


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def instances(value: int) -> dict[str, Any]:
    return {"Type": "INSTANCE_COUNT", "Value": value}


def rolling(size: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    policy = {"MaximumBatchSize": size, "WaitIntervalInSeconds": 5, **more}
    return {"RollingUpdatePolicy": policy}


def plan(config: Mapping[str, Any], *counts: int) -> Plan:
    known = {"errors", "latency"}
    return read(config, counts or (1,), lambda names: [each for each in names if each not in known])


def test_without_a_configuration_all_traffic_moves_at_once() -> None:
    assert plan({}) == Plan()
    assert plan(blue_green("ALL_AT_ONCE", 7)) == Plan(wait=7)


@pytest.mark.parametrize(
    ("config", "counts", "shares"),
    [
        (blue_green("CANARY", CanarySize=percent(10)), (1,), (0.1, 1.0)),
        (blue_green("CANARY", CanarySize=instances(1)), (4,), (0.25, 1.0)),
        (blue_green("LINEAR", LinearStepSize=percent(50)), (1,), (0.5, 1.0)),
        (blue_green("LINEAR", LinearStepSize=percent(30)), (1,), (0.3, 0.6, 0.9, 1.0)),
        (blue_green("LINEAR", LinearStepSize=instances(1)), (3,), (1 / 3, 2 / 3, 1.0)),
        (blue_green("CANARY", CanarySize=instances(1)), (2, 4), (0.375, 1.0)),
        (blue_green("CANARY", CanarySize=percent(10)), (0,), (0.1, 1.0)),
    ],
)
def test_the_new_fleet_gets_its_share_step_by_step(
    config: dict[str, Any], counts: tuple[int, ...], shares: tuple[float, ...]
) -> None:
    assert plan(config, *counts).shares == pytest.approx(shares)


def test_waits_limit_and_alarms_are_read() -> None:
    policy = {"TerminationWaitInSeconds": 60, "MaximumExecutionTimeoutInSeconds": 900}
    alarms = {"Alarms": [{"AlarmName": "errors"}, {"AlarmName": "latency"}]}
    found = plan({**blue_green("ALL_AT_ONCE", policy=policy), "AutoRollbackConfiguration": alarms})
    assert (found.termination, found.limit) == (60, 900)
    assert found.alarms == ("errors", "latency")


@pytest.mark.parametrize(("size", "batch"), [(percent(33), 1), (percent(50), 1), (instances(1), 1)])
def test_a_batch_is_whole_instances_and_never_more_than_its_size(
    size: dict[str, Any], batch: int
) -> None:
    found = plan(rolling(size), 3).rolling
    assert found is not None
    assert found.batch.instances(3) == batch
    assert found.back is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (blue_green("CANARY"), "CanarySize is required when the traffic routing type is CANARY"),
        (blue_green("LINEAR", CanarySize=percent(10)), "CanarySize cannot be specified"),
        (blue_green("ALL_AT_ONCE", LinearStepSize=percent(10)), "LinearStepSize cannot be"),
        (blue_green("CANARY", CanarySize=percent(51)), "CanarySize must be at most 50%"),
        (blue_green("CANARY", CanarySize=instances(2)), "instance count, which is 3"),
        (blue_green("LINEAR", LinearStepSize=percent(9)), "between 10% and 50%"),
        (blue_green("LINEAR", LinearStepSize=instances(2)), "between 10% and 50%"),
        (rolling(percent(4)), "MaximumBatchSize must be between 5% and 50%"),
        (rolling(percent(51)), "MaximumBatchSize must be between 5% and 50%"),
        (rolling(percent(50), RollbackMaximumBatchSize=percent(101)), "RollbackMaximumBatchSize"),
        ({**blue_green("ALL_AT_ONCE"), **rolling(percent(50))}, "Only one of"),
        (
            {
                "AutoRollbackConfiguration": {
                    "Alarms": [{"AlarmName": "errors"}, {"AlarmName": "x"}]
                }
            },
            "AutoRollbackConfiguration do not exist: x",
        ),
        ({"AutoRollbackConfiguration": {"Alarms": [{}]}}, "must have an AlarmName"),
    ],
)
def test_what_aws_would_not_do_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words) as error:
        plan(config, 3)
    assert error.value.code == "ValidationException"


def test_a_variant_without_instances_has_no_part_that_could_be_counted() -> None:
    with pytest.raises(RefusalError, match="INSTANCE_COUNT of a variant without instances"):
        plan(blue_green("CANARY", CanarySize=instances(1)), 0)
    with pytest.raises(RefusalError, match="variant without instances"):
        plan(rolling(percent(50)), 0)


def test_an_update_policy_needs_the_same_variants_and_a_rolling_one_a_single_one() -> None:
    check_variants({}, ["a"], ["b"])
    check_variants(blue_green("ALL_AT_ONCE"), ["a", "b"], ["b", "a"])
    check_variants(rolling(percent(50)), ["a"], ["a"])
    with pytest.raises(RefusalError, match="the same variant names as the old one, a"):
        check_variants(blue_green("ALL_AT_ONCE"), ["a"], ["a", "b"])
    with pytest.raises(RefusalError, match="several variants"):
        check_variants(rolling(percent(50)), ["a", "b"], ["a", "b"])
