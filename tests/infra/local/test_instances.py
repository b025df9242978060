"""Training jobs on several instances: processes of this machine that know of each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_cloud import BUCKET, Bench, is_gone, real_training, unpacked, until

pytestmark = pytest.mark.slow

TWO = {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}}
TELL = """
    import json, os
    base = os.environ["SAGEMAKER_BASE_DIR"]
    config = {
        name: json.load(open(f"{base}/input/config/{name}.json"))
        for name in ("resourceconfig", "inputdataconfig")
    }
    channel = os.environ.get("SM_CHANNEL_TRAIN")
    told = {
        "config": config,
        "hosts": json.loads(os.environ["SM_HOSTS"]),
        "addresses": json.loads(os.environ["HOST_ADDRESSES"]),
        "base": base,
        "files": sorted(os.listdir(channel)) if channel else [],
    }
    host = os.environ["SM_CURRENT_HOST"]
    place = os.environ["SM_MODEL_DIR"]
    json.dump(told, open(os.path.join(place, f"{host}.json"), "w"))
    open(os.path.join(place, "shared"), "w").write(host)
    open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], host), "w").write(host)
    print("I am", host)
"""


def model(bench: Bench, job: dict[str, Any]) -> dict[str, bytes]:
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return unpacked(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))


def channel(name: str, uri: str, **source: str) -> dict[str, Any]:
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, **source}},
    }


def test_every_instance_has_a_tree_of_its_own_and_knows_all_hosts(bench: Bench) -> None:
    job = bench.run(TELL, **TWO)
    made = model(bench, job)
    first, second = (json.loads(made[f"algo-{n}.json"]) for n in (1, 2))
    for told, host in ((first, "algo-1"), (second, "algo-2")):
        resources = told["config"]["resourceconfig"]
        assert resources["current_host"] == host
        assert resources["hosts"] == told["hosts"] == ["algo-1", "algo-2"]
        assert resources["instance_groups"][0]["hosts"] == ["algo-1", "algo-2"]
    assert first["base"] != second["base"]
    assert first["addresses"] == second["addresses"]
    ports = {each.removeprefix("127.0.0.1:") for each in first["addresses"].values()}
    assert len(ports) == 2
    assert list(first["addresses"]) == ["algo-1", "algo-2"]


def test_what_all_instances_made_is_uploaded_as_one(bench: Bench) -> None:
    job = bench.run(TELL, **TWO)
    made = model(bench, job)
    assert sorted(made) == ["algo-1.json", "algo-2.json", "shared"]
    assert made["shared"] == b"algo-1"
    uri = job["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar", "output.tar")
    assert unpacked(bench.get(uri)) == {"algo-1": b"algo-1", "algo-2": b"algo-2"}


def test_each_instance_has_a_log_stream(bench: Bench) -> None:
    name = bench.run(TELL, **TWO)["TrainingJobName"]
    for number in (1, 2):
        lines = bench.lines("/aws/sagemaker/TrainingJobs", f"{name}/algo-{number}-")
        assert lines == [f"I am algo-{number}"]


def test_a_channel_is_replicated_or_sharded_by_key(bench: Bench) -> None:
    prefix = bench.name("parts")
    for part in "abc":
        uri = bench.put(f"{prefix}/{part}.csv", part)
    uri = uri.removesuffix("/c.csv")

    def files(distribution: str) -> list[list[str]]:
        data = [channel("train", uri, S3DataDistributionType=distribution)]
        made = model(bench, bench.run(TELL, InputDataConfig=data, **TWO))
        told = [json.loads(made[f"algo-{n}.json"]) for n in (1, 2)]
        for each in told:
            mode = each["config"]["inputdataconfig"]["train"]["S3DistributionType"]
            assert mode == distribution
        return [each["files"] for each in told]

    assert files("FullyReplicated") == [["a.csv", "b.csv", "c.csv"]] * 2
    assert files("ShardedByS3Key") == [["a.csv", "c.csv"], ["b.csv"]]


def test_fast_file_channels_are_read_as_files(bench: Bench) -> None:
    uri = bench.put(f"{bench.name('fast')}/a.csv", "1,2")
    data = channel("train", uri.removesuffix("/a.csv"))
    job = bench.run(
        """
        import json, os
        assert open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.csv")).read() == "1,2"
        print(json.loads(os.environ["SM_INPUT_DATA_CONFIG"])["train"]["TrainingInputMode"])
        """,
        InputDataConfig=[{**data, "InputMode": "FastFile"}],
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert bench.job_lines(job["TrainingJobName"]) == ["FastFile"]


def test_when_one_instance_fails_the_job_fails_and_the_others_end(bench: Bench) -> None:
    job = bench.run(
        """
        import os, sys, time
        if os.environ["SM_CURRENT_HOST"] == "algo-2":
            open(os.path.join(os.environ["SM_OUTPUT_DIR"], "failure"), "w").write("no gradient")
            sys.exit(4)
        print(os.getpid(), flush=True)
        time.sleep(600)
        """,
        **TWO,
    )
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no gradient, exit code: 4"
    for line in bench.job_lines(job["TrainingJobName"]):
        until(lambda pid=int(line): is_gone(pid), bool)


def test_all_instances_share_the_checkpoints(bench: Bench) -> None:
    where = bench.name("together")
    program = """
        import os
        place = os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints")
        print(*sorted(os.listdir(place)))
        host = os.environ["SM_CURRENT_HOST"]
        open(os.path.join(place, host), "w").write(host)
        """
    config = {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/{where}"}}
    bench.run(program, **config, **TWO)
    assert bench.keys(f"{where}/") == ["algo-1", "algo-2"]
    again = bench.run(program, **config, **TWO)
    assert bench.job_lines(again["TrainingJobName"]) == ["algo-1 algo-2"] * 2


def test_two_instances_train_one_model_that_the_first_one_leaves(
    bench: Bench, tmp_path: Path
) -> None:
    settings = {"units": 8, "layers": 1, "epochs": 2, "dropout": 0.0}
    training = real_training(bench, tmp_path, settings, rows=600)
    name = bench.start("", **training, **TWO)
    made = model(bench, bench.ended(name))
    assert "manifest.json" in made
    lines = bench.job_lines(name)
    assert sum(line.startswith("[metric] epoch=2 train_loss") for line in lines) == 1
    assert "[stage] done here; algo-1 evaluates and exports" in lines
