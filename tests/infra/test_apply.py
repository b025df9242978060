"""Applying a plan: faults at every call, waiting, undoing, and what the record says afterwards."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from infra.apply import CloudExecutor, apply, withdraw
from infra.plan import Plan
from infra.progress import Lines
from infra.record import Entry, RecordStore
from infra.releases import note_failure
from infra.resources import Desired
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.deployments import Clock, deploy, planned, wanted
from tests.support.fake_cloud import FakeCloud, refused

# Before or after its effect; the call alone, or the whole program.
FAULTS = [(False, False), (True, False), (False, True), (True, True)]
FAULT_NAMES = ["refused", "answer lost", "killed before", "killed after"]
CANARY = projects.TOML + '[endpoint]\nrollout = { kind = "canary" }\n'
RECORDED = [
    "bucket",
    "role",
    *["object"] * 5,
    "training job",
    "model package group",
    "model package",
    "model",
    "endpoint config",
    "endpoint",
]


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    return wanted(tmp_path / "project")


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return tmp_path / "build"


def recorded(cloud: FakeCloud, want: Desired) -> list[Entry]:
    return list(RecordStore(cloud, want.bucket.name, want.project).load().entries)


def without_bucket(entries: list[Entry]) -> list[Entry]:
    """The record lies in the bucket, so a bucket whose creation was cut short is not in it."""
    return sorted(entry for entry in entries if entry.kind != "bucket")


def test_a_deployment_ends_in_service_with_everything_recorded(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    assert cloud.state["endpoints"] == {"small": ("InService", want.serving(1).config.name)}
    assert sorted(entry.kind for entry in recorded(cloud, want)) == sorted(RECORDED)


def test_a_second_deployment_changes_nothing(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    changes = cloud.changes
    assert deploy(cloud, want, build).steps == ()
    assert cloud.changes == changes


def count_of_changes(want: Desired, build: Path) -> int:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    return cloud.changes


@pytest.mark.parametrize(("lost", "killed"), FAULTS, ids=FAULT_NAMES)
def test_whichever_call_fails_the_next_run_completes_with_the_same_result(
    want: Desired, build: Path, *, lost: bool, killed: bool
) -> None:
    whole = FakeCloud()
    deploy(whole, want, build)
    for number in range(count_of_changes(want, build)):
        cloud = FakeCloud()
        cloud.fail_at, cloud.lost, cloud.killed = number, lost, killed
        with pytest.raises(KeyboardInterrupt if killed else DeploymentError) as caught:
            deploy(cloud, want, build)
        assert killed or caught.value.where
        deploy(cloud, want, build)
        assert cloud.state == whole.state
        assert without_bucket(recorded(cloud, want)) == without_bucket(recorded(whole, want))


@pytest.mark.parametrize(("lost", "killed"), FAULTS, ids=FAULT_NAMES)
def test_whichever_call_of_an_update_fails_the_next_run_completes_with_the_same_result(
    want: Desired, build: Path, tmp_path: Path, *, lost: bool, killed: bool
) -> None:
    changed = wanted(tmp_path / "changed", serving="6" * 64, toml=CANARY)
    again = wanted(tmp_path / "again", serving="7" * 64, toml=CANARY)
    whole = FakeCloud()
    for step in (want, changed):
        deploy(whole, step, build)
    before = whole.changes
    made = deploy(whole, again, build)
    assert {step.action for step in made.steps} >= {"create", "update", "delete"}
    for number in range(whole.changes - before):
        cloud = FakeCloud()
        for step in (want, changed):
            deploy(cloud, step, build)
        cloud.fail_at, cloud.lost, cloud.killed = cloud.changes + number, lost, killed
        with pytest.raises(KeyboardInterrupt if killed else DeploymentError):
            deploy(cloud, again, build)
        deploy(cloud, again, build)
        assert cloud.state == whole.state
        # Of an alarm whose deletion was not heard of the name may stay.
        assert set(recorded(cloud, want)) >= set(recorded(whole, want))


def test_whichever_call_fails_what_exists_is_in_the_record(want: Desired, build: Path) -> None:
    for number in range(1, count_of_changes(want, build)):
        cloud = FakeCloud()
        cloud.fail_at, cloud.lost = number, True
        with pytest.raises(DeploymentError):
            deploy(cloud, want, build)
        known = {entry.name for entry in recorded(cloud, want)}
        made = {*cloud.models, *cloud.configs, *cloud.endpoints, *cloud.roles, *cloud.jobs}
        assert made <= known


def test_a_refused_call_is_told_with_the_step_and_the_service_s_words(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()
    cloud.fail_at = 0
    with pytest.raises(DeploymentError, match=r"create bucket .*not allowed.*permission"):
        deploy(cloud, want, build)


def test_a_job_that_fails_is_told_with_its_reason_and_its_last_lines(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()
    cloud.job_ends = "Failed"
    cloud.logs[f"{want.job.name(1)}/algo-1-1"] = ["reading", "no rows left"]
    with pytest.raises(DeploymentError, match="the data has no rows") as caught:
        deploy(cloud, want, build)
    assert "no rows left" in str(caught.value)
    assert cloud.models == {}


def test_after_a_failed_job_the_next_run_starts_the_next_attempt(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()
    cloud.job_ends = "Failed"
    with pytest.raises(DeploymentError):
        deploy(cloud, want, build)
    cloud.job_ends = "Completed"
    made = deploy(cloud, want, build)
    assert made.job == want.job.name(2)
    first, second = (cloud.jobs[want.job.name(number)] for number in (1, 2))
    assert first["CheckpointConfig"] == second["CheckpointConfig"]


def test_an_endpoint_that_fails_is_taken_back_and_told_with_its_log(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()
    cloud.endpoint_ends = "Failed"
    cloud.logs["AllTraffic/i-1"] = ["no module named orjson"]
    with pytest.raises(DeploymentError, match="ping health check") as caught:
        deploy(cloud, want, build)
    assert "no module named orjson" in str(caught.value)
    assert "GET /ping" in str(caught.value)
    assert "taken back (delete_endpoint)" in str(caught.value)
    assert cloud.endpoints["small"]["EndpointStatus"] == "Deleting"
    cloud.endpoint_ends = "InService"
    deploy(cloud, want, build)
    assert cloud.endpoints["small"]["EndpointStatus"] == "InService"


def test_an_update_that_was_rolled_back_is_a_failure_although_the_endpoint_is_in_service(
    want: Desired, build: Path, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    before = cloud.endpoints["small"]["EndpointConfigName"]
    cloud.rolls_back = True
    changed = wanted(tmp_path / "changed", serving="6" * 64)
    with pytest.raises(DeploymentError, match=f"went back to {before}"):
        deploy(cloud, changed, build)
    assert cloud.endpoints["small"] == {
        "EndpointStatus": "InService",
        "EndpointConfigName": before,
    }


def test_a_job_that_takes_too_long_is_left_alone_and_attached_to_later(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()
    cloud.job_ends = "InProgress"
    clock = Clock()
    with pytest.raises(DeploymentError, match="not done after"):
        deploy(cloud, want, build, clock)
    assert clock.now > want.job.max_runtime
    cloud.job_ends = "Completed"
    created = cloud.calls.count("create_training_job")
    deploy(cloud, want, build)
    assert cloud.calls.count("create_training_job") == created


def test_an_endpoint_that_takes_too_long_is_not_deleted(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    cloud.endpoint_ends = "Creating"
    with pytest.raises(DeploymentError, match="not done after"):
        deploy(cloud, want, build)
    assert "delete_endpoint" not in cloud.calls


def test_what_aws_does_not_know_yet_is_tried_again(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    cloud.lag = 3
    deploy(cloud, want, build)
    assert cloud.calls.count("create_training_job") == 4


def test_a_missing_image_is_told_at_once(want: Desired, build: Path) -> None:
    cloud, clock = FakeCloud(), Clock()

    def missing(ModelName: str, **rest: Any) -> None:  # noqa: N803
        raise refused("CreateModel", "ValidationException", "Requested image x:1 not found.")

    cloud.create_model = missing  # type: ignore[method-assign]
    with pytest.raises(DeploymentError, match="not in the registry"):
        deploy(cloud, want, build, clock)
    assert clock.now < 60


def test_a_job_that_gets_no_instance_is_told_so_with_what_to_do(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    finish = cloud.finish_job

    def starve(name: str, status: str) -> None:
        finish(name, "Failed")
        cloud.jobs[name]["FailureReason"] = (
            "CapacityError: Unable to provision requested ML compute capacity. Please retry using "
            "a different ML instance type."
        )

    cloud.finish_job = starve  # type: ignore[method-assign]
    with pytest.raises(DeploymentError, match="no such instance free at the moment"):
        deploy(cloud, want, build)


def test_what_aws_never_comes_to_know_is_an_error_in_bounded_time(
    want: Desired, build: Path
) -> None:
    cloud, clock = FakeCloud(), Clock()
    cloud.lag = 1000
    with pytest.raises(DeploymentError, match="Could not assume role"):
        deploy(cloud, want, build, clock)
    assert clock.now < 120


def test_a_missing_bundle_is_trained_again_from_its_checkpoints(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    del cloud.objects[f"small/jobs/{want.job.name(1)}/output/model.tar.gz"]
    assert deploy(cloud, want, build).job == want.job.name(2)


def test_a_deleted_model_is_made_again_and_the_endpoint_stays(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    cloud.models.clear()
    assert [step.kind for step in planned(cloud, want).steps] == ["model"]


def test_a_bucket_that_was_there_before_is_not_recorded(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    cloud.buckets.add(want.bucket.name)
    deploy(cloud, want, build)
    assert "bucket" not in {entry.kind for entry in recorded(cloud, want)}


def test_two_projects_share_a_bucket_and_touch_nothing_of_each_other(
    want: Desired, build: Path, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    before = dict(cloud.state["endpoints"])
    other = wanted(tmp_path / "other", toml=projects.TOML.replace('"small"', '"other"'))
    deploy(cloud, other, build)
    assert cloud.state["endpoints"].items() > before.items()


def test_a_log_that_may_not_be_read_does_not_end_a_deployment(want: Desired, build: Path) -> None:
    cloud = FakeCloud()

    def refuse(**rest: object) -> None:
        raise refused("DescribeLogStreams", "AccessDeniedException", "not allowed to read logs")

    cloud.describe_log_streams = refuse  # type: ignore[method-assign]
    deploy(cloud, want, build)
    assert cloud.endpoints["small"]["EndpointStatus"] == "InService"


def test_a_connection_that_breaks_while_waiting_takes_nothing_back(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()

    def lose(EndpointName: str) -> dict[str, str]:  # noqa: N803
        if cloud.endpoints:
            raise ConnectionClosedError(endpoint_url="https://cloud.test")
        raise refused("DescribeEndpoint", "ValidationException", "Could not find")

    whole, cloud.describe_endpoint = cloud.describe_endpoint, lose  # type: ignore[method-assign]
    with pytest.raises(DeploymentError, match="goes on where it stopped"):
        deploy(cloud, want, build)
    assert "delete_endpoint" not in cloud.calls
    cloud.describe_endpoint = whole  # type: ignore[method-assign]
    deploy(cloud, want, build)
    assert cloud.calls.count("create_endpoint") == 1


def test_a_bucket_that_may_not_be_looked_at_is_named(want: Desired, build: Path) -> None:
    cloud = FakeCloud()

    def forbid(Bucket: str) -> None:  # noqa: N803
        raise refused("HeadBucket", "403", "Forbidden")

    cloud.head_bucket = forbid  # type: ignore[method-assign]
    with pytest.raises(DeploymentError, match=rf"{want.bucket.name}.*permission"):
        deploy(cloud, want, build)


def test_a_role_that_another_deployment_made_a_moment_ago_is_no_error(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()
    made = planned(cloud, want)
    cloud.create_role(want.role.name)
    execute(made, cloud, want, build)
    assert want.role.POLICY_NAME in cloud.roles[want.role.name]


def test_a_file_that_changes_while_it_is_uploaded_is_not_kept_under_its_old_digest(
    want: Desired, build: Path
) -> None:
    data = next(upload for upload in want.uploads if "/data/" in upload.key)

    class Editor(FakeCloud):
        def upload_file(self, **call: Any) -> None:
            if call["Key"] == data.key:
                data.file.path.write_bytes(b"edited meanwhile")
            super().upload_file(**call)

    cloud = Editor()
    with pytest.raises(DeploymentError, match="changed while it was being deployed") as caught:
        deploy(cloud, want, build)
    assert "taken back (delete_object)" in str(caught.value)
    assert data.key not in cloud.objects


def test_a_bucket_that_cannot_be_recorded_is_taken_back(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    cloud.fail_at = 1  # the first write of the record
    with pytest.raises(DeploymentError, match=r"taken back \(delete_bucket\)"):
        deploy(cloud, want, build)
    assert cloud.buckets == set()


def test_an_endpoint_that_somebody_made_in_the_same_moment_is_not_taken_back(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()
    made = planned(cloud, want)
    other = f"{want.project}-{'0' * 12}"
    cloud.configs[other] = {}
    cloud.create_endpoint(want.project, other)
    with pytest.raises(DeploymentError, match=other):
        execute(made, cloud, want, build)
    assert cloud.endpoints[want.project]["EndpointStatus"] == "InService"


def execute(made: Plan, cloud: FakeCloud, want: Desired, build: Path) -> None:
    """A plan that was made a while ago."""
    shown = Lines(5, io.StringIO())
    store = RecordStore(cloud, want.bucket.name, want.project)
    apply(made, CloudExecutor(cloud, store, shown, build, sleep=lambda seconds: None), shown)


@pytest.mark.parametrize("first", [True, False])
def test_what_an_interrupted_run_began_is_taken_back_where_it_answers_wrongly(
    want: Desired, build: Path, tmp_path: Path, *, first: bool
) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    before = new = cloud.endpoints["small"]["EndpointConfigName"]
    going = {"EndpointStatus": "Creating", "EndpointConfigName": before}
    if not first:
        want = wanted(tmp_path / "changed", serving="6" * 64)
        new = planned(cloud, want).serving.config.name
        pending = {"PendingDeploymentSummary": {"EndpointConfigName": new}}
        going = {**going, "EndpointStatus": "Updating", **pending}
    cloud.endpoints["small"] = going
    again = planned(cloud, want)
    cloud.endpoints["small"] = {"EndpointStatus": "InService", "EndpointConfigName": new}
    assert [step.action for step in again.steps if step.kind == "endpoint"] == ["attach"]
    store, clock = RecordStore(cloud, want.bucket.name, want.project), Clock()
    shown = Lines(5, io.StringIO())
    executor = CloudExecutor(cloud, store, shown, build, clock=clock, sleep=clock.sleep)
    failure = DeploymentError("golden row 0 came back different")
    withdraw(again, executor, failure)
    note_failure(store, again, "make deploy", wrong=True)
    assert store.load().releases[-1].outcome == "withdrawn"
    assert "taken back" in str(failure)
    left = cloud.endpoints["small"]
    if first:
        assert left["EndpointStatus"] == "Deleting"
    else:
        assert (left["EndpointStatus"], left["EndpointConfigName"]) == ("InService", before)


def test_where_sagemaker_went_back_nothing_more_is_undone(
    want: Desired, build: Path, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    made = planned(cloud, wanted(tmp_path / "changed", serving="6" * 64))
    update = made.of("endpoint")[-1]
    third = f"small-{'0' * 12}"
    cloud.endpoints["small"]["EndpointConfigName"] = third
    store = RecordStore(cloud, want.bucket.name, want.project)
    executor = CloudExecutor(cloud, store, Lines(5, io.StringIO()), build)
    assert not executor.undo(update)
    assert cloud.endpoints["small"]["EndpointConfigName"] == third
