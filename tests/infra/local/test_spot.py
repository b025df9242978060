"""Managed spot training: instances that are taken away, as a test asks for."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.local.__main__ import main
from shared.errors import LocalCloudError
from tests.support.local_cloud import BUCKET, Bench, real_training, unpacked, until

pytestmark = pytest.mark.slow

# Counts the instances it has seen in a file that is synchronised and in one that is not.
COUNT = """
    import os, signal, time
    base = os.environ["SAGEMAKER_BASE_DIR"]
    signal.signal(signal.SIGTERM, lambda *_: print("told to end", flush=True))
    for place in ("checkpoints", "elsewhere"):
        file = os.path.join(base, place, "count")
        os.makedirs(os.path.dirname(file), exist_ok=True)
        seen = int(open(file).read()) if os.path.exists(file) else 0
        print(place, seen, flush=True)
        open(file, "w").write(str(seen + 1))
        if place == "checkpoints" and seen == 1:
            raise SystemExit(0)
    while True:
        time.sleep(0.1)
"""
STATES = ["Starting", "Downloading", "Training"]


def spot(bench: Bench, runtime: int = 300, wait: int = 300) -> dict[str, Any]:
    return {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": runtime, "MaxWaitTimeInSeconds": wait},
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/{bench.name('spot')}"},
    }


def saved(bench: Bench, config: Mapping[str, Any]) -> list[str]:
    return bench.keys(config["CheckpointConfig"]["S3Uri"].removeprefix(f"s3://{BUCKET}/") + "/")


def arrays(archive: bytes) -> list[bytes]:
    with np.load(io.BytesIO(archive), allow_pickle=False) as found:
        return [found[name].tobytes() for name in found.files]


def test_a_job_goes_on_from_its_checkpoints_on_another_instance(bench: Bench) -> None:
    config = spot(bench)
    name = bench.start(COUNT, **config)
    until(lambda: saved(bench, config), bool)
    bench.cloud.interrupt(name, away=0.1)
    job = bench.ended(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    states = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert states == [*STATES, "Interrupted", *STATES, "Uploading", "Completed"]
    lines = bench.job_lines(name)
    assert lines[:3] == ["checkpoints 0", "elsewhere 0", "told to end"]
    assert lines[3:] == ["checkpoints 1"]
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_what_s3_had_not_yet_when_the_instance_went_is_lost(bench: Bench) -> None:
    config = spot(bench)
    name = bench.start(
        """
        import os, signal, sys, time
        place = os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints")
        print(*sorted(os.listdir(place)), flush=True)
        if os.path.exists(os.path.join(place, "early")):
            sys.exit()

        def end(*_):
            open(os.path.join(place, "too-late"), "w").write("x")
            os._exit(0)

        signal.signal(signal.SIGTERM, end)
        open(os.path.join(place, "early"), "w").write("x")
        while True:
            time.sleep(0.1)
        """,
        **config,
    )
    until(lambda: saved(bench, config), bool)
    bench.cloud.interrupt(name, away=0.0)
    assert bench.ended(name)["TrainingJobStatus"] == "Completed"
    assert bench.job_lines(name)[-1] == "early"
    assert saved(bench, config) == ["early"]


def test_a_job_that_waits_longer_than_allowed_is_stopped(bench: Bench) -> None:
    config = spot(bench, runtime=6, wait=6)
    name = bench.start(COUNT, **config)
    until(lambda: bench.job(name)["SecondaryStatus"], lambda state: state == "Training")
    bench.cloud.interrupt(name, away=600)
    job = bench.ended(name)
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxWaitTimeExceeded"


def test_a_job_is_stopped_while_it_waits_for_an_instance(bench: Bench) -> None:
    name = bench.start(COUNT, **spot(bench))
    until(lambda: bench.job(name)["SecondaryStatus"], lambda state: state == "Training")
    bench.cloud.interrupt(name, away=600)
    until(lambda: bench.job(name)["SecondaryStatus"], lambda state: state == "Interrupted")
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    job = bench.ended(name)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"


def test_only_running_spot_jobs_are_interrupted(bench: Bench) -> None:
    name = bench.run("print('on demand')")["TrainingJobName"]
    with pytest.raises(LocalCloudError, match="does not run on managed spot instances"):
        bench.cloud.interrupt(name)
    name = bench.run("print('spot')", **spot(bench))["TrainingJobName"]
    with pytest.raises(LocalCloudError, match="has no instances now: it is in Completed"):
        bench.cloud.interrupt(name)
    with pytest.raises(LocalCloudError, match="not found"):
        bench.cloud.interrupt("nobody")


def test_the_shell_interrupts_a_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = spot(bench)
    name = bench.start(COUNT, **config)
    until(lambda: saved(bench, config), bool)
    words = ["local", "interrupt", name, "--away", "0.1", "--root", str(bench.cloud.root)]
    monkeypatch.setattr("sys.argv", words)
    assert main() == 0
    assert name in capsys.readouterr().out
    states = [each["Status"] for each in bench.ended(name)["SecondaryStatusTransitions"]]
    assert "Interrupted" in states


def test_a_model_that_was_interrupted_has_the_same_bits(bench: Bench, tmp_path: Path) -> None:
    settings = {"units": 16, "batch_size": 4, "epochs": 6, "patience": 6, "dropout": 0.2}
    training = real_training(bench, tmp_path, settings, rows=4000)

    def start() -> tuple[str, dict[str, Any]]:
        config = spot(bench)
        return bench.start("", **training, **config), config

    (whole, _), (name, config) = start(), start()
    until(
        lambda: saved(bench, config),  # the manifest comes last
        lambda keys: any("epoch-" in key and key.endswith(".json") for key in keys),
    )
    bench.cloud.interrupt(name, away=0.0)
    models = []
    for each in (whole, name):
        job = bench.ended(each)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        models.append(unpacked(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"])))
    states = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert "Interrupted" in states
    weights = [arrays(model["weights.npz"]) for model in models]
    assert weights[0] == weights[1]
    assert any("going on after epoch" in line for line in bench.job_lines(name))
