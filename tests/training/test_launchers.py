"""The code archive runs in a process of its own: by hand, and under AWS's own toolkit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import boto3
import pytest

from shared import bundle
from tests.support import jobs

pytestmark = pytest.mark.slow
PATIENCE = 240
"""Seconds after which a child is given up; none takes a fifth of it."""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, unpacked as a launcher unpacks it."""
    folder = tmp_path_factory.mktemp("code")
    archive = jobs.code_archive(folder / "sourcedir.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder / "unpacked", filter="data")
    return folder / "unpacked"


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
