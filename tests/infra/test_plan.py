"""Planning is pure: each difference between desired and observed yields exactly its steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.observe import Observed, ObservedEndpoint, ObservedJob
from infra.plan import Plan, plan
from infra.resources import Desired
from infra.steps import Step
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.deployments import complete, wanted


@pytest.fixture(scope="module")
def want(tmp_path_factory: pytest.TempPathFactory) -> Desired:
    return wanted(tmp_path_factory.mktemp("project"))


def steps(made: Plan) -> list[tuple[str, str]]:
    return [(step.action, step.kind) for step in made.steps]


def only(made: Plan) -> Step:
    assert len(made.steps) == 1
    return made.steps[0]


def test_an_up_to_date_cloud_needs_no_step(want: Desired) -> None:
    made = plan(want, complete(want))
    assert made.steps == ()
    assert all(item.reason for item in made.unchanged)


def test_an_empty_cloud_gets_everything_in_order(want: Desired) -> None:
    made = plan(want, Observed())
    assert steps(made) == [
        ("create", "bucket"),
        *[("create", "bucket setting")] * 2,
        ("create", "role"),
        ("create", "role policy"),
        *[("create", "object")] * 4,
        ("create", "image"),
        ("create", "training job"),
        ("create", "model package group"),
        ("create", "object"),
        ("create", "model package"),
        ("create", "model"),
        ("create", "endpoint config"),
        ("create", "endpoint"),
    ]
    assert made.trains
    assert not made.traffic


def test_a_missing_object_is_uploaded_and_nothing_else(want: Desired) -> None:
    seen = complete(want)
    key = sorted(seen.objects)[0]
    step = only(plan(want, replace(seen, objects=seen.objects - {key})))
    assert (step.kind, step.name) == ("object", key)
    assert step.call is not None
    digest = next(upload.file.digest for upload in want.uploads if upload.key == key)
    assert step.call.parameters["ExtraArgs"] == {
        "ChecksumAlgorithm": "SHA256",
        "Metadata": {"sha256": digest},
    }


def test_a_changed_policy_is_put_and_the_role_stays(want: Desired) -> None:
    step = only(plan(want, replace(complete(want), role_policy='{"Statement": []}')))
    assert (step.action, step.kind) == ("update", "role policy")


def test_a_given_role_is_never_touched(tmp_path: Path) -> None:
    toml = projects.TOML + '[aws]\nrole = "arn:aws:iam::123456789012:role/mine"\n'
    account = replace(wanted(tmp_path / "local").account, local=False)
    want = wanted(tmp_path / "aws", toml=toml, account=account)
    made = plan(want, Observed())
    assert not [step for step in made.steps if step.kind.startswith("role")]
    assert want.job.request(1)["RoleArn"] == "arn:aws:iam::123456789012:role/mine"


def test_a_running_job_is_attached_to_and_not_started_again(want: Desired) -> None:
    running = Observed(jobs=(ObservedJob(want.job.name(1), "InProgress"),))
    made = plan(want, running)
    job = next(step for step in made.steps if step.kind == "training job")
    assert (job.action, job.call) == ("attach", None)
    assert job.wait is not None
    assert job.wait.name == want.job.name(1)
    assert not made.trains


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_after_an_attempt_that_failed_the_next_has_its_suffix_and_the_same_checkpoints(
    want: Desired, status: str
) -> None:
    made = plan(want, Observed(jobs=(ObservedJob(want.job.name(1), status),)))
    job = next(step for step in made.steps if step.kind == "training job")
    assert job.call is not None
    assert job.call.parameters["TrainingJobName"] == f"{want.job.name(1)}-2"
    assert job.call.parameters["CheckpointConfig"] == want.job.request(1)["CheckpointConfig"]
    assert made.serving.model.data.endswith(f"jobs/{want.job.name(1)}-2/output/model.tar.gz")


def test_a_job_that_is_being_stopped_is_waited_for_before_the_next_attempt(want: Desired) -> None:
    made = plan(want, Observed(jobs=(ObservedJob(want.job.name(1), "Stopping"),)))
    first, second = (step for step in made.steps if step.kind == "training job")
    assert first.wait is not None
    assert (first.wait.what, first.call) == ("ended", None)
    assert second.name == want.job.name(2)


def test_a_job_whose_bundle_is_gone_is_followed_by_another(want: Desired) -> None:
    seen = replace(complete(want), jobs=(ObservedJob(want.job.name(1), "Completed"),))
    job = next(step for step in plan(want, seen).steps if step.kind == "training job")
    assert job.name == want.job.name(2)
    assert "bundle is gone" in job.reason


def test_a_later_attempt_that_completed_is_as_good_as_the_first(want: Desired) -> None:
    assert plan(want, complete(want, attempt=3)).steps == ()


def test_new_serving_code_moves_traffic_and_trains_nothing(want: Desired, tmp_path: Path) -> None:
    changed = wanted(tmp_path, serving="6" * 64)
    seen = replace(complete(want), image=False, models=frozenset(), configs=frozenset())
    made = plan(changed, seen)
    assert steps(made) == [
        ("create", "image"),
        ("create", "object"),
        ("create", "model package"),
        ("create", "model"),
        ("create", "endpoint config"),
        ("update", "endpoint"),
    ]
    assert made.traffic
    assert not made.trains
    undo = made.steps[-1].undo
    assert undo is not None
    assert undo.parameters["EndpointConfigName"] == want.serving(1).config.name


def test_new_training_code_trains_under_another_name(want: Desired, tmp_path: Path) -> None:
    changed = wanted(tmp_path, code="e" * 64)
    assert changed.job.name(1) != want.job.name(1)
    assert changed.job.checkpoints != want.job.checkpoints
    assert plan(changed, replace(complete(want), jobs=())).trains


def test_another_instance_trains_nothing(want: Desired, tmp_path: Path) -> None:
    toml = projects.TOML + '[endpoint]\ninstance = "ml.c5.xlarge"\n'
    made = plan(wanted(tmp_path, toml=toml), complete(want))
    assert steps(made) == [
        ("create", "model"), ("create", "endpoint config"), ("update", "endpoint"),
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "Unheard"])
def test_an_endpoint_that_failed_is_deleted_and_made_again(want: Desired, status: str) -> None:
    config = want.serving(1).config.name
    seen = replace(complete(want), endpoint=ObservedEndpoint(want.project, status, config))
    assert steps(plan(want, seen)) == [("replace", "endpoint"), ("create", "endpoint")]


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack"])
def test_an_endpoint_in_progress_on_our_config_is_waited_for(want: Desired, status: str) -> None:
    config = want.serving(1).config.name
    seen = replace(complete(want), endpoint=ObservedEndpoint(want.project, status, config))
    step = only(plan(want, seen))
    assert (step.action, step.call) == ("attach", None)
    assert step.wait is not None
    assert step.wait.config == config


def test_an_endpoint_in_progress_on_another_config_is_updated_when_it_rests(want: Desired) -> None:
    other = f"{want.project}-{'0' * 12}"
    seen = replace(complete(want), endpoint=ObservedEndpoint(want.project, "Updating", other))
    assert steps(plan(want, seen)) == [("attach", "endpoint"), ("update", "endpoint")]


def test_an_endpoint_being_deleted_is_waited_for_and_made_again(want: Desired) -> None:
    config = want.serving(1).config.name
    seen = replace(complete(want), endpoint=ObservedEndpoint(want.project, "Deleting", config))
    assert steps(plan(want, seen)) == [("attach", "endpoint"), ("create", "endpoint")]


def test_an_endpoint_of_somebody_else_is_never_touched(want: Desired) -> None:
    seen = Observed(endpoint=ObservedEndpoint(want.project, "InService", "their-config"))
    with pytest.raises(DeploymentError, match="this project did not make"):
        plan(want, seen)


def test_the_data_of_a_source_decides_about_training_too(want: Desired, tmp_path: Path) -> None:
    same = wanted(tmp_path)
    assert same.job.name(1) == want.job.name(1)
    carriers = next(upload.file for upload in same.uploads if "carriers" in upload.key)
    assert carriers.digest in {upload.file.digest for upload in want.uploads}
    more = projects.CARRIERS + "Z9,90\n"
    assert wanted(tmp_path, carriers=more).job.name(1) != want.job.name(1)


@given(
    bucket=st.booleans(),
    image=st.booleans(),
    jobs=st.lists(st.sampled_from(["Failed", "Stopped"]), max_size=3),
    last=st.sampled_from([None, "InProgress", "Completed", "Stopping"]),
    endpoint=st.sampled_from([None, "InService", "Failed", "Updating", "Deleting"]),
)
def test_whatever_exists_each_step_names_its_reason_and_the_last_wait_is_for_our_config(
    want: Desired,
    *,
    bucket: bool,
    image: bool,
    jobs: list[str],
    last: str | None,
    endpoint: str | None,
) -> None:
    statuses = [*jobs, *([last] if last else [])]
    seen = Observed(
        bucket=bucket,
        image=image,
        jobs=tuple(
            ObservedJob(want.job.name(number), status, bundle=status == "Completed")
            for number, status in enumerate(statuses, 1)
        ),
        endpoint=ObservedEndpoint(want.project, endpoint, f"{want.project}-{'0' * 12}")
        if endpoint
        else None,
    )
    made = plan(want, seen)
    assert all(step.reason for step in made.steps)
    wait = made.steps[-1].wait
    assert wait is not None
    assert wait.config == made.serving.config.name
    started = [step for step in made.steps if step.kind == "training job" and step.call]
    assert len(started) == (0 if last in ("InProgress", "Completed") else 1)


def test_a_plan_is_plain_json_with_calls_and_undos(want: Desired) -> None:
    document = plan(want, Observed()).to_json()
    endpoint = document["steps"][-1]
    assert endpoint["call"]["operation"] == "create_endpoint"
    assert endpoint["undo"]["operation"] == "delete_endpoint"
    assert document["touches_traffic"] is False


def test_every_name_is_one_that_sagemaker_takes(want: Desired) -> None:
    serving = want.serving(12)
    for name in (want.job.name(12), serving.model.name, serving.config.name):
        assert len(name) <= 63
        assert name.replace("-", "").isalnum()


def test_an_update_under_way_to_our_config_is_waited_for_and_not_asked_for_again(
    want: Desired,
) -> None:
    other, ours = f"{want.project}-{'0' * 12}", want.serving(1).config.name
    endpoint = ObservedEndpoint(want.project, "Updating", other, pending=ours)
    step = only(plan(want, replace(complete(want), endpoint=endpoint)))
    assert (step.action, step.call) == ("attach", None)
    assert step.wait is not None
    assert step.wait.config == ours
