"""The default alarms: what they look at, when they are made and when they go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from infra.alarms import Alarm, Fleet, alarms, is_alarm_of
from infra.observe import Observed, ObservedEndpoint
from infra.plan import plan
from infra.record import RecordStore
from infra.resources import Desired
from infra.rollout import Thresholds
from infra.serving import Variant
from infra.teardown import teardown
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.deployments import complete, deploy, wanted
from tests.support.fake_cloud import FakeCloud

NEW = Fleet("small", "AllTraffic", "small-0123456789ab")
OLD = replace(NEW, config="small-ba9876543210")
CANARY = f"{projects.TOML}\n[endpoint]\nrollout = {{ bake = '5m' }}\n"


def made(thresholds: Thresholds = Thresholds()) -> dict[str, Alarm]:
    return {alarm.name.split("-")[2]: alarm for alarm in alarms(NEW, OLD, thresholds)}


def test_aws_takes_each_of_them() -> None:
    shape = get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm")
    for alarm in made().values():
        assert not ParamValidator().validate(alarm.request(), shape.input_shape).has_errors()


def test_errors_and_latency_are_those_of_the_new_fleet_alone() -> None:
    for kind in ("errors", "latency"):
        request = made()[kind].request()
        assert {"Name": "EndpointConfigName", "Value": NEW.config} in request["Dimensions"]
        assert request["TreatMissingData"] == "notBreaching"
    assert made()["errors"].request()["Threshold"] == 0.01
    assert made()["latency"].request()["Threshold"] == 1_000_000  # microseconds


def test_unusual_values_are_compared_with_the_old_fleets() -> None:
    metrics = made()["unusual"].request()["Metrics"]
    configs = {
        one["Id"]: one["MetricStat"]["Metric"]["Dimensions"][2]["Value"]
        for one in metrics
        if "MetricStat" in one
    }
    assert configs == {
        **{f"n{number}": NEW.config for number in range(4)},
        **{f"o{number}": OLD.config for number in range(4)},
    }
    assert [one["Id"] for one in metrics if one["ReturnData"]] == ["more"]


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ((1000, 2000), (9000, 9000), 1.0),  # one more a row
        ((1000, 1000), (9000, 9000), 0.0),
        ((2, 20), (9000, 9000), 0.4),  # two odd rows prove nothing
    ],
)
def test_a_handful_of_rows_proves_nothing(
    new: tuple[int, int], old: tuple[int, int], expected: float
) -> None:
    (expression,) = (
        one["Expression"] for one in made()["unusual"].request()["Metrics"] if "Expression" in one
    )
    figures = {"n0": new[0], "n1": new[1], "o0": old[0], "o1": old[1]}
    zeros = dict.fromkeys(("n2", "n3", "o2", "o3"), 0)
    value = eval(expression, {}, {**figures, **zeros})
    assert value == pytest.approx(expected, abs=0.06)


def test_another_threshold_is_another_alarm() -> None:
    names = {alarm.name for alarm in made().values()}
    others = {alarm.name for alarm in made(Thresholds(errors=0.02)).values()}
    assert len(names & others) == 2
    assert all(is_alarm_of("small", name) for name in names | others)


@pytest.mark.parametrize("name", ["small-errors", "smaller-0123456789ab-errors-012345", "other"])
def test_an_alarm_of_another_name_is_not_ours(name: str) -> None:
    assert not is_alarm_of("small", name)


def running(want: Desired, config: str, found: frozenset[str] = frozenset()) -> Observed:
    """A cloud in which all is as desired, except that the endpoint runs on another config."""
    return complete(want, endpoint=ObservedEndpoint("small", "InService", config), alarms=found)


def test_a_rollout_makes_its_alarms_before_the_update_and_names_them(tmp_path: Path) -> None:
    want = wanted(tmp_path, toml=CANARY)
    *before, update = plan(want, running(want, OLD.config)).steps
    assert [(step.action, step.kind) for step in before] == 3 * [("create", "alarm")]
    assert update.call
    deployment = update.call.parameters["DeploymentConfig"]
    named = [one["AlarmName"] for one in deployment["AutoRollbackConfiguration"]["Alarms"]]
    assert named == [step.name for step in before]
    assert update.wait
    assert update.wait.seconds > 3600  # SageMaker's own limit comes first
    assert update.undo
    assert "DeploymentConfig" not in update.undo.parameters  # back is all at once


def test_without_a_rollout_there_are_no_alarms(tmp_path: Path) -> None:
    want = wanted(tmp_path)
    (update,) = plan(want, running(want, OLD.config)).steps
    assert update.call
    assert "DeploymentConfig" not in update.call.parameters


def test_from_two_versions_to_one_the_traffic_moves_at_once(tmp_path: Path) -> None:
    want = wanted(tmp_path, toml=CANARY)
    seen = running(want, OLD.config)
    assert seen.endpoint
    both = tuple(Variant(name, "model", "ml.m5.large") for name in ("AllTraffic", "Candidate"))
    (update,) = plan(want, replace(seen, endpoint=replace(seen.endpoint, variants=both))).steps
    assert update.call
    assert "DeploymentConfig" not in update.call.parameters
    assert "all at once" in update.reason


def test_the_first_creation_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    want = wanted(tmp_path, toml=CANARY)
    first = replace(running(want, OLD.config), endpoint=None)
    (create,) = plan(want, first).steps
    assert create.call
    assert create.call.operation == "create_endpoint"
    assert "DeploymentConfig" not in create.call.parameters


def test_alarms_of_fleets_that_are_gone_are_deleted_and_others_left_alone(tmp_path: Path) -> None:
    want = wanted(tmp_path, toml=CANARY)
    config = want.serving(1).config.name
    gone, kept = f"{OLD.config}-errors-012345", f"{config}-errors-012345"
    found = frozenset({gone, kept, "somebody-elses"})
    (step,) = plan(want, running(want, config, found)).steps
    assert (step.action, step.kind, step.name) == ("delete", "alarm", gone)


def test_an_alarm_of_ones_own_must_exist(tmp_path: Path) -> None:
    toml = f"{projects.TOML}\n[endpoint]\nrollout = {{ alarms = ['mine'] }}\n"
    want = wanted(tmp_path, toml=toml)
    with pytest.raises(DeploymentError, match="no CloudWatch alarm 'mine'"):
        plan(want, running(want, OLD.config))
    (update,) = plan(want, running(want, OLD.config, frozenset({"mine"}))).steps
    assert update.call
    rollback = update.call.parameters["DeploymentConfig"]["AutoRollbackConfiguration"]
    assert rollback == {"Alarms": [{"AlarmName": "mine"}]}


def test_an_endpoint_between_two_versions_is_explained_and_left_alone(tmp_path: Path) -> None:
    want = wanted(tmp_path)
    seen = running(want, OLD.config)
    stuck = replace(seen, endpoint=ObservedEndpoint("small", "UpdateRollbackFailed", OLD.config))
    with pytest.raises(DeploymentError, match="instances of both versions") as told:
        plan(want, stuck)
    assert "make destroy" in str(told.value)


def test_each_release_leaves_only_its_own_alarms_and_destroy_none(tmp_path: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, wanted(tmp_path / "one", toml=CANARY), tmp_path / "build")
    assert not cloud.alarms
    for number in "67":
        want = wanted(tmp_path / number, toml=CANARY, serving=number * 64)
        deploy(cloud, want, tmp_path / "build")
        config = want.serving(1).config.name
        assert len(cloud.alarms) == 3
        assert all(name.startswith(config) for name in cloud.alarms)
    store = RecordStore(cloud, want.bucket.name, "small")
    assert set(store.load().of("alarm")) == set(cloud.alarms)
    teardown(cloud, store, store.load(), print)
    assert not cloud.alarms
