"""What commands do where the cloud is not on this machine: they ask, and tell what has gone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra import project
from infra.commands import logs
from infra.policy import execution_policy
from infra.prepare import prepare
from infra.record import Entry, Record, RecordStore
from tests.support import projects
from tests.support.fake_cloud import FakeCloud
from tests.support.quick_training import Said, command

BUCKET = "sagemaker-us-east-1-123456789012"
ENTRIES = [
    Entry("role", "small-us-east-1-execution"),
    Entry("training job", "small-0123456789ab"),
    Entry("model", "small-111111111111"),
    Entry("endpoint config", "small-222222222222"),
    Entry("endpoint", "small"),
]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """An account in which the small project was deployed and everything but the record is gone."""
    cloud = FakeCloud(local=False)
    cloud.buckets.add(BUCKET)
    RecordStore(cloud, BUCKET, "small").save(Record("small").having(ENTRIES))
    monkeypatch.setattr("infra.aws.find", lambda target, aws: cloud)
    return cloud


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return projects.make(tmp_path)


def run(name: str, file: Path, *words: str) -> Said:
    return command(name, "--project", str(file), "--target", "aws", *words)


def test_destroy_asks_and_without_an_answer_deletes_nothing(cloud: FakeCloud, file: Path) -> None:
    before = dict(cloud.objects)
    said = run("destroy", file)
    assert said.code == 1
    assert "endpoint small" in said.out
    assert "Nothing was deleted" in said.out
    assert cloud.objects == before
    assert not [call for call in cloud.calls if call.startswith(("stop", "delete_e", "delete_r"))]


def test_destroy_with_yes_deletes_and_says_what_stays(cloud: FakeCloud, file: Path) -> None:
    cloud.models["small-111111111111"] = {}
    said = run("destroy", file, "--yes")
    assert said.code == 0, said.err
    assert cloud.models == {}
    assert f"s3://{BUCKET}/small/" in said.out


def test_destroy_with_the_data_leaves_nothing_in_s3(cloud: FakeCloud, file: Path) -> None:
    cloud.objects["small/checkpoints/1"] = b"x"
    assert run("destroy", file, "--yes", "--data").code == 0
    assert cloud.objects == {}


def test_status_tells_what_is_recorded_but_gone(cloud: FakeCloud, file: Path) -> None:
    said = run("status", file)
    assert said.code == 0, said.err
    assert "Recorded but gone: endpoint small" in said.out
    assert "Put it back: make deploy" in said.out
    assert "TARGET=aws" in said.out


def test_status_of_a_project_that_was_never_deployed_says_so(cloud: FakeCloud, file: Path) -> None:
    cloud.objects.clear()
    assert "is not deployed here" in run("status", file).out


def test_logs_follow_until_told_to_stop(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.logs["job/1"] = ["old"]

    def pause(seconds: float) -> None:
        if len(cloud.logs["job/1"]) > 2:
            raise KeyboardInterrupt
        cloud.logs["job/1"].append("new")

    monkeypatch.setattr(logs.time, "sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        logs.follow(cloud, [("job", "group", "job/")])
    assert capsys.readouterr().out.split() == ["new", "new"]


def test_data_in_s3_is_planned_where_it_lies(
    cloud: FakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    cloud.objects["rows/part-1.parquet"] = b"x"
    toml = projects.TOML.replace('"rows.csv"', '"s3://elsewhere/rows/"')
    plan = prepare(project.load(projects.make(tmp_path, toml)), cloud)
    job: Mapping[str, Any] = plan.desired.job.request(1)
    train = next(one for one in job["InputDataConfig"] if one["ChannelName"] == "train")
    assert train["DataSource"]["S3DataSource"]["S3Uri"] == "s3://elsewhere/rows/"
    assert "arn:aws:s3:::elsewhere/rows/*" in (plan.desired.role.policy or "")
    assert not [step for step in plan.steps if "rows" in step.name]


def test_a_region_other_than_the_first_is_named_when_its_bucket_is_made(
    cloud: FakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    cloud.account = replace(cloud.account, region="eu-central-1")
    plan = prepare(project.load(projects.make(tmp_path)), cloud)
    assert plan.desired.bucket.request()["CreateBucketConfiguration"] == {
        "LocationConstraint": "eu-central-1"
    }


def test_the_policy_for_a_whole_bucket_is_for_no_other_bucket() -> None:
    policy = execution_policy("small", BUCKET, ["s3://elsewhere"], "123456789012", "us-east-1")
    assert "arn:aws:s3:::elsewhere/*" in json.dumps(policy)
    assert "arn:aws:s3:::elsewhere*" not in json.dumps(policy)
