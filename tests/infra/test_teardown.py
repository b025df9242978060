"""Destroying deletes what the record lists, in order, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.record import Entry, RecordStore
from infra.resources import Desired
from infra.teardown import teardown, wipe
from shared.errors import DeploymentError, StorageError
from tests.support import projects
from tests.support.deployments import ACCOUNT, deploy, wanted
from tests.support.fake_cloud import FakeCloud


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    return wanted(tmp_path / "project")


@pytest.fixture
def cloud(want: Desired, tmp_path: Path) -> FakeCloud:
    cloud = FakeCloud()
    deploy(cloud, want, tmp_path / "build")
    return cloud


def destroy(cloud: FakeCloud, want: Desired, *, data: bool) -> list[str]:
    store = RecordStore(cloud, want.bucket.name, want.project)
    said: list[str] = []
    left = teardown(cloud, store, store.load(), said.append)
    if data:
        wipe(cloud, store, left, said.append)
    return said


def test_data_stays_unless_told(cloud: FakeCloud, want: Desired) -> None:
    objects = set(cloud.objects)
    destroy(cloud, want, data=False)
    assert (cloud.endpoints, cloud.configs, cloud.models, cloud.roles) == ({}, {}, {}, {})
    assert set(cloud.objects) == objects


def test_after_that_a_deployment_needs_no_training(
    cloud: FakeCloud, want: Desired, tmp_path: Path
) -> None:
    destroy(cloud, want, data=False)
    assert not deploy(cloud, want, tmp_path / "build").trains
    assert "small" in cloud.endpoints


def test_with_the_data_nothing_is_left(cloud: FakeCloud, want: Desired) -> None:
    destroy(cloud, want, data=True)
    state = cloud.state
    assert not any(state[kind] for kind in ("buckets", "objects", "roles", "models", "endpoints"))


def test_what_other_projects_have_stays(cloud: FakeCloud, want: Desired, tmp_path: Path) -> None:
    other = wanted(tmp_path / "other", toml=projects.TOML.replace('"small"', '"other"'))
    deploy(cloud, other, tmp_path / "build")
    destroy(cloud, want, data=True)
    assert cloud.endpoints.keys() == {"other"}
    assert cloud.buckets
    assert all(key.startswith("other/") for key in cloud.objects)


def test_what_the_record_does_not_list_stays(cloud: FakeCloud, want: Desired) -> None:
    cloud.models["small-by-hand"] = {}
    destroy(cloud, want, data=True)
    assert cloud.models.keys() == {"small-by-hand"}


def test_the_endpoint_goes_before_what_it_uses(cloud: FakeCloud, want: Desired) -> None:
    cloud.calls.clear()
    destroy(cloud, want, data=True)
    deletes = [*dict.fromkeys(call for call in cloud.calls if call.startswith("delete_"))]
    assert deletes == [
        "delete_endpoint",
        "delete_endpoint_config",
        "delete_model",
        "delete_model_package",
        "delete_model_package_group",
        "delete_role_policy",
        "delete_role",
        "delete_objects",
        "delete_object",
        "delete_bucket",
    ]


def test_a_running_job_is_stopped_and_waited_for(cloud: FakeCloud, want: Desired) -> None:
    job = cloud.jobs[want.job.name(1)]
    job["TrainingJobStatus"] = "InProgress"
    destroy(cloud, want, data=False)
    assert job["TrainingJobStatus"] == "Stopped"


def test_what_is_gone_already_is_no_error(cloud: FakeCloud, want: Desired) -> None:
    cloud.endpoints.clear()
    cloud.models.clear()
    destroy(cloud, want, data=True)


def test_an_interrupted_destroy_can_be_repeated(want: Desired, tmp_path: Path) -> None:
    whole = FakeCloud()
    deploy(whole, want, tmp_path / "build")
    before = whole.changes
    destroy(whole, want, data=True)
    for number in range(whole.changes - before):
        cloud = FakeCloud()
        deploy(cloud, want, tmp_path / "build")
        cloud.fail_at = cloud.changes + number
        with pytest.raises(DeploymentError, match="not allowed"):
            destroy(cloud, want, data=True)
        destroy(cloud, want, data=True)
        assert (cloud.endpoints, cloud.models, cloud.roles, cloud.objects) == ({}, {}, {}, {})


@pytest.mark.parametrize("status", ["Creating", "Updating"])
def test_an_endpoint_in_progress_is_waited_for_and_then_deleted(
    cloud: FakeCloud, want: Desired, status: str
) -> None:
    cloud.endpoints[want.project]["EndpointStatus"] = status
    destroy(cloud, want, data=False)
    assert cloud.endpoints == {}


def test_a_job_that_is_being_stopped_is_waited_for(cloud: FakeCloud, want: Desired) -> None:
    job = cloud.jobs[want.job.name(1)]
    job["TrainingJobStatus"] = "Stopping"
    destroy(cloud, want, data=False)
    assert job["TrainingJobStatus"] == "Stopped"
    assert cloud.calls.count("describe_training_job") > 2


def test_an_object_that_s3_keeps_is_an_error_and_the_record_stays(
    cloud: FakeCloud, want: Desired
) -> None:
    kept = want.uploads[0].key
    cloud.undeletable.add(kept)
    with pytest.raises(DeploymentError, match="AccessDenied") as caught:
        destroy(cloud, want, data=True)
    assert kept in str(caught.value)
    cloud.undeletable.clear()
    destroy(cloud, want, data=True)
    assert cloud.objects == {}


def test_what_a_deployment_records_meanwhile_stays_recorded(
    cloud: FakeCloud, want: Desired
) -> None:
    store = RecordStore(cloud, want.bucket.name, want.project)
    new = Entry("model", "small-by-another-run")

    def say(done: str) -> None:
        store.change(lambda record: record.having([new]))

    teardown(cloud, store, store.load(), say)
    assert new in store.load().entries


def test_what_others_keep_under_the_same_prefix_stays(cloud: FakeCloud, want: Desired) -> None:
    cloud.objects["small/raw/rows.csv"] = b"mine"
    destroy(cloud, want, data=True)
    assert cloud.objects == {"small/raw/rows.csv": b"mine"}
    assert cloud.buckets


def test_an_endpoint_that_somebody_else_made_in_its_place_stays(
    cloud: FakeCloud, want: Desired
) -> None:
    cloud.endpoints[want.project]["EndpointConfigName"] = "theirs"
    said = destroy(cloud, want, data=False)
    assert cloud.endpoints[want.project]["EndpointStatus"] == "InService"
    assert any("left alone" in line and "theirs" in line for line in said)


def test_what_a_newer_version_made_is_not_left_behind_in_silence(
    cloud: FakeCloud, want: Desired
) -> None:
    store = RecordStore(cloud, want.bucket.name, want.project)
    store.change(lambda record: record.having([Entry("hologram", "small")]))
    with pytest.raises(StorageError, match="hologram"):
        destroy(cloud, want, data=False)
    assert "small" in cloud.endpoints


def test_with_the_data_goes_what_an_image_was_built_from(tmp_path: Path) -> None:
    account = replace(ACCOUNT, local=False)
    want = wanted(tmp_path / "project", account=account, image_source=b"zip")
    cloud = FakeCloud(local=False)
    deploy(cloud, want, tmp_path / "build")
    assert any("/images/" in key for key in cloud.objects)
    destroy(cloud, want, data=True)
    assert (cloud.objects, cloud.buckets) == ({}, set())


def test_versions_that_somebody_else_registered_keep_their_group_and_end_no_destruction(
    cloud: FakeCloud, want: Desired
) -> None:
    cloud.packages["small"].append(
        {"ModelPackageArn": "arn:theirs", "ModelPackageVersion": 7, "ClientToken": "theirs"}
    )
    said = destroy(cloud, want, data=False)
    assert [one["ModelPackageArn"] for one in cloud.packages["small"]] == ["arn:theirs"]
    assert any("model package group small is left alone" in line for line in said)
    assert cloud.roles == {}
