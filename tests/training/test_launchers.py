"""The code archive runs in a process of its own: killed, resumed, and under AWS's own toolkit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest

from shared import bundle
from shared.hyperparameters import Choice
from shared.problem import Tuning
from tests.support import jobs

pytestmark = pytest.mark.slow
PATIENCE = 240
"""Seconds after which a child is given up; none takes a fifth of it."""

FORKS = """
import os, sys
from training import preparation, train
preparation.tensorflow_ready()
from training import export, fit, network
for line in sys.stdin:
    base, log = line.split()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(1, 2)
        train.main(["--base", base])
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Forks:
    """Jobs that start at once: each is a child of one process that has imported TensorFlow."""

    def __init__(self, code: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKS],
            cwd=code,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, base: Path, log: Path, kill_at: str | None = None) -> int:
        """Run a job; with `kill_at`, kill -9 it when it has printed that. Answers wait's status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{base} {log}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        deadline = time.monotonic() + PATIENCE
        while kill_at and time.monotonic() < deadline:
            if log.exists() and kill_at in log.read_text():
                os.kill(child, signal.SIGKILL)
                break
            time.sleep(0.01)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, unpacked as a launcher unpacks it."""
    folder = tmp_path_factory.mktemp("code")
    archive = jobs.code_archive(folder / "sourcedir.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder / "unpacked", filter="data")
    return folder / "unpacked"


@pytest.fixture(scope="module")
def forks(code: Path) -> Iterator[Forks]:
    made = Forks(code)
    yield made
    made.close()


def weights(base: Path) -> list[bytes]:
    with np.load(base / "model/weights.npz", allow_pickle=False) as arrays:
        return [arrays[name].tobytes() for name in arrays.files]


SEARCHES = {
    "bayesian": jobs.SEARCH,
    "grid in folds": Tuning(
        strategy="grid", folds=3, space={"learning_rate": Choice((0.003, 0.01))}
    ),
}


@pytest.mark.parametrize("search", SEARCHES)
def test_a_job_killed_in_its_trials_and_in_its_epochs_ends_with_the_same_bits(
    forks: Forks, tmp_path: Path, search: str
) -> None:
    settings = {"units": 32, "batch_size": 4, "epochs": 6, "patience": 6, "dropout": 0.2}
    project, table = jobs.problem(tuning=SEARCHES[search]), jobs.table(6000)
    whole = jobs.tree(tmp_path / "whole", table, project, settings)
    broken = jobs.tree(tmp_path / "broken", table, project, settings)
    assert forks.run(whole, tmp_path / "whole.log") == 0
    for number, moment in enumerate(["[trial] 1/2", "epoch=2", "epoch=4"]):
        log = tmp_path / f"broken-{number}.log"
        assert forks.run(broken, log, kill_at=moment) == signal.SIGKILL
    assert forks.run(broken, tmp_path / "broken.log") == 0
    resumed = (tmp_path / "broken.log").read_text()
    assert "going on after epoch" in resumed
    assert all(line.startswith("[") for line in resumed.splitlines())
    assert weights(broken) == weights(whole)
    trials = [(base / "output/data/trials.json").read_text() for base in (whole, broken)]
    assert trials[0] == trials[1]
    losses = json.loads(trials[0])[0]["losses"]
    assert {len(folds) for folds in losses} == {project.tuning.folds}
    metrics = [bundle.load(base / "model").manifest.metrics for base in (whole, broken)]
    assert metrics[0] == metrics[1]


def test_the_archives_entry_fails_with_words_and_an_exit_code(code: Path, tmp_path: Path) -> None:
    base = jobs.tree(tmp_path, hyperparameters={"epoch": 3})
    done = subprocess.run(
        [sys.executable, "train.py", "--epoch", "3", "--model_dir", "None/job/model"],
        cwd=code,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "Did you mean 'epochs'?" in (base / "output/failure").read_text()
    assert "Traceback" not in done.stdout + done.stderr


def test_the_real_sagemaker_training_toolkit_runs_the_archive_from_s3(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        variables = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="code")
        s3.upload_file(str(code.parent / "sourcedir.tar.gz"), "code", "sourcedir.tar.gz")
        base = jobs.tree(
            tmp_path,
            hyperparameters={
                **jobs.QUICK,
                "activation": "prelu",
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": "s3://code/sourcedir.tar.gz",
                "sagemaker_region": "us-east-1",
                "sagemaker_job_name": "fruit-0123456789ab",
            },
        )
        channels = {
            entry.name: {"TrainingInputMode": "File", "RecordWrapperType": "None"}
            for entry in (base / "input/data").iterdir()
        }
        host = {
            "current_host": "localhost",
            "hosts": ["localhost"],
            "current_instance_type": "ml.m5.xlarge",
            "current_group_name": "homogeneousCluster",
            "instance_groups": [
                {
                    "instance_group_name": "homogeneousCluster",
                    "instance_type": "ml.m5.xlarge",
                    "hosts": ["localhost"],
                }
            ],
            "network_interface_name": "lo",
        }
        (base / "input/config/inputdataconfig.json").write_text(json.dumps(channels))
        (base / "input/config/resourceconfig.json").write_text(json.dumps(host))
        done = subprocess.run(
            [str(Path(sys.executable).with_name("train"))],
            env={
                **os.environ,
                "SAGEMAKER_BASE_DIR": str(base),
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "[result] {" in done.stdout
    found = bundle.load(base / "model")
    assert found.manifest.training_job == "fruit-0123456789ab"
    assert found.manifest.hyperparameters["activation"] == "prelu"
    assert (base / "output/data/report.html").is_file()
    assert (base / "output/success").exists()
