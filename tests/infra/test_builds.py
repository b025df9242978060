"""The serving image: by this machine's Docker or by AWS CodeBuild, the same build either way."""

from __future__ import annotations

import base64
import io
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from infra import package
from infra.__main__ import main
from infra.builds import has_docker, with_docker
from infra.images import BASE, BUILDSPEC
from infra.plan import Plan
from infra.record import RecordStore
from infra.resources import Desired
from shared.errors import DeploymentError
from tests.infra.test_security import AWS, KEY
from tests.support import dockerfile, projects
from tests.support.deployments import ACCOUNT, deploy, planned, wanted
from tests.support.fake_cloud import FakeCloud, refused

DIGEST = f"python@sha256:{'d' * 64}"
DOCKER = f"""#!/bin/sh
echo "$@" >> "$DOCKER_SAID"
case "$1" in
  login) cat >> "$DOCKER_TOLD" ;;
  image) echo "{DIGEST}" ;;
  build) test -z "$DOCKER_FAILS" || {{ echo "no space left on device" >&2; exit 1; }} ;;
esac
"""


class Docker:
    """What docker was asked, and what it read."""

    def __init__(self, folder: Path) -> None:
        self._said, self._told = folder / "said", folder / "told"

    @property
    def asked(self) -> list[str]:
        return self._said.read_text().splitlines() if self._said.exists() else []

    @property
    def told(self) -> str:
        return self._told.read_text()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """A docker on the PATH that only notes what it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    for name in ("said", "told"):
        monkeypatch.setenv(f"DOCKER_{name.upper()}", str(tmp_path / name))
    monkeypatch.delenv("DOCKER_FAILS", raising=False)
    return Docker(tmp_path)


class Registry(FakeCloud):
    """An account that hands out a password for its registry."""

    def get_authorization_token(self) -> dict[str, Any]:
        token = base64.b64encode(b"AWS:secret").decode()
        return {"authorizationData": [{"authorizationToken": token}]}


def test_docker_builds_from_a_digest_that_the_labels_tell_and_pushes(
    docker: Docker, tmp_path: Path
) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/keras-serving:0123456789ab"
    assert has_docker()
    assert with_docker(Registry(local=False), image, tmp_path) == DIGEST
    pull, _, build, login, push = docker.asked[-5:]
    assert pull == f"pull --quiet --platform linux/amd64 {BASE}"
    assert f"--build-arg BASE={DIGEST}" in build
    assert f"org.opencontainers.image.base.digest={DIGEST.partition('@')[2]}" in build
    assert f"--target serving --platform linux/amd64 --build-arg BASE={DIGEST}" in build
    assert push == f"push --quiet {image}"
    assert docker.told == "secret"
    assert "secret" not in login


def test_a_docker_that_fails_is_told_with_its_words(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_FAILS", "yes")
    with pytest.raises(DeploymentError, match="docker build failed: no space left on device"):
        with_docker(Registry(local=False), "x/y:z", tmp_path)
    assert not [line for line in docker.asked if line.startswith("push")]


def test_a_docker_without_its_daemon_is_none(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin/docker").write_text("#!/bin/sh\nexit 1\n")
    assert not has_docker()
    (tmp_path / "bin/docker").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert not has_docker()


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    """A project that is to be deployed from a machine without Docker."""
    account = replace(ACCOUNT, local=False)
    return wanted(tmp_path / "p", toml=projects.TOML + AWS, account=account, image_source=b"zip")


def image_calls(made: Plan) -> list[tuple[str, dict[str, Any]]]:
    return [
        (step.call.operation, dict(step.call.parameters)) for step in made.image.steps if step.call
    ]


def test_codebuild_gets_a_role_the_source_and_a_project_before_it_builds(want: Desired) -> None:
    made = planned(FakeCloud(local=False), want)
    asked = [operation for operation, _ in image_calls(made)]
    assert asked[-6:] == [
        "create_repository",
        "create_role",
        "put_role_policy",
        "upload_file",
        "create_project",
        "start_build",
    ]
    kinds = [step.kind for step in made.steps]
    assert kinds.index("image") < kinds.index("training job")
    assert "image" not in [step.kind for step in made.training.steps]
    assert "build project" not in [step.kind for step in made.training.steps]


@pytest.mark.parametrize("operation", ["create_repository", "create_project", "start_build"])
def test_its_requests_are_those_of_the_services(want: Desired, operation: str) -> None:
    requests = dict(image_calls(planned(FakeCloud(local=False), want)))
    service = "ecr" if operation == "create_repository" else "codebuild"
    model = botocore.session.get_session().get_service_model(service)
    name = "".join(part.capitalize() for part in operation.split("_"))
    validate_parameters(requests[operation], model.operation_model(name).input_shape)


def test_the_repository_scans_is_immutable_and_under_the_key(want: Desired) -> None:
    requests = dict(image_calls(planned(FakeCloud(local=False), want)))
    repository = requests["create_repository"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": KEY}
    assert requests["create_project"]["encryptionKey"] == KEY


def test_only_codebuild_may_be_its_role(want: Desired) -> None:
    requests = [found for name, found in image_calls(planned(FakeCloud(local=False), want))
                if name == "create_role"]  # fmt: skip
    trusted = json.loads(requests[0]["AssumeRolePolicyDocument"])["Statement"][0]["Principal"]
    assert trusted == {"Service": "codebuild.amazonaws.com"}


def test_a_build_ends_in_an_image_whose_base_is_recorded(want: Desired, tmp_path: Path) -> None:
    cloud = FakeCloud(local=False)
    deploy(cloud, want, tmp_path / "build")
    assert want.image
    record = RecordStore(cloud, want.bucket.name, "small").load()
    name = f"keras-serving:{want.image.tag}"
    assert cloud.images == {name}
    assert record.of("base image") == (f"{name} from python@sha256:{'b' * 64}",)
    assert record.of("build project") == ("small-image",)
    assert planned(cloud, want).image.steps == ()


def test_a_build_that_fails_tells_its_last_lines_and_nothing_is_trained(
    want: Desired, tmp_path: Path
) -> None:
    cloud = FakeCloud(local=False)
    cloud.build_ends = "FAILED"
    cloud.logs["build"] = ["pip install", "ERROR: no matching distribution"]
    with pytest.raises(DeploymentError, match="ERROR: no matching distribution"):
        deploy(cloud, want, tmp_path / "build")
    assert cloud.jobs == {}
    cloud.build_ends = "SUCCEEDED"  # what is there already is no obstacle the second time
    deploy(cloud, want, tmp_path / "build")
    assert cloud.jobs


def test_a_role_that_codebuild_does_not_know_yet_is_waited_for(
    want: Desired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = FakeCloud(local=False)
    create, refusals = cloud.create_project, iter(range(2))

    def soon(**request: Any) -> None:
        if next(refusals, None) is not None:
            message = "CodeBuild is not authorized to perform: sts:AssumeRole on service role."
            raise refused("CreateProject", "InvalidInputException", message)
        create(**request)

    monkeypatch.setattr(cloud, "create_project", soon)
    deploy(cloud, want, tmp_path / "build")
    assert cloud.build_projects == {"small-image"}


def test_both_ways_build_the_same() -> None:
    spec = json.loads(BUILDSPEC)
    commands = "\n".join(line for phase in spec["phases"].values() for line in phase["commands"])
    for part in (
        "--file images/Dockerfile --target serving",
        '--build-arg "BASE=$BASE_DIGEST"',
        "org.opencontainers.image.base.digest=",
        'docker push --quiet "$IMAGE"',
    ):
        assert part in commands
    assert spec["env"]["exported-variables"] == ["BASE_DIGEST"]


def test_the_source_holds_all_that_the_dockerfile_copies_and_its_bytes_follow_from_it(
    tmp_path: Path,
) -> None:
    files = package.image_code()
    one = package.write_zip(files, tmp_path / "one.zip").read_bytes()
    assert one == package.write_zip(files, tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    copied = {str(path.relative_to(package.ROOT)) for path in dockerfile.files("serving").values()}
    assert copied | {"images/Dockerfile", "requirements/serving.txt"} == held.keys()


def test_another_lock_of_what_serves_is_another_image(tmp_path: Path) -> None:
    files = package.image_code()
    other = files | {"requirements/serving.txt": b"granian==1"}
    assert package.tree_digest(files) != package.tree_digest(other)


def test_make_image_builds_once_and_says_when_there_is_nothing_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = FakeCloud(local=False)
    monkeypatch.setattr(cloud, "client", lambda service: None)
    monkeypatch.setattr("infra.aws.connect", lambda target, aws: cloud)
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    monkeypatch.setattr("infra.prepare.has_docker", lambda: False)
    monkeypatch.setattr("infra.codebuild._POLL_SECONDS", 0.0)
    project = str(projects.make(tmp_path / "p"))
    words = ["image", "--project", project, "--target", "aws", "--yes"]
    assert main(words) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "The image was built from python@sha256:" in said
    assert "is in the registry." in said
    assert (cloud.images, cloud.jobs) == (cloud.images, {})
    assert main(words) == 0
    assert "is in the registry already." in capsys.readouterr().out
    other = projects.make(
        tmp_path / "q", projects.TOML + '[endpoint]\ncontainer = "tensorflow-serving"\n'
    )
    assert main(["image", "--project", str(other)]) == 0
    assert "There is nothing to build" in capsys.readouterr().out
