"""Instance types: what AWS does not have is refused with the project, not after training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from infra import project
from infra.instances import refusals
from shared.errors import ProjectError
from tests.support import projects

OLD = "pip install --upgrade boto3"
REFUSED = {
    "a misspelt type": ("endpoint", "ml.m5.xlarg", ("Did you mean 'ml.m5.xlarge'", OLD)),
    "a type of another use": ("training", "ml.t2.medium", ("training jobs", "ml.t3.medium", OLD)),
    "a type that may come": ("endpoint", "ml.m99.xlarge", (f"boto3 {boto3.__version__}", OLD)),
    "a type like no other": ("training", "ml.zzz.1", ("no instance type of training jobs", OLD)),
    "an Arm endpoint": ("endpoint", "ml.c7g.large", ("Arm", "Near it: 'ml.c7i.large'")),
    "an Arm endpoint with disks": ("endpoint", "ml.m6gd.large", ("Arm", "Near it:")),
    "an Arm job": ("training", "ml.p6e-gb200.36xlarge", ("Arm", "ml.p")),
}
FIT = {"training": "ml.m5.xlarge", "endpoint": "ml.m5.large"}


@pytest.mark.parametrize("name", REFUSED)
def test_a_type_that_would_fail_after_training_is_refused_with_the_project(
    name: str, tmp_path: Path
) -> None:
    section, instance, words = REFUSED[name]
    written = projects.TOML + ("[endpoint]\n" if section == "endpoint" else "")
    written = written.replace(f"[{section}]", f'[{section}]\ninstance = "{instance}"')
    with pytest.raises(ProjectError) as refused:
        project.load(projects.make(tmp_path, written))
    for part in (f"{section}.instance: '{instance}'", *words):
        assert part in str(refused.value)


def test_both_are_told_at_once() -> None:
    assert len(list(refusals({"training": "ml.x.1", "endpoint": "ml.x.1"}))) == 2


@pytest.mark.parametrize(
    ("section", "instance"),
    [("training", "ml.g6e.xlarge"), ("endpoint", "ml.g5.xlarge"), ("endpoint", "ml.t2.medium")],
)
def test_what_there_is_is_taken(section: str, instance: str) -> None:
    assert list(refusals(FIT | {section: instance})) == []


def test_the_project_s_code_alone_imports_no_botocore() -> None:
    """Commands answer at once; only a project that is loaded needs the lists."""
    code = "import sys, infra.project, infra.__main__; sys.exit('botocore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
