"""What commands do where the cloud is not on this machine: they ask, and tell what has gone."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra import lock, project, watch
from infra.commands import logs
from infra.grants import document
from infra.lock import Lock
from infra.policy import execution_grants
from infra.prepare import prepare
from infra.progress import Lines
from infra.record import Entry, Record, RecordStore
from tests.support import projects
from tests.support.fake_cloud import FakeCloud, refused
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


def test_destroy_tells_each_name_once(
    cloud: FakeCloud, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.commands.destroy.confirmed", lambda question: True)
    asked = run("destroy", file, "--data")
    assert asked.code == 0, asked.err
    assert asked.out.count("model small-111111111111") == 1
    assert "done: 1 of 6" in asked.out
    assert "done: 6 of 6" in asked.out
    RecordStore(cloud, BUCKET, "small").save(Record("small").having(ENTRIES))
    assert run("destroy", file, "--yes").out.count("model small-111111111111") == 1


def test_destroy_with_the_data_leaves_nothing_in_s3(cloud: FakeCloud, file: Path) -> None:
    cloud.objects["small/checkpoints/1"] = b"x"
    assert run("destroy", file, "--yes", "--data").code == 0
    assert cloud.objects == {}


def test_status_tells_what_is_recorded_but_gone(cloud: FakeCloud, file: Path) -> None:
    said = run("status", file)
    assert said.code == 0, said.err
    assert "Drift: endpoint small: recorded but gone" in said.out
    assert "Put it right: make deploy" in said.out
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
    policy = document(
        execution_grants("small", BUCKET, ["s3://elsewhere"], "123456789012", "us-east-1")
    )
    assert "arn:aws:s3:::elsewhere/*" in json.dumps(policy)
    assert "arn:aws:s3:::elsewhere*" not in json.dumps(policy)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCloud:
    """An account in which nothing is yet but the serving image; prices cannot be asked."""
    cloud = FakeCloud(local=False)
    monkeypatch.setattr(cloud, "client", lambda service: None)
    monkeypatch.setattr("infra.prepare.has_docker", lambda: True)
    monkeypatch.setattr("infra.aws.find", lambda target, aws: cloud)
    monkeypatch.setattr("infra.aws.connect", lambda target, aws: cloud)
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    monkeypatch.setattr("infra.package.ROOT", tmp_path)
    return cloud


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that is packed in no time."""
    monkeypatch.setattr("infra.package.training_code", lambda: {"train.py": b"code"})
    monkeypatch.setattr("infra.package.serving_code", lambda *root: {"serve": b"code"})
    monkeypatch.setattr("infra.package.image_code", lambda: {"serve.py": b"code"})


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> list[str]:
    """A terminal on which this is typed; what was asked."""
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    return asked


class Terminal(io.StringIO):
    """Standard input that somebody sits at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("code")
def test_the_plan_tells_what_it_costs_or_that_nobody_knows(account: FakeCloud, file: Path) -> None:
    said = run("plan", file)
    assert said.code == 0, said.err
    assert re.search(r"Cost of the endpoint: 1 × ml\.m5\.large: price unknown \(.+\)", said.out)
    assert "Cost of the training: 1 × ml.m5.xlarge for 10 min at most: price unknown" in said.out
    assert "there is no endpoint yet" in said.out
    assert re.search(r"\n\d+ to create, \d+ unchanged\.", said.out)
    found = json.loads(run("plan", file, "--json").out)["costs"]
    assert {cost["what"] for cost in found} == {"endpoint", "training"}
    assert all(cost["most"] is None and cost["currency"] == "USD" for cost in found)


@pytest.mark.usefixtures("code")
def test_deploy_shows_the_plan_and_without_a_terminal_changes_nothing(
    account: FakeCloud, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    said = run("deploy", file)
    assert said.code == 1
    assert "create  endpoint" in said.out
    assert "YES=1" in said.err
    assert account.state == FakeCloud().state


@pytest.mark.usefixtures("code")
def test_deploy_asks_and_no_means_that_nothing_is_changed(
    account: FakeCloud, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, "")
    said = run("deploy", file)
    assert said.code == 1
    assert len(asked) == 1
    assert "Nothing was changed." in said.out
    assert account.state == FakeCloud().state


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("words", [(), ("--yes",)], ids=["answered", "said beforehand"])
def test_yes_executes_the_plan(
    account: FakeCloud, file: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    asked = answering(monkeypatch, "y")
    monkeypatch.setitem(watch._PAUSE, "aws", (0.01, 0.01))
    account.job_ends = "Failed"
    said = run("deploy", file, *words)
    assert len(asked) == (0 if words else 1)
    assert "the data has no rows" in said.err
    assert account.jobs
    assert "small/lock.json" not in account.objects


@pytest.mark.usefixtures("code")
def test_what_another_made_since_the_plan_ends_a_first_deployment(
    account: FakeCloud, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = account.create_bucket

    def overtaken(**call: Any) -> None:
        create(**call)
        account.create_role("small-us-east-1-execution")

    monkeypatch.setattr(account, "create_bucket", overtaken)
    said = run("deploy", file, "--yes")
    assert said.code == 1
    assert "while its plan was looked at" in said.err
    assert account.jobs == {}


def test_destroy_waits_for_who_is_at_work(
    cloud: FakeCloud, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordStore(cloud, BUCKET, "small")
    other = Lock(cloud, store, "make deploy TARGET=aws", Lines(0, io.StringIO()))
    other.acquire()
    monkeypatch.setitem(lock._PAUSE, "aws", 0.01)
    threading.Timer(0.1, other.release).start()
    said = run("destroy", file, "--yes")
    assert said.code == 0, said.err
    assert "Another command is at work on small" in said.out
    assert "`make deploy TARGET=aws`" in said.out


@pytest.mark.usefixtures("code")
def test_a_quota_that_is_too_small_ends_a_deployment_before_anything_is_made(
    account: FakeCloud, file: Path
) -> None:
    account.quotas = {"ml.m5.large for endpoint usage": 0}
    said = run("deploy", file, "--yes")
    assert said.code == 1
    assert "'ml.m5.large for endpoint usage'" in said.err
    assert account.state == FakeCloud().state


def test_how_to_set_an_alarm_off_names_the_region_of_the_project(
    cloud: FakeCloud, file: Path
) -> None:
    alarms = {"Alarms": [{"AlarmName": "slow"}]}
    cloud.endpoints["small"] = {
        "EndpointName": "small",
        "EndpointStatus": "Updating",
        "EndpointConfigName": "a",
        "LastDeploymentConfig": {"AutoRollbackConfiguration": alarms},
    }
    said = run("rollback", file, "--yes")
    assert said.code == 1
    assert "aws --region us-east-1 cloudwatch set-alarm-state --alarm-name slow" in said.err


@pytest.mark.usefixtures("code")
def test_scaling_that_is_refused_is_told_and_the_verified_version_is_a_release(
    account: FakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = SimpleNamespace(metrics={"test": {"auc": 0.75}}, digest="0" * 64)
    bundle = SimpleNamespace(manifest=manifest)
    golden = SimpleNamespace(records=[{}], predictions=[{}])
    monkeypatch.setattr("infra.outputs.fetch_bundle", lambda *place: bundle)
    monkeypatch.setattr("infra.outputs.fetch_report", lambda *place: None)
    monkeypatch.setattr("infra.smoke.asked", lambda *served: (None, golden))
    monkeypatch.setattr("infra.smoke.verify", lambda *rows: 1)
    monkeypatch.setitem(watch._PAUSE, "aws", (0.0, 0.0))
    file = projects.make(tmp_path, projects.TOML + "[endpoint]\nscaling = { max = 2 }\n")
    register = account.register_scalable_target

    def refuse(**call: Any) -> None:
        raise refused("RegisterScalableTarget", "AccessDeniedException", "you may not")

    monkeypatch.setattr(account, "register_scalable_target", refuse)
    said = run("deploy", file, "--yes")
    assert said.code == 1
    assert "create scalable target small" in said.err
    assert "you may not (AccessDeniedException)" in said.err
    assert re.search(
        r"verified and recorded; `make deploy .*TARGET=aws` does what is left", said.err
    )
    store = RecordStore(account, BUCKET, "small")
    assert [one.outcome for one in store.load().releases] == ["live"]
    assert store.load().of("scalable target") == ()
    monkeypatch.setattr(account, "register_scalable_target", register)
    said = run("deploy", file, "--yes")
    assert said.code == 0, said.err
    assert account.targets == {"endpoint/small/variant/AllTraffic": (1, 2)}
    assert len(store.load().releases) == 1
