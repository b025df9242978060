"""Other people's clients, unmodified, against the local cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.support.local_cloud import Bench, unpacked

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SOON = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture(scope="module")
def sdk(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the SageMaker SDK saw while it trained, served and cleaned up."""
    directory = tmp_path_factory.mktemp("sdk")
    command = [sys.executable, "-m", "tests.support.sdk_client", str(bench.cloud.root)]
    run = subprocess.run(
        [*command, bench.image(), str(directory)],
        cwd=ROOT,
        env={**os.environ, **bench.cloud.environment()},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    seen: dict[str, Any] = json.loads((directory / "seen.json").read_text())
    return seen


@pytest.mark.slow
def test_the_sdks_model_trainer_trains_and_shows_the_log(bench: Bench, sdk: dict[str, Any]) -> None:
    assert sdk["job"] == "Completed"
    assert any("rows: 1,2,3" in line for line in sdk["lines"])
    told = json.loads(unpacked(bench.get(sdk["model"]))["told.json"])
    assert told["hyperparameters"] == {"learning_rate": 0.1, "activation": "relu"}
    assert told["arguments"] == ["--learning_rate", "0.1", "--activation", "relu"]


@pytest.mark.slow
def test_the_sdk_reports_the_failure_of_a_program(sdk: dict[str, Any]) -> None:
    assert "AlgorithmError" in sdk["failure"]
    assert "exit code: 1" in sdk["failure"]


@pytest.mark.slow
def test_the_sdks_tuner_tunes_and_analyses(bench: Bench, sdk: dict[str, Any]) -> None:
    tuning = sdk["tuning"]
    assert tuning["status"] == "Completed"
    rows = tuning["rows"]
    assert [row["TrainingJobStatus"] for row in rows] == ["Completed"] * 3
    best = min(rows, key=lambda row: row["FinalObjectiveValue"])
    assert tuning["best"] == best["TrainingJobName"]
    found = bench.job(tuning["best"])
    rate = float(found["HyperParameters"]["learning_rate"])
    assert rate == pytest.approx(best["learning_rate"])
    told = json.loads(unpacked(bench.get(found["ModelArtifacts"]["S3ModelArtifacts"]))["told.json"])
    assert told["hyperparameters"]["activation"] in ("relu", "prelu")


@pytest.mark.slow
def test_the_sdks_resources_serve_and_clean_up(sdk: dict[str, Any]) -> None:
    assert sdk["echoed"] == "00ff"
    assert sdk["left"] == []


@pytest.mark.slow
def test_the_sdks_transform_job_transforms(bench: Bench, sdk: dict[str, Any]) -> None:
    assert sdk["transformed"]["status"] == "Completed"
    assert bench.get(sdk["transformed"]["output"]) == b"1,2,3\n"


def test_boto3s_waiters_wait_for_jobs(bench: Bench) -> None:
    waiter = bench.sagemaker.get_waiter("training_job_completed_or_stopped")
    name = bench.start("print('well')")
    waiter.wait(TrainingJobName=name, WaiterConfig=SOON)
    failing = bench.start("raise SystemExit(1)")
    with pytest.raises(WaiterError, match="Failed"):
        waiter.wait(TrainingJobName=failing, WaiterConfig=SOON)


def test_boto3s_waiters_wait_for_endpoints(bench: Bench) -> None:
    config = bench.config(bench.variant(bench.model()))
    bench.sagemaker.create_endpoint(EndpointName="waited-for", EndpointConfigName=config)
    wait = bench.sagemaker.get_waiter
    wait("endpoint_in_service").wait(EndpointName="waited-for", WaiterConfig=SOON)
    assert bench.invoke("waited-for", b"hello") == b"hello"
    bench.sagemaker.delete_endpoint(EndpointName="waited-for")
    wait("endpoint_deleted").wait(EndpointName="waited-for", WaiterConfig=SOON)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        bench.sagemaker.describe_endpoint(EndpointName="waited-for")


@pytest.mark.slow
def test_the_sagemaker_training_toolkit_runs_a_console_jobs_archive(bench: Bench) -> None:
    start = "from sagemaker_training.cli.train import main; main()"
    request = bench.job_request(
        """
        import json, os, sys
        told = [sys.argv[1:], json.loads(os.environ["SM_HPS"]), os.environ["SM_CURRENT_HOST"]]
        json.dump(told, open(os.path.join(os.environ["SM_MODEL_DIR"], "told.json"), "w"))
        """,
        hyperparameters={"learning_rate": "0.1"},
    )
    request["AlgorithmSpecification"]["TrainingImage"] = bench.image(start, "train")
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": 200}
    bench.sagemaker.create_training_job(**request)
    bench.sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName=request["TrainingJobName"], WaiterConfig={"Delay": 1, "MaxAttempts": 200}
    )
    job = bench.job(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    told = json.loads(unpacked(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))["told.json"])
    assert told == [["--learning_rate", "0.1"], {"learning_rate": 0.1}, "localhost"]
