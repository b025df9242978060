"""A notebook with the unmodified SageMaker SDK asks for the same jobs as a deployment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra import local
from tests.support import projects
from tests.support.quick_search import CHILD

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SEARCH = """\
[tuning]
strategy = "random"
where = "service"
trials = 2
seed = 7
[tuning.space]
dropout = { min = 0.2, max = 0.5 }
units = { min = 8, max = 64, scale = "log", integer = true }
taper = ["auto", true, false]
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the local cloud describes of the jobs that the SDK started, and our own requests."""
    directory = tmp_path_factory.mktemp("notebook")
    toml = projects.TOML.split("[sources")[0] + SEARCH
    file = projects.make(directory / "project", toml)
    (directory / "train.py").write_text(CHILD)
    command = [sys.executable, "-m", "tests.support.sdk_search", str(directory), str(file)]
    try:
        run = subprocess.run(
            [*command, str(directory / "seen.json")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert run.returncode == 0, run.stderr[-3000:]
        return json.loads((directory / "seen.json").read_text())
    finally:
        local.stop(directory / "cloud")


def theirs(ours: Any, described: Any) -> Any:
    """The part of a description that was asked for; a switch that was not sent is off."""
    if isinstance(ours, dict):
        off = {key: False for key, value in ours.items() if value is False}
        known = {**off, **described}
        return {key: theirs(value, known.get(key)) for key, value in ours.items()}
    if isinstance(ours, list) and isinstance(described, list) and len(ours) == len(described):
        return [theirs(one, other) for one, other in zip(ours, described, strict=True)]
    return described


def test_the_sdks_tuning_job_is_the_one_that_a_deployment_starts(seen: Any) -> None:
    ours, described = seen["our search"], seen["search"]
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    for part in ("HyperParameterTuningJobConfig", "TrainingJobDefinition"):
        assert theirs(ours[part], described[part]) == ours[part]
    static = described["TrainingJobDefinition"]["StaticHyperParameters"]
    assert {name for name in static if not name.startswith("_")} == set(
        ours["TrainingJobDefinition"]["StaticHyperParameters"]
    )


def test_the_sdks_training_job_is_the_one_that_a_deployment_starts(seen: Any) -> None:
    ours, described = seen["our job"], seen["job"]
    assert described["TrainingJobStatus"] == "Completed"
    # The SDK has no way to turn the profiler off.
    named = {"TrainingJobName", "Tags", "ProfilerConfig"}
    wanted = {key: value for key, value in ours.items() if key not in named}
    assert theirs(wanted, described) == wanted
    assert described["HyperParameters"] == ours["HyperParameters"]
    assert "ContainerEntrypoint" not in described["AlgorithmSpecification"]
