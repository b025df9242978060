"""A deployment whose search is the service's: planned, applied, interrupted, failed, destroyed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra import project
from infra.observe import Observed, ObservedJob, ObservedParent, observe
from infra.plan import Plan, plan
from infra.prepare import prepare, prepare_search
from infra.record import Record, RecordStore
from infra.resources import Desired, Retrained
from infra.teardown import teardown, wipe
from infra.tuning import TuningJob
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.deployments import deploy, planned, wanted
from tests.support.fake_cloud import FakeCloud

TOML = projects.TOML.replace("trials = 1", 'trials = 3\nwhere = "service"').replace(
    "[0.0, 0.2]", "[0.0, 0.1, 0.2]"
)


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    return wanted(tmp_path / "project", toml=TOML)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return tmp_path / "build"


def training(made: Plan) -> list[tuple[str, str]]:
    return [(step.action, step.kind) for step in made.of("train")]


def begun(want: Desired, *attempts: ObservedJob) -> Plan:
    return plan(want, Observed(jobs=attempts))


def test_the_best_childs_bundle_is_what_is_served(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    made = deploy(cloud, want, build)
    data = made.serving.model.data
    assert cloud.models[made.serving.model.name]["PrimaryContainer"]["ModelDataUrl"] == data
    best = cloud.objects[data.removeprefix("s3://").partition("/")[2]].decode()
    assert best == f"{want.job.name(1)}-002-0123abcd"
    assert cloud.state["endpoints"] == {"small": ("InService", made.serving.config.name)}


def test_a_second_deployment_changes_nothing(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    again = deploy(cloud, want, build)
    assert again.steps == ()
    assert {item.kind for item in again.unchanged} >= {"tuning job", "bundle"}


@pytest.mark.parametrize("lost", [False, True], ids=["refused", "answer lost"])
def test_whichever_call_fails_the_next_run_completes_with_the_same_result(
    want: Desired, build: Path, *, lost: bool
) -> None:
    whole = FakeCloud()
    deploy(whole, want, build)
    for number in range(whole.changes):
        cloud = FakeCloud()
        cloud.fail_at, cloud.lost = number, lost
        with pytest.raises(DeploymentError) as caught:
            deploy(cloud, want, build)
        assert caught.value.where
        deploy(cloud, want, build)
        assert cloud.state == whole.state


def test_a_search_that_runs_is_attached_to(want: Desired) -> None:
    made = begun(want, ObservedJob(want.job.name(1), "InProgress"))
    assert training(made) == [("attach", "tuning job"), ("create", "bundle")]
    assert not made.trains


def test_a_search_that_ended_while_nobody_watched_is_not_repeated(want: Desired) -> None:
    made = begun(want, ObservedJob(want.job.name(1), "Completed", finished=2))
    assert training(made) == [("create", "bundle")]
    assert not made.trains


@pytest.mark.parametrize("status", ["Stopped", "Failed"])
def test_after_a_search_that_was_cut_short_the_next_attempt_goes_on(
    want: Desired, status: str
) -> None:
    made = begun(want, ObservedJob(want.job.name(1), status, finished=2))
    call = made.of("train")[0].call
    assert call
    assert call.parameters["HyperParameterTuningJobName"] == f"{want.job.name(1)}-2"
    limits = call.parameters["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits["MaxNumberOfTrainingJobs"] == 1
    keep = made.of("train")[1].call
    assert keep
    assert keep.parameters["names"] == [want.job.name(1), want.job.name(2)]
    assert want.job.name(2) in made.serving.model.data


def test_a_search_that_is_being_stopped_is_waited_for_before_the_next(want: Desired) -> None:
    made = begun(want, ObservedJob(want.job.name(1), "Stopping"))
    assert training(made) == [
        ("attach", "tuning job"),
        ("create", "tuning job"),
        ("create", "bundle"),
    ]


def test_some_children_that_fail_are_passed_over(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    cloud.losses = [None, 0.6, None]
    deploy(cloud, want, build)
    assert "small" in cloud.endpoints


def test_when_all_children_fail_the_reason_of_one_is_told(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    cloud.losses, cloud.search_ends = [None, None], "Failed"
    with pytest.raises(DeploymentError) as caught:
        deploy(cloud, want, build)
    assert "tuning job" in str(caught.value)
    assert "2 failed" in str(caught.value)
    assert "the loss is not finite" in str(caught.value)
    assert cloud.models == {}


def test_where_the_children_left_nothing_any_more_all_is_searched_anew(
    want: Desired, build: Path
) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    for key in [key for key in cloud.objects if "/jobs/" in key]:
        del cloud.objects[key]
    made = planned(cloud, want)
    call = made.of("train")[0].call
    assert call
    assert call.parameters["HyperParameterTuningJobName"] == want.job.name(2)
    limits = call.parameters["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits["MaxNumberOfTrainingJobs"] == 3
    deploy(cloud, want, build)
    assert planned(cloud, want).steps == ()


def test_training_alone_leaves_image_and_endpoint_out(want: Desired) -> None:
    made = plan(want, Observed()).training
    kinds = {step.kind for step in made.steps}
    settings = {"bucket", "bucket setting", "role", "role policy"}
    assert kinds == {*settings, "object", "tuning job", "bundle"}


def test_a_search_is_the_projects_own_even_where_a_retrained_model_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    settings = project.load(projects.make(tmp_path / "project", TOML))
    cloud = FakeCloud()
    want = prepare(settings, cloud).desired
    cloud.create_bucket(Bucket=want.bucket.name)
    cloud.objects["small/jobs/later/output/model.tar.gz"] = b"bundle"
    data = f"s3://{want.bucket.name}/small/jobs/later/output/model.tar.gz"
    won = Retrained(want.job.name(1), "later", data, want.job.name(1), want.job.model_data(1))
    RecordStore(cloud, want.bucket.name, "small").save(Record("small", (), won))
    assert prepare(settings, cloud).of("train") == ()
    assert training(prepare_search(settings, cloud)) == [
        ("create", "tuning job"),
        ("create", "bundle"),
    ]


def test_a_search_that_runs_is_stopped_when_all_is_destroyed(want: Desired, build: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, want, build)
    cloud.searches[want.job.name(1)]["HyperParameterTuningJobStatus"] = "InProgress"
    store = RecordStore(cloud, want.bucket.name, want.project)
    said: list[str] = []
    left = teardown(cloud, store, store.load(), said.append)
    assert cloud.state["searches"] == {want.job.name(1): "Stopped"}
    assert any("tuning job" in line for line in said)
    wipe(cloud, store, left, said.append)
    assert not cloud.objects


def parent(name: str, **changes: Any) -> ObservedParent:
    return replace(ObservedParent(name, "Completed", ("Minimize", "val_loss"), 0), **changes)


@pytest.fixture
def warm(tmp_path: Path) -> Desired:
    toml = TOML.replace("trials = 3", 'trials = 3\nwarm_start = ["january"]')
    return wanted(tmp_path / "project", toml=toml)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"status": None}, "does not exist"),
        ({"status": "InProgress"}, "has to end first"),
        ({"objective": ("Maximize", "auc")}, "another objective: Maximize auc"),
        ({"hyperparameters": 3}, "have 3 hyperparameters"),
    ],
)
def test_a_parent_that_the_service_would_refuse_is_refused_before_anything_is_made(
    warm: Desired, changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(DeploymentError) as caught:
        plan(warm, Observed(parents=(parent("january", **changes),)))
    assert part in str(caught.value)
    assert "tuning.warm_start" in str(caught.value)
    assert caught.value.cure


def test_a_parent_is_looked_at_and_begun_with(warm: Desired, build: Path) -> None:
    cloud = FakeCloud()
    assert isinstance(warm.job, TuningJob)
    request: Any = {**warm.job.request(1), "HyperParameterTuningJobName": "january"}
    cloud.create_hyper_parameter_tuning_job(**request)
    cloud.finish_search("january", "Completed")
    (seen,) = observe(cloud, warm).parents
    assert seen.hyperparameters == len(warm.job.job.hyperparameters)
    made = deploy(cloud, warm, build)
    assert "WarmStartConfig" in cloud.searches[made.job]
