"""Which image serves, which bundle training makes for it, and what is refused before it starts."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from infra import project
from infra.prepare import prepare, prepare_search
from infra.project import Settings
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.fake_cloud import FakeCloud

TENSORFLOW_SERVING = (
    "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.20-cpu-py312"
)


@pytest.fixture(autouse=True)
def _(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)


@pytest.fixture
def aws() -> FakeCloud:
    cloud = FakeCloud()
    cloud.account = replace(cloud.account, local=False)
    return cloud


def settings(directory: Path, container: str) -> Settings:
    section = f'[endpoint]\ncontainer = "{container}"\n[tuning]'
    return project.load(projects.make(directory, projects.TOML.replace("[tuning]", section)))


def archived(directory: Path) -> set[str]:
    with tarfile.open(directory / "build" / "small" / "sourcedir.tar.gz") as archive:
        return set(archive.getnames())


def test_training_is_told_for_which_container_and_has_the_code_that_serves(
    tmp_path: Path, aws: FakeCloud
) -> None:
    prepare(settings(tmp_path / "a", "tensorflow-serving"), aws)
    told = json.loads((tmp_path / "build" / "small" / "project.json").read_bytes())
    assert told["container"] == "tensorflow-serving"
    assert {"inference/tfserving.py", "shared/bundle.py", "train.py"} <= archived(tmp_path)
    prepare(settings(tmp_path / "b", "own"), aws)
    assert not any(name.startswith("inference/") for name in archived(tmp_path))


def test_on_aws_tensorflow_serving_is_served_by_aws_own_image_and_none_is_pushed(
    tmp_path: Path, aws: FakeCloud
) -> None:
    plan = prepare(settings(tmp_path / "project", "tensorflow-serving"), aws)
    assert plan.serving.model.request()["PrimaryContainer"]["Image"] == TENSORFLOW_SERVING  # type: ignore[index]
    assert "image" not in {step.kind for step in plan.steps}
    policy = plan.desired.role.policy or ""
    assert "repository/tensorflow-inference" in policy
    assert "repository/keras-serving" not in policy


def test_a_region_without_the_image_is_told(tmp_path: Path, aws: FakeCloud) -> None:
    aws.account = replace(aws.account, region="me-west-1")
    with pytest.raises(DeploymentError, match="no AWS TensorFlow Serving image"):
        prepare(settings(tmp_path / "project", "tensorflow-serving"), aws)


def test_the_local_cloud_refuses_tensorflow_serving_before_anything_is_uploaded(
    tmp_path: Path,
) -> None:
    wanted = settings(tmp_path / "project", "tensorflow-serving")
    for cloud in (None, FakeCloud()):
        with pytest.raises(DeploymentError, match=r"endpoint\.container.*TARGET=aws"):
            prepare(wanted, cloud)


def test_a_toolkit_image_is_named_by_nobody_so_it_is_not_deployed(
    tmp_path: Path, aws: FakeCloud
) -> None:
    for cloud in (None, FakeCloud(), aws):
        with pytest.raises(DeploymentError, match="which image of the inference toolkit"):
            prepare(settings(tmp_path / "project", "toolkit"), cloud)


@pytest.mark.parametrize("container", ["toolkit", "tensorflow-serving"])
def test_a_bundle_for_a_container_that_is_not_deployed_can_be_trained_all_the_same(
    tmp_path: Path, container: str
) -> None:
    plan = prepare_search(settings(tmp_path / "project", container), FakeCloud())
    assert {step.stage for step in plan.steps} == {"upload", "train"}
    assert "inference/toolkit.py" in archived(tmp_path)
