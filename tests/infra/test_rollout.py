"""[endpoint].rollout, shadow and ab: what they mean to SageMaker, and what is refused up front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from infra import project
from infra.rollout import Beside, Rollout, beside, refusals, rollout
from infra.sections import EndpointSection
from shared.errors import ProjectError
from tests.support import projects


def settings(line: str) -> EndpointSection:
    """The [endpoint] section with this line, as it stands in a file."""
    import tomllib

    return EndpointSection.model_validate(tomllib.loads(line))


def made(line: str) -> Rollout:
    found = rollout(settings(line).rollout)
    assert found is not None
    return found


def accepted(deployment: Any) -> bool:
    """Whether botocore would send it."""
    shape = get_session().get_service_model("sagemaker").shape_for("DeploymentConfig")
    return not ParamValidator().validate(deployment, shape).has_errors()


def test_without_a_rollout_all_moves_at_once_and_nothing_watches() -> None:
    assert rollout(settings("").rollout) is None


def test_an_empty_rollout_is_a_canary_of_ten_percent_watched_for_ten_minutes() -> None:
    one = made("rollout = {}")
    assert (one.kind, one.percent, one.wait, one.alarms) == ("canary", 10, 600, "default")
    assert one.waits == 1200  # SageMaker watches after the canary and after the rest


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'rollout = { bake = "5m", keep_old = "2m", limit = "30m" }',
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "CANARY",
                        "WaitIntervalInSeconds": 300,
                        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
                    },
                    "TerminationWaitInSeconds": 120,
                    "MaximumExecutionTimeoutInSeconds": 1800,
                }
            },
        ),
        (
            'rollout = { kind = "linear", percent = 20, wait = "4m" }',
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "LINEAR",
                        "WaitIntervalInSeconds": 240,
                        "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 20},
                    },
                    "TerminationWaitInSeconds": 0,
                    "MaximumExecutionTimeoutInSeconds": 3600,
                }
            },
        ),
        (
            'rollout = { kind = "rolling", percent = 5, wait = "0s", alarms = "none" }',
            {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 5},
                    "WaitIntervalInSeconds": 0,
                    "MaximumExecutionTimeoutInSeconds": 3600,
                }
            },
        ),
        (
            'rollout = { kind = "all-at-once", bake = "3m" }',
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "ALL_AT_ONCE",
                        "WaitIntervalInSeconds": 180,
                    },
                    "TerminationWaitInSeconds": 0,
                    "MaximumExecutionTimeoutInSeconds": 3600,
                }
            },
        ),
    ],
)
def test_a_rollout_is_said_as_sagemaker_takes_it(line: str, expected: dict[str, Any]) -> None:
    assert not list(refusals(settings(line)))
    assert made(line).request([]) == expected
    assert accepted(made(line).request(["one", "two"]))
    assert made(line).request(["one"])["AutoRollbackConfiguration"] == {
        "Alarms": [{"AlarmName": "one"}]
    }


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ('rollout = { kind = "linear", percent = 5 }', "rollout.percent", "moves 10 to 50 percent"),
        ('rollout = { kind = "rolling", percent = 4 }', "rollout.percent", "moves 5 to 50 percent"),
        ('rollout = { kind = "all-at-once", percent = 5 }', "rollout.percent", "means nothing"),
        ('rollout = { wait = "5m" }', "rollout.wait", "Write bake"),
        ('rollout = { kind = "linear", bake = "5m" }', "rollout.bake", "Write wait"),
        ('rollout = { kind = "rolling", keep_old = "5m" }', "rollout.keep_old", "means nothing"),
        ('rollout = { bake = "40m" }', "rollout.limit", "the waits alone take 1 h 20 min"),
        ('rollout = { bake = "2m" }', "rollout.bake", "they need 3 min to be heard"),
        (
            'rollout = { alarms = ["mine"], thresholds = { errors = "2%" } }',
            "rollout.thresholds",
            "alarms of your own",
        ),
        ('shadow = { share = "20%" }\nab = { share = "10%" }', "ab", "in one way only"),
        ('ab = { share = "10%" }\nrollout = {}', "rollout", "together with ab"),
    ],
)
def test_what_could_not_work_is_refused_with_its_key_and_cure(
    line: str, key: str, words: str
) -> None:
    (refused,) = refusals(settings(line))
    assert refused.where == f"endpoint.{key}"
    assert words in str(refused)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('rollout = { kind = "blue" }', '"all-at-once", "canary", "linear" or "rolling"'),
        ("rollout = { percent = 60 }", "a whole number from 1 to 50"),
        ('rollout = { bake = "2h" }', "1h at most"),
        ('rollout = { limit = "5m" }', "from 10m to 8h"),
        ("rollout = { alarms = [] }", "a list of 1 to 10 names"),
        ('rollout = { thresholds = { period = "45s" } }', '"10s", "30s" or whole minutes'),
        ('rollout = { thresholds = { latency = "2m" } }', "1m at most"),
        ("rollout = { size = 3 }", "unknown key"),
        ("ab = { share = 0 }", "above 0"),
    ],
)
def test_a_value_that_aws_would_refuse_is_told_with_what_is_allowed(
    tmp_path: Path, line: str, words: str
) -> None:
    file = projects.make(tmp_path, f"{projects.TOML}\n[endpoint]\n{line}\n")
    with pytest.raises(ProjectError) as refused:
        project.read(file)
    assert words in str(refused.value)
    assert "endpoint." in str(refused.value)


def test_a_serverless_endpoint_has_no_steps_and_no_second_variant() -> None:
    section = settings("rollout = {}").model_copy(update={"mode": "serverless"})
    (refused,) = refusals(section)
    assert refused.where == "endpoint.rollout"


def test_the_new_version_beside_the_old_one_is_a_shadow_or_gets_a_share() -> None:
    assert beside(settings('shadow = { share = "20%" }')) == Beside(0.2, shadow=True)
    assert beside(settings("ab = { share = 0.1 }")) == Beside(0.1, shadow=False)
    assert beside(settings("")) is None
