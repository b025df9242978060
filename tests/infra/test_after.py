"""What comes after a verified endpoint and fails: scaling, alarms, what the record then says."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from infra.drift import gone, needed, of_endpoint, split
from infra.record import Entry, Record, RecordStore
from infra.resources import Desired
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.deployments import deploy, planned, wanted
from tests.support.fake_cloud import READS, FakeCloud, refused

# Before or after its effect; the call alone, or the whole program.
FAULTS = {
    "refused": (False, False),
    "answer lost": (True, False),
    "killed before": (False, True),
    "killed after": (True, True),
}


def scaled(most: int, *rest: str, mode: str = "realtime") -> str:
    """A project that scales to `most`, whose new versions are watched."""
    key = "backlog" if mode == "async" else "invocations"
    least = 0 if mode == "async" else 1
    cron = f'schedule = [{{ at = "cron(0 {most} * * ? *)", min = 1, max = {most} }}]'
    scaling = f"scaling = {{ min = {least}, max = {most}, {key}_per_instance = {most}, {cron} }}"
    return "\n".join([projects.TOML, "[endpoint]", f'mode = "{mode}"', scaling, *rest, ""])


WATCHED = 'rollout = { kind = "canary" }'


@pytest.fixture
def versions(tmp_path: Path) -> list[Desired]:
    """Three in a row; the last has other bounds, another policy, another schedule, other alarms."""
    tomls = [scaled(3), scaled(3, WATCHED), scaled(4, WATCHED)]
    return [
        wanted(tmp_path / str(number), serving=f"{number}" * 64, toml=toml)
        for number, toml in enumerate(tomls)
    ]


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return tmp_path / "build"


def after(versions: list[Desired], build: Path) -> FakeCloud:
    """A cloud on which these were deployed."""
    cloud = FakeCloud()
    for want in versions:
        deploy(cloud, want, build)
    return cloud


def recorded(cloud: FakeCloud, want: Desired) -> Record:
    return RecordStore(cloud, want.bucket.name, want.project).load()


def drift(cloud: FakeCloud, want: Desired) -> list[str]:
    """What status would call drift."""
    record = recorded(cloud, want)
    seen = {"EndpointName": want.project, **cloud.endpoints[want.project]}
    found = gone(cloud, record, needed(record, seen["EndpointConfigName"]))
    found += of_endpoint(record, seen)
    found += split(planned(cloud, want), record)[0]
    return [one.words for one in found]


def refuse(cloud: FakeCloud, operation: str, code: str = "AccessDeniedException") -> None:
    def no(**rest: Any) -> None:
        raise refused(operation, code, "you may not")

    setattr(cloud, operation, no)


@pytest.mark.parametrize("fault", FAULTS)
def test_whichever_call_fails_the_next_run_completes_with_the_same_result(
    versions: list[Desired], build: Path, fault: str
) -> None:
    *earlier, want = versions
    deployed = after(earlier, build)
    whole = deepcopy(deployed)
    whole.calls.clear()
    made = deploy(whole, want, build)
    assert {step.kind for step in made.of("after")} == {
        "scalable target",
        "scaling policy",
        "scheduled action",
        "alarm",
    }
    changing = [name for name in whole.calls if not name.startswith(READS)]
    first = deployed.changes + changing.index("update_endpoint")
    for number in range(first, whole.changes):
        cloud = deepcopy(deployed)
        cloud.fail_at, (cloud.lost, cloud.killed) = number, FAULTS[fault]
        with pytest.raises(KeyboardInterrupt if cloud.killed else DeploymentError):
            deploy(cloud, want, build)
        deploy(cloud, want, build)
        assert cloud.state == whole.state
        record = recorded(cloud, want)
        assert set(record.entries) >= set(recorded(whole, want).entries)
        configs = [one.config for one in record.releases]
        assert configs == [one.config for one in recorded(whole, want).releases]
        assert drift(cloud, want) == []


@pytest.mark.parametrize(
    "operation",
    [
        "register_scalable_target",
        "put_scaling_policy",
        "put_scheduled_action",
        "delete_scaling_policy",
        "delete_scheduled_action",
        "delete_alarms",
    ],
)
def test_what_is_refused_behind_a_verified_endpoint_is_told_and_the_release_stands(
    versions: list[Desired], build: Path, operation: str
) -> None:
    *earlier, want = versions
    whole, cloud = after(versions, build), after(earlier, build)
    refuse(cloud, operation)
    with pytest.raises(DeploymentError, match="you may not") as told:
        deploy(cloud, want, build)
    step = next(
        step
        for step in planned(cloud, want).steps
        if step.call and step.call.operation == operation
    )
    assert step.title in str(told.value)
    assert "permission" in str(told.value)
    assert "verified and recorded; `make deploy` does what is left" in str(told.value)
    live = recorded(cloud, want).live
    assert live
    assert live.config == cloud.endpoints[want.project]["EndpointConfigName"]
    assert live.config == planned(cloud, want).serving.config.name
    assert drift(cloud, want) == []
    delattr(cloud, operation)
    deploy(cloud, want, build)
    assert cloud.state == whole.state
    assert set(recorded(cloud, want).entries) == set(recorded(whole, want).entries)

    assert planned(cloud, want).steps == ()


def test_the_endpoint_is_verified_before_anything_is_scaled_or_cleaned_up(
    versions: list[Desired], build: Path
) -> None:
    *earlier, want = versions
    cloud = after(earlier, build)
    alarms, policies = set(cloud.alarms), set(cloud.policies)
    cloud.endpoint_ends = "Failed"
    with pytest.raises(DeploymentError):
        deploy(cloud, want, build)
    assert set(cloud.alarms) >= alarms
    assert cloud.policies == policies


def model_of(want: Desired) -> Entry:
    return Entry("model", want.serving(1).model.name)


def fail(cloud: FakeCloud, operation: str, error: Exception) -> None:
    def no(**rest: Any) -> None:
        raise error

    setattr(cloud, operation, no)


def failed(status: int, attempts: int) -> ClientError:
    told = {"HTTPStatusCode": status, "RetryAttempts": attempts}
    error = {"Code": "Some", "Message": "failed"}
    return ClientError({"Error": error, "ResponseMetadata": told}, "CreateModel")


@pytest.mark.parametrize(
    "operation",
    [
        "create_role",
        "create_training_job",
        "create_model_package_group",
        "create_model",
        "create_endpoint_config",
        "create_endpoint",
        "register_scalable_target",
        "put_scaling_policy",
        "put_scheduled_action",
    ],
)
def test_what_the_service_refused_is_out_of_the_record_again(
    versions: list[Desired], build: Path, operation: str
) -> None:
    cloud, want = FakeCloud(), versions[0]
    step = next(
        step
        for step in planned(cloud, want).steps
        if step.call and step.call.operation == operation
    )
    refuse(cloud, operation)
    with pytest.raises(DeploymentError, match="you may not"):
        deploy(cloud, want, build)
    assert Entry(step.kind, step.name) not in recorded(cloud, want).entries
    delattr(cloud, operation)
    deploy(cloud, want, build)
    assert Entry(step.kind, step.name) in recorded(cloud, want).entries


@pytest.mark.parametrize(
    "error",
    [ConnectionClosedError(endpoint_url="https://cloud.test"), failed(500, 0), failed(400, 1)],
    ids=["answer lost", "the service failed", "refused when it was asked again"],
)
def test_what_may_exist_stays_in_the_record(
    versions: list[Desired], build: Path, error: Exception
) -> None:
    cloud, want = FakeCloud(), versions[0]
    fail(cloud, "create_model", error)
    with pytest.raises(DeploymentError):
        deploy(cloud, want, build)
    assert model_of(want) in recorded(cloud, want).entries


def test_what_was_in_the_record_before_a_refusal_stays(
    versions: list[Desired], build: Path
) -> None:
    cloud, want = FakeCloud(), versions[0]
    for error in (failed(500, 0), failed(400, 0)):
        fail(cloud, "create_model", error)
        with pytest.raises(DeploymentError):
            deploy(cloud, want, build)
    assert model_of(want) in recorded(cloud, want).entries


@pytest.mark.parametrize("lost", [True, False])
def test_a_policy_whose_alarm_was_not_made_is_recorded_and_gets_it_with_the_next_run(
    tmp_path: Path, build: Path, *, lost: bool
) -> None:
    want, cloud = wanted(tmp_path / "project", toml=scaled(2, mode="async")), FakeCloud()
    if lost:
        fail(cloud, "put_metric_alarm", ConnectionClosedError(endpoint_url="https://cloud.test"))
    else:
        refuse(cloud, "put_metric_alarm")
    with pytest.raises(DeploymentError, match="create alarm small-wake-") as told:
        deploy(cloud, want, build)
    assert "does what is left" in str(told.value)
    (waking,) = [name for name in cloud.policies if "-wake-" in name]
    assert waking in recorded(cloud, want).of("scaling policy")
    delattr(cloud, "put_metric_alarm")
    deploy(cloud, want, build)
    assert waking in cloud.alarms
    assert planned(cloud, want).steps == ()


def instances(number: int, *rest: str) -> str:
    return scaled(3, f"instances = {number}", *rest)


def test_another_number_of_instances_alone_moves_nothing_while_scaling_decides_it(
    tmp_path: Path, build: Path
) -> None:
    cloud = FakeCloud()
    deploy(cloud, wanted(tmp_path / "one", toml=instances(1)), build)
    want = wanted(tmp_path / "two", toml=instances(2))
    made = planned(cloud, want)
    assert made.steps == ()
    assert any("scaling decides the number of instances" in same.reason for same in made.unchanged)


def test_a_new_version_of_a_scaled_endpoint_keeps_the_number_at_the_start(
    tmp_path: Path, build: Path
) -> None:
    cloud = FakeCloud()
    deploy(cloud, wanted(tmp_path / "one", toml=instances(1)), build)
    want = wanted(tmp_path / "two", serving="6" * 64, toml=instances(2))
    made = deploy(cloud, want, build)
    assert made.serving.config.newest.count == 1
    assert planned(cloud, want).steps == ()


@pytest.mark.parametrize("toml", [projects.TOML, instances(1)], ids=["alone", "with scaling"])
def test_before_scaling_is_attached_instances_are_what_serves(
    tmp_path: Path, build: Path, toml: str
) -> None:
    cloud = FakeCloud()
    deploy(cloud, wanted(tmp_path / "one", toml=toml), build)
    cloud.targets.clear()
    made = planned(cloud, wanted(tmp_path / "two", toml=instances(2)))
    assert made.serving.config.newest.count == 2
    assert "update" in [step.action for step in made.steps if step.kind == "endpoint"]


def test_another_mode_starts_with_the_number_that_is_asked_for(tmp_path: Path, build: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, wanted(tmp_path / "one", toml=instances(1)), build)
    want = wanted(tmp_path / "two", toml=scaled(3, "instances = 2", mode="async"))
    assert planned(cloud, want).serving.config.newest.count == 2
