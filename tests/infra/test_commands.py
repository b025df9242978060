"""The commands against a real local cloud, in the order in which a person uses them.

Training is a program that hands out a ready bundle; everything else is what is deployed for real.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra import local
from infra.aws import LocalSession
from infra.batch import split
from infra.commands import batch
from infra.commands.batch import Batch
from infra.lock import Lock
from infra.progress import Lines
from infra.record import RecordStore, Release
from infra.units import rounded
from infra.watch import Watch
from tests.support import projects
from tests.support.quick_training import FAILING, TRAIN, Place, Said, ready

pytestmark = pytest.mark.slow

TOML = projects.TOML.split("[sources")[0] + "[tuning]\ntrials = 0\n"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("commands")
    with ready(directory):
        yield Place(directory, TOML)


@pytest.fixture(scope="module")
def before(place: Place) -> dict[str, Said]:
    """What commands say before anything is deployed; no local cloud is started by them."""
    said = {
        name: place.run(name)
        for name in ("plan", "status", "logs", "invoke", "openapi", "promote", "destroy")
    }
    assert local.find(place.directory / "cloud") is None
    return said


@pytest.fixture(scope="module")
def deployed(before: dict[str, Said], place: Place) -> Said:
    said = place.run("deploy")
    assert said.code == 0, said.err
    return said


def test_before_a_deployment_the_plan_is_to_create_everything(before: dict[str, Said]) -> None:
    assert before["plan"].code == 0
    assert "not running" in before["plan"].out
    assert "does not exist" in before["plan"].out


def test_before_a_deployment_there_is_nothing_to_promote(before: dict[str, Said]) -> None:
    assert before["promote"].code == 1
    assert "the local cloud is not running, so no version serves" in before["promote"].err


@pytest.mark.parametrize("name", ["status", "logs", "destroy"])
def test_before_a_deployment_the_others_say_so(before: dict[str, Said], name: str) -> None:
    assert before[name].code == 0
    assert "not running" in before[name].out


def test_before_a_deployment_there_is_nothing_to_invoke(before: dict[str, Said]) -> None:
    assert before["invoke"].code == 1
    assert "make deploy" in before["invoke"].err


def test_deploy_shows_its_stages_and_ends_with_all_addresses(deployed: Said, place: Place) -> None:
    for shown in ("[1/5]", "[2/5] upload", "[3/5] train", "trial 1/1", "[4/5]", "[5/5] verify"):
        assert shown in deployed.out
    closing = deployed.out.rsplit("is InService and verified", 1)[1]
    for name in ("endpoint", "address", "checkpoints", "bundle", "report", "Try next:"):
        assert name in closing
    assert "http://127.0.0.1:" in closing
    assert closing.count("make ") == 3
    assert (place.directory / "build/small/report.html").read_text() == "<html>report</html>"


def test_deploying_again_says_that_nothing_changed(deployed: Said, place: Place) -> None:
    again = place.run("deploy")
    assert "No changes: small is InService and verified" in again.out
    assert again.out.count("no change") == 3


def test_a_deployment_is_one_release_however_often_it_is_repeated(
    deployed: Said, place: Place
) -> None:
    place.run("deploy")
    cloud = local.find(place.directory / "cloud")
    assert cloud is not None
    store = RecordStore(LocalSession(cloud), "sagemaker-us-east-1-123456789012", "small")
    (release,) = store.load().releases
    assert (release.number, release.outcome) == (1, "live")
    assert release.caused_by.startswith("make deploy")


def test_the_plan_is_then_empty_and_json_for_machines(deployed: Said, place: Place) -> None:
    assert place.run("plan").out.rstrip().endswith("No changes.")
    document = json.loads(place.run("plan", "--json").out)
    assert document["steps"] == []
    assert {item["kind"] for item in document["unchanged"]} >= {"endpoint", "model", "object"}


def test_status_is_one_screen(deployed: Said, place: Place) -> None:
    out = place.run("status").out
    for shown in ("small is InService", "1 × ml.m5.large", "Completed", "model.tar.gz", "record"):
        assert shown in out
    assert len(out.splitlines()) <= 24


def test_status_as_json_is_for_machines(deployed: Said, place: Place) -> None:
    told = json.loads(place.run("status", "--json").out)
    assert told["running"]
    assert told["endpoint"]["status"] == "InService"
    assert (told["drift"], told["pending"], told["lock"]) == ([], [], None)
    assert told["releases"][-1]["config"] == told["endpoint"]["config"]


def test_status_tells_who_is_at_work_and_how_long_ago_that_was_renewed(
    deployed: Said, place: Place
) -> None:
    running = local.find(place.directory / "cloud")
    assert running is not None
    cloud = LocalSession(running)
    store = RecordStore(cloud, "sagemaker-us-east-1-123456789012", "small")
    with Lock(cloud, store, "make retrain", Lines(0)):
        lock = json.loads(place.run("status", "--json").out)["lock"]
        assert "at work: " in place.run("status").out
    assert lock["holder"]["command"] == "make retrain"
    assert 0 <= lock["seconds_since_renewal"] < 60  # by S3's own clock
    assert not lock["lapsed"]


def test_logs_are_of_training_and_endpoint_or_of_one(deployed: Said, place: Place) -> None:
    both = place.run("logs").out
    assert "[trial] 1/1" in both
    assert '"event":"ready"' in both
    assert "[trial]" not in place.run("logs", "--endpoint").out
    assert "ready" not in place.run("logs", "--training").out
    assert len(place.run("logs", "--training", "--lines", "1").out.splitlines()) == 2


def test_before_a_deployment_there_is_no_model_to_describe(before: dict[str, Said]) -> None:
    assert before["openapi"].code == 1
    assert "make deploy" in before["openapi"].err


def test_openapi_describes_the_deployed_model(deployed: Said, place: Place) -> None:
    said = place.run("openapi")
    assert said.code == 0, said.err
    document = json.loads(said.out)
    assert document["openapi"] == "3.1.0"
    assert "distance" in document["components"]["schemas"]["Row"]["properties"]


def test_invoke_takes_a_row_of_the_data_and_says_how_to_do_it_elsewhere(
    deployed: Said, place: Place
) -> None:
    said = place.run("invoke")
    assert said.code == 0, said.err
    assert '"distance": 793' in said.out
    assert '"label"' in said.out
    assert "score = probability of true" in said.out
    assert re.search(r'"score": 0\.\d{1,7}, "scores": {', said.out)
    assert "The data says late =" in said.out
    assert "boto3.client(" in said.out
    assert "\ncurl -s --aws-sigv4" in said.out
    assert said.out.endswith("'; echo\n")


def test_the_boto3_lines_that_invoke_prints_work(deployed: Said, place: Place) -> None:
    program, _ = printed(place.run("invoke").out)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["predictions"]


def printed(said: str) -> tuple[str, str]:
    """The programs for Python and for the shell that invoke printed."""
    python, shell = said.split("which .venv/bin/python has:\n\n")[1].split(
        "\n\nThe same with curl:\n\n"
    )
    return python, shell


def test_invoke_takes_a_row_of_ones_own_or_a_file(deployed: Said, place: Place) -> None:
    row = {"distance": 5, "carrier": None}
    assert place.run("invoke", "--data", json.dumps(row)).code == 0
    file = place.directory / "rows.json"
    file.write_text(json.dumps([row, row]))
    assert place.run("invoke", "--data", str(file)).out.count('"label"') == 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('{"distance": "far", "carrier": "A1"}', "column 'distance'"),
        ('{"distance": 5}', "column 'carrier'"),
        ('[{"distance": 5, "carrier": "A1"}, {"distance": 5, "carier": "A1"}]', "row 1"),
        ('{"distance": 5', "--data: not JSON"),
        ('{"distance": NaN, "carrier": "A1"}', "NaN"),
        ("[]", "no rows"),
        ("[3]", "list of objects"),
        ("no-such-file.json", "no-such-file.json"),
    ],
)
def test_a_bad_row_is_told_with_its_place_and_the_next_good_one_succeeds(
    deployed: Said, place: Place, data: str, told: str
) -> None:
    said = place.run("invoke", "--data", data)
    assert said.code == 1
    assert said.err.startswith("error: ")
    assert told in said.err
    assert place.run("invoke").code == 0


def test_a_batch_answers_every_row_and_finds_what_it_did_before(
    deployed: Said, place: Place
) -> None:
    cells = [f'{row},{"far" if row == 7 else 100 + row},"B\n{row % 3}"' for row in range(300)]
    rows, scored = place.directory / "new.csv", place.directory / "scored.csv"
    rows.write_text("\n".join(["id,distance,carrier", *cells]) + "\n")
    words = ("batch", "--input", str(rows), "--output", str(scored), "--keep", "id")
    said = place.run(*words)
    assert said.code == 3, said.err
    assert "299 of 300 rows have a prediction" in said.out
    assert "row 7, column 'distance': a number is needed, not 'far'" in said.out
    listed = [json.loads(line) for line in scored.with_suffix(".errors.jsonl").open()]
    assert [(one["row"], one["code"]) for one in listed] == [(7, "wrong_type")]
    answers = list(csv.DictReader(scored.open()))
    assert [int(one["id"]) for one in answers] == list(range(300))
    row = {"distance": 104, "carrier": "B\n1"}
    asked = place.run("invoke", "--data", json.dumps(row)).out
    assert f'"score": {rounded(float(answers[4]["prediction.score"]), 5)}' in asked
    scored.unlink()
    again = place.run(*words)
    assert again.code == 3
    assert "no change" in again.out
    assert list(csv.DictReader(scored.open())) == answers


def transform_jobs(place: Place) -> list[str]:
    running = local.find(place.directory / "cloud")
    assert running
    listed = running.session().client("sagemaker").list_transform_jobs(MaxResults=100)
    return [job["TransformJobName"] for job in listed["TransformJobSummaries"]]


def test_two_equal_batches_at_once_share_a_job_and_leave_one_whole_output(
    deployed: Said, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, scored = place.directory / "twice.csv", place.directory / "twice.scored.csv"
    cells = [f"{row},{500 + row},B" for row in range(2000)]
    rows.write_text("\n".join(["id,distance,carrier", *cells]) + "\n")
    before = transform_jobs(place)
    both, upload, put = threading.Barrier(2, timeout=60), Batch._upload, batch._put

    def together(*given: Any) -> None:
        upload(*given)
        both.wait()  # neither has asked for the job yet

    def together_at_last(*given: Any) -> None:
        both.wait()
        put(*given)

    monkeypatch.setattr(Batch, "_upload", together)
    monkeypatch.setattr(batch, "_put", together_at_last)

    def one() -> str:
        out = io.StringIO()
        args = argparse.Namespace(
            **{"project": str(place.project), "target": "local", "keep": "id"},
            **{"input": str(rows), "output": str(scored)},
        )
        Batch(args).run(Lines(4, out))
        return out.getvalue()

    with ThreadPoolExecutor(2) as pool:
        said = [each.result() for each in [pool.submit(one), pool.submit(one)]]
    assert sorted("is under way already" in each for each in said) == [False, True]
    assert len(transform_jobs(place)) == len(before) + 1
    answers = list(csv.DictReader(scored.open()))
    assert [int(answer["id"]) for answer in answers] == list(range(2000))
    assert all(answer["prediction.score"] for answer in answers)


def test_parts_of_another_version_are_not_gone_on_with(
    deployed: Said, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, scored = place.directory / "parts.csv", place.directory / "parts.scored.csv"
    cells = [f"{row},{700 + row},B" for row in range(50)]
    rows.write_text("\n".join(["id,distance,carrier", *cells]) + "\n")
    words = ("batch", "--input", str(rows), "--output", str(scored), "--keep", "id")
    monkeypatch.setitem(split.__kwdefaults__, "most_rows", 9)
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "until", _interrupted)  # while its job runs
        assert place.run(*words).code == 130
    monkeypatch.setitem(split.__kwdefaults__, "most_rows", 20)
    said = place.run(*words)
    assert said.code == 0, said.err
    answers = list(csv.DictReader(scored.open()))
    assert [int(answer["id"]) for answer in answers] == list(range(50))
    assert all(answer["prediction.score"] for answer in answers)


def _interrupted(*given: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--input", "", "--output", "out.csv"], "INPUT=rows.csv"),
        (["--input", "no-such.csv", "--output", "out.csv"], "no-such.csv"),
        (["--input", "{rows}", "--output", "{rows}"], "is a file of the input"),
        (["--input", "{rows}", "--output", "out.txt"], "the name ends in '.txt'"),
        (["--input", "{rows}", "--output", "o.csv", "--keep", "ids"], "Did you mean 'id'"),
        (["--input", "s3://no-such-bucket/x", "--output", "o.csv"], "no such bucket"),
    ],
)
def test_a_batch_that_cannot_be_says_why_and_starts_nothing(
    deployed: Said, place: Place, given: list[str], told: str
) -> None:
    rows = place.directory / "few.csv"
    rows.write_text("id,distance,carrier\n1,2,A1\n")
    said = place.run("batch", *(word.format(rows=rows) for word in given))
    assert said.code == 1
    assert told in said.err


def test_an_endpoint_becomes_asynchronous_and_scaled_and_real_time_again(
    deployed: Said, place: Place
) -> None:
    file = place.project / "project.toml"
    file.write_text(TOML + '[endpoint]\nmode = "async"\nscaling = { min = 0, max = 2 }\n')
    said = place.run("deploy")
    assert said.code == 0, said.err
    assert "create scaling policy small-backlog-" in said.out
    _delete_alarms_of_scaling(place)
    told = place.run("status").out
    assert re.findall(r"Drift: scaling policy small-(\w+)-\w+: its alarm is gone", told) == [
        *("backlog", "wake")
    ]
    assert "update scaling policy small-wake-" in place.run("deploy").out
    assert "Drift" not in place.run("status").out
    assert "No changes" in place.run("deploy").out
    out = place.run("invoke").out
    assert "/endpoints/small/async-invocations" in out
    for interpreter, program in zip(([sys.executable], ["sh"]), printed(out), strict=True):
        done = subprocess.run(
            [*interpreter, "-c", program], capture_output=True, text=True, timeout=60, check=True
        )
        assert '"predictions"' in done.stdout, done.stderr
    shown = place.run("status").out
    assert re.search(r"mode +async, answers to s3://\S+/small/async/out", shown)
    assert re.search(r"instances +\d of \d wanted, scaled within 0 to 2\n", shown), shown
    assert re.search(r"backlog +\d+ requests", shown)
    file.write_text(TOML)
    assert "cannot become realtime" in place.run("plan").out
    said = place.run("deploy")
    assert said.code == 0, said.err
    assert "delete scalable target" in said.out
    assert "No changes" in place.run("deploy").out


def _delete_alarms_of_scaling(place: Place) -> None:
    running = local.find(place.directory / "cloud")
    assert running
    client = running.session().client("cloudwatch")
    names = [one["AlarmName"] for one in client.describe_alarms()["MetricAlarms"]]
    assert len(names) == 3  # above and below the target, and with nobody there
    client.delete_alarms(AlarmNames=names)


CANARY = 'rollout = { percent = 40, bake = "1s", alarms = "none" }\n'


def test_new_endpoint_settings_update_it_in_steps_without_training(
    deployed: Said, place: Place
) -> None:
    file = place.project / "project.toml"
    file.write_text(TOML + '[endpoint]\ninstance = "ml.c5.large"\n' + CANARY)
    assert "Traffic moves to the new version" in place.run("plan").out
    said = place.run("deploy")
    file.write_text(TOML + '[endpoint]\ninstance = "ml.c5.large"\n')
    assert said.code == 0, said.err
    assert "trial" not in said.out
    for share in (40, 100):
        assert f"watching the new version: {share} % of the traffic, 1.0 s" in said.out
    assert "1 × ml.c5.large" in place.run("status").out
    told = evidence(place, said.out)
    for reading in (told["golden_before"], told["golden_after"]):
        assert reading["rows"] == reading["agreed"] > 0
        assert (reading["failed"], reading["median"] > 0) == (0, True)
    assert told["golden_after"]["config"] == told["new"] != told["old"]
    assert told["outcome"] == "live"


def evidence(place: Place, said: str) -> dict[str, Any]:
    """The evidence that a command says it has left in S3."""
    running = local.find(place.directory / "cloud")
    assert running is not None
    (uri,) = re.findall(r"s3://\S+/report\.md", said)
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3 = running.session().client("s3")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read().startswith(b"# small: small-")
    written = s3.get_object(Bucket=bucket, Key=key.replace("report.md", "evidence.json"))
    document: dict[str, Any] = json.loads(written["Body"].read())
    return document


def test_an_alarm_brings_the_old_version_back_and_the_command_fails(
    deployed: Said, place: Place
) -> None:
    file = place.project / "project.toml"
    good, config = file.read_text(), releases(place)[-1].config
    alarm = {"AlarmName": "mine", "MetricName": "m", "Namespace": "n", "Statistic": "Sum"}
    rule = {"Period": 3600, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
    running = local.find(place.directory / "cloud")
    assert running is not None
    cloudwatch = running.session().client("cloudwatch")
    cloudwatch.put_metric_alarm(**alarm, **rule, Threshold=1.0)
    time.sleep(1)  # it is judged once when it is new, and then not for an hour
    cloudwatch.set_alarm_state(AlarmName="mine", StateValue="ALARM", StateReason="7 were too many")
    line = 'rollout = { bake = "30s", alarms = ["mine"] }\n'
    file.write_text(TOML + '[endpoint]\ninstance = "ml.c5.xlarge"\n' + line)
    said = place.run("deploy")
    file.write_text(good)
    assert said.code == 1
    assert f"went back to {config}" in said.err
    assert "Alarm mine went off: 7 were too many" in said.err
    assert releases(place)[-1].outcome == "rolled back"
    told = evidence(place, said.err)
    assert (told["outcome"], told["alarms"]) == ("failed", {"mine": "ALARM: 7 were too many"})
    assert config in place.run("status").out


def test_a_version_that_answers_wrongly_is_taken_back(
    deployed: Said, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = place.run("status").out
    file = place.project / "project.toml"
    good = file.read_text()
    file.write_text(TOML + '[endpoint]\ninstance = "ml.c5.xlarge"\n')
    monkeypatch.setattr("infra.smoke.differs", lambda got, wanted: "score is 0, not 1")
    said = place.run("deploy")
    file.write_text(good)
    assert said.code == 1
    assert "golden row 0 came back different" in said.err
    assert "taken back (update_endpoint)" in said.err
    told = evidence(place, said.err)
    assert (told["outcome"], told["golden_after"]) == ("failed", None)
    assert "golden row 0" in told["reason"]
    config = next(line for line in status.splitlines() if "config" in line)
    assert config in place.run("status").out


def test_a_version_is_tried_beside_the_old_one_and_promoted(deployed: Said, place: Place) -> None:
    file = place.project / "project.toml"
    good = file.read_text()
    assert "none to promote" in place.run("promote").err
    file.write_text(TOML + '[endpoint]\ninstance = "ml.c5.4xlarge"\nab = { share = "20%" }\n')
    said = place.run("deploy")
    assert said.code == 0, said.err
    told = evidence(place, said.out)
    assert told["golden_after"]["agreed"] == told["golden_after"]["rows"]
    shown = place.run("status").out
    assert re.search(r"AllTraffic +small-\w+ \(release \d+\): 80% of the answers", shown)
    candidate = (
        r"Candidate +small-\w+ \(release \d+\): 20% of the answers; ml.c5.4xlarge, 1 of 1 wa"
    )
    assert re.search(rf"{candidate}nted; since \S+ \S+ UTC [1-9]\d* requests, 0", shown)
    out = place.run("invoke").out
    python, _ = printed(out)
    answered = re.search(r"from model \w+ \((AllTraffic|Candidate)\)", out)
    assert answered is not None
    assert f'TargetVariant="{answered[1]}"' in python
    assert "AllTraffic 80%, Candidate 20%" in out
    said = place.run("promote")
    assert said.code == 0, said.err
    shown = place.run("status").out
    assert "Candidate" not in shown
    assert "1 × ml.c5.4xlarge" in shown
    assert "No changes" in place.run("deploy").out
    file.write_text(good)


def test_a_shadow_gets_copies_and_rollback_brings_the_release_before_back(
    deployed: Said, place: Place
) -> None:
    file = place.project / "project.toml"
    good, before = file.read_text(), releases(place)[-1]
    file.write_text(TOML + '[endpoint]\ninstance = "ml.c5.9xlarge"\nshadow = { share = 1.0 }\n')
    said = place.run("deploy")
    assert said.code == 0, said.err
    assert place.run("invoke").code == 0
    shown = place.run("status").out
    assert re.search(r"Candidate +small-\w+ \(release \d+\): copies of 100% of the requests", shown)
    said = place.run("rollback")
    file.write_text(good)
    assert said.code == 0, said.err
    assert f"serves release {before.number}" in said.out
    last = releases(place)[-1]
    assert (last.config, last.outcome) == (before.config, "live")
    shown = place.run("status").out
    assert f"#{last.number} live, " in shown
    assert f"#{before.number} was live, " in shown
    again = place.run("rollback", "--to", str(before.number))
    assert f"release {before.number} serves already" in again.err


def releases(place: Place) -> tuple[Release, ...]:
    """What the record says was rolled out."""
    running = local.find(place.directory / "cloud")
    assert running is not None
    cloud = LocalSession(running)
    bucket = f"sagemaker-{cloud.account.region}-{cloud.account.id}"
    return RecordStore(cloud, bucket, "small").load().releases


def test_training_that_fails_is_told_with_its_reason_and_the_old_version_serves(
    deployed: Said, place: Place
) -> None:
    program = place.directory / "train.py"
    program.write_text(FAILING)
    said = place.run("deploy")
    program.unlink()
    assert said.code == 1
    assert "the data has only one class" in said.err
    assert "reading 100 rows" in said.err
    assert "Traceback" not in said.err
    assert place.run("invoke").code == 0


@contextlib.contextmanager
def deploying(place: Place, until: str) -> Iterator[subprocess.Popen[str]]:
    """A deployment in a process of its own, at the moment when it has printed `until`."""
    words = ["tests.support.quick_training", str(place.directory), "deploy"]
    process = subprocess.Popen(
        [sys.executable, "-m", *words, "--project", str(place.project)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any(until in line for line in process.stdout)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_the_job_running_and_the_next_deploy_attaches_to_it(
    deployed: Said, place: Place, how: signal.Signals
) -> None:
    gate = place.directory / "gate"
    gate.touch()
    (place.directory / "train.py").write_text(TRAIN + f"print('another program, {how.name}')\n")
    with deploying(place, until="trial 1/1") as process:
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "goes on by itself" in err
    assert "make deploy" in err
    assert "Traceback" not in err
    with deploying(place, until="attach training job") as process:
        gate.unlink()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "small is InService and verified" in out


def test_a_second_deploy_waits_for_the_first_and_then_finds_everything_there(
    deployed: Said, place: Place
) -> None:
    gate = place.directory / "gate"
    gate.touch()
    (place.directory / "train.py").write_text(TRAIN + "print('two at once')\n")
    with (
        deploying(place, until="trial 1/1") as first,
        deploying(place, until=f"process {first.pid}") as second,
    ):
        gate.unlink()
        out, err = first.communicate(timeout=60)
        assert first.returncode == 0, err
        assert "create endpoint config" in out
        out, err = second.communicate(timeout=60)
        assert second.returncode == 0, err
        assert "No changes" in out


def test_destroy_deletes_it_and_keeps_a_cloud_in_which_somebody_has_a_bucket(
    deployed: Said, place: Place
) -> None:
    cloud = local.find(place.directory / "cloud")
    assert cloud is not None
    s3 = cloud.session().client("s3")
    s3.create_bucket(Bucket="rows-of-mine")
    said = place.run("destroy")
    assert said.code == 0, said.err
    assert "it is stopped" not in said.out
    assert "goes on, since this lives in it: bucket rows-of-mine." in said.out
    assert "python -m infra.local stop` ends all of it" in said.out
    assert "stay under s3://sagemaker-us-east-1-123456789012/small/" in said.out
    assert f"make destroy PROJECT={place.project} ALL=1" in said.out
    assert "is not deployed" in place.run("destroy").out
    told = place.run("invoke").err
    assert told == f"error: small is not deployed. Deploy it: make deploy PROJECT={place.project}\n"
    assert "is not deployed" in place.run("status").out
    s3.delete_bucket(Bucket="rows-of-mine")
    assert place.run("deploy").code == 0


def test_destroy_deletes_it_and_stops_the_cloud_in_which_nothing_else_lives(
    deployed: Said, place: Place
) -> None:
    said = place.run("destroy")
    assert said.code == 0, said.err
    assert said.out.count("endpoint small\n") == 1
    assert "it is stopped" in said.out
    assert local.find(place.directory / "cloud") is None
