"""The Dockerfile's two targets are what SageMaker starts, and hold what the code says."""

from __future__ import annotations

import re
import stat
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from inference import environment
from infra import package
from tests.support import dockerfile
from tests.support.dockerfile import ROOT

TARGETS = ("serving", "training")


def test_the_serving_image_holds_what_the_local_cloud_is_given() -> None:
    held = {name: path.read_bytes() for name, path in dockerfile.files("serving").items()}
    assert held == package.serving_code()


def test_the_training_image_holds_what_a_training_job_is_sent() -> None:
    held = {name: path.read_bytes() for name, path in dockerfile.files("training").items()}
    sent = package.training_code()
    command = held.pop("train")
    assert set(sent) - set(held) == {"train.py", "requirements.txt"}
    assert held == {name: data for name, data in sent.items() if name in held}
    assert b"from training.train import main" in command


@pytest.mark.parametrize("target", TARGETS)
def test_the_base_is_chosen_by_a_build_argument_alone(target: str) -> None:
    assert dockerfile.lineage(target)[0].base == "${BASE}"
    known = dockerfile.stages()
    assert {stage.base for stage in known.values()} <= {"${BASE}", *known}
    assert re.search(r"^ARG BASE=\S+$", dockerfile.FILE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_the_command_is_started_without_a_shell_so_that_signals_arrive(target: str) -> None:
    assert dockerfile.command(target) == ["env", {"serving": "serve", "training": "train"}[target]]
    [command] = [path for name, path in dockerfile.files(target).items() if "/" not in name]
    assert command.stat().st_mode & stat.S_IXOTH
    assert command.read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_run_in_the_layers_that_are_shipped(target: str) -> None:
    for stage in dockerfile.lineage(target):
        assert stage.values("RUN") == []


def test_the_serving_image_runs_as_nobody_on_the_port_that_sagemaker_may_choose() -> None:
    final = dockerfile.lineage("serving")[-1]
    [user] = final.values("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    [port] = final.values("EXPOSE")
    assert int(port) == environment.read({}).port
    assert final.values("LABEL") == [
        "com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true"
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_packages_are_installed_by_hash_as_built_files_and_no_installer_is_left(
    target: str,
) -> None:
    [script] = [
        value for value in dockerfile.stages()[f"{target}-files"].values("RUN") if "pip" in value
    ]
    for option in ("--without-pip", "--require-hashes", "--only-binary :all:", "--no-cache-dir"):
        assert option in script


def allowed(path: str) -> bool:
    """Whether .dockerignore lets a file of the repository through: the last line that fits says."""
    verdict = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        names = [Path(*Path(path).parts[:count]).as_posix() for count in range(1, 9)]
        if pattern.startswith("**/"):
            pattern = pattern.removeprefix("**/")
            names = [Path(name).name for name in names]
        if any(fnmatch(name, pattern) for name in names):
            verdict = line.startswith("!")
    return verdict


def test_a_build_is_sent_what_it_copies_and_nothing_else() -> None:
    for target in TARGETS:
        for path in dockerfile.files(target).values():
            assert allowed(path.relative_to(ROOT).as_posix()), path
        assert allowed(f"requirements/{target}.txt")
    for secret in (".git/config", ".local/cloud.json", "infra/aws.py", "requirements/dev.txt"):
        assert not allowed(secret)
    for rubbish in ("shared/__pycache__/bundle.cpython-311.pyc", "inference/.server.py.swp"):
        assert not allowed(rubbish)


def pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {line.rstrip(" \\") for line in text.splitlines() if "==" in line}


@pytest.mark.parametrize(("target", "extra"), [("serving", "inference"), ("training", "training")])
def test_the_locked_packages_are_those_of_the_suite_and_cover_the_extra(
    target: str, extra: str
) -> None:
    versions = {pin.split(";")[0].strip() for pin in pins("dev")}
    assert {pin.split(";")[0].strip() for pin in pins(target)} <= versions
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[=<>;\[]", pin)[0] for pin in pins(target)}
    for wanted in (*project["dependencies"], *project["optional-dependencies"][extra]):
        assert re.split(r"[=<>;\[]", wanted)[0] in names
