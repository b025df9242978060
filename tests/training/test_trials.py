"""Trials of real networks in workers of their own: what dies there does not end the job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from shared.hyperparameters import Choice
from shared.problem import Tuning
from tests.support import jobs
from training import trials, workers

pytestmark = pytest.mark.slow
PATIENCE = 240

JOB = """
import os, signal, sys
from training import preparation, train

job, build = os.getpid(), preparation.Prepared.trainer

def trainer(prepared, chosen):
    if chosen.dropout == 0.2 and chosen.units == 16 and os.getpid() != job:
        os.kill(os.getpid(), signal.SIGKILL)
    return build(prepared, chosen)

preparation.Prepared.trainer = trainer
train.main(["--base", sys.argv[1]])
"""


@pytest.mark.skipif(workers.cores() < 2, reason="one core runs one trial at a time, in the job")
def test_a_jobs_trials_run_side_by_side_and_one_that_is_killed_is_counted(tmp_path: Path) -> None:
    space = {"dropout": Choice((0.0, 0.2)), "units": Choice((16, 32))}
    project = jobs.problem(tuning=Tuning(strategy="grid", parallel=2, space=space))
    base = jobs.tree(tmp_path, project=project)
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(base)],
        cwd=jobs.ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "[stage] tune 4 trials, grid, 2 at a time" in lines
    reported = [line for line in lines if line.startswith("[trial]")]
    assert sorted(line.split()[1] for line in reported) == ["1/4", "2/4", "3/4", "4/4"]
    killed = [line for line in reported if line.endswith(" failed")]
    assert [line.split()[1] for line in killed] == ["3/4"]
    assert json.loads(lines[-1].removeprefix("[result] "))["failed_trials"] == 1
    found = json.loads((base / "output/data/trials.json").read_text())
    assert "killed by SIGKILL" in found[2]["error"]
    assert all(
        len(trial["losses"]) == jobs.QUICK["epochs"] for trial in found if not trial["error"]
    )


def test_a_process_in_which_tensorflow_has_run_is_not_forked(tensorflow: ModuleType) -> None:
    tensorflow.constant(1.0)
    assert not trials.forkable()
