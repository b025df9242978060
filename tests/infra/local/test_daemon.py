from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra import local
from infra.local import door, record
from infra.local.processes import Ledger
from shared.errors import LocalCloudError
from tests.support.local_cloud import BUCKET, Bench, is_gone, until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of a test's own; whatever runs there ends with the test."""
    monkeypatch.delenv("LOCAL_CLOUD_PORT", raising=False)
    place = tmp_path / "cloud"
    yield place
    local.stop(place)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own that nobody needs."""
    with subprocess.Popen(SLEEPER, start_new_session=True) as process:
        yield process
        process.kill()


def test_it_is_started_once_found_again_and_stopped(root: Path) -> None:
    assert local.find(root) is None
    assert local.stop(root) is False
    cloud = local.ensure(root)
    assert local.ensure(root) == cloud
    assert local.find(root) == cloud
    assert (cloud.region, cloud.account) == ("us-east-1", "123456789012")
    assert local.stop(root) is True
    assert local.find(root) is None
    assert is_gone(cloud.pid)
    assert not (root / "work").exists()


def test_two_that_start_it_at_once_get_the_same_one(root: Path) -> None:
    found: list[local.LocalCloud] = []
    starting = [threading.Thread(target=lambda: found.append(local.ensure(root))) for _ in range(2)]
    for each in starting:
        each.start()
    for each in starting:
        each.join()
    assert len(found) == 2
    assert found[0] == found[1]


def test_it_runs_in_a_session_of_its_own_and_on_the_loopback_address_only(root: Path) -> None:
    cloud = local.ensure(root)
    assert os.getsid(cloud.pid) == cloud.pid
    port = urlsplit(cloud.url).port
    assert port is not None
    assert urlsplit(cloud.url).hostname == "127.0.0.1"
    with pytest.raises(OSError, match=r".*"), socket.create_connection(("127.0.0.2", port), 1):
        pass


def test_the_port_can_be_chosen_and_a_busy_one_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        monkeypatch.setenv("LOCAL_CLOUD_PORT", str(port))
        with pytest.raises(LocalCloudError, match=f"cannot listen on port {port}") as error:
            local.ensure(root)
        assert error.value.where == "LOCAL_CLOUD_PORT"
        assert error.value.cure
    assert local.ensure(root).url == f"http://127.0.0.1:{port}"


def test_a_port_that_is_no_number_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_CLOUD_PORT", "eighty")
    with pytest.raises(LocalCloudError, match="port eighty"):
        local.ensure(root)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_it_started_outlives_it(root: Path, tmp_path: Path, how: signal.Signals) -> None:
    bench = Bench(local.ensure(root), tmp_path)
    job = bench.start(
        """
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(os.getpid(), below.pid, flush=True)
        time.sleep(600)
        """
    )
    lines = until(lambda: bench.job_lines(job), bool)
    pids = [int(pid) for pid in lines[0].split()]
    pids.append(bench.about(bench.deploy())["pid"])
    os.kill(bench.cloud.pid, how)
    for pid in [bench.cloud.pid, *pids]:
        until(lambda pid=pid: is_gone(pid), bool)
    assert local.find(root) is None


def test_after_a_crash_a_new_one_is_started_in_its_place(root: Path) -> None:
    first = local.ensure(root)
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: is_gone(first.pid), bool)
    assert local.find(root) is None
    second = local.ensure(root)
    assert second.pid != first.pid
    assert local.find(root) == second


def test_a_daemon_that_hangs_is_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = local.ensure(root)
    os.kill(first.pid, signal.SIGSTOP)
    monkeypatch.setattr(record, "HEALTH_TIMEOUT", 1.0)
    monkeypatch.setattr(door, "STOP_GRACE", 0.1)
    assert local.ensure(root).pid != first.pid
    assert is_gone(first.pid)


def test_a_record_whose_pid_was_given_to_somebody_else_harms_nobody(
    root: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    root.mkdir()
    stale = {"pid": sleeper.pid, "started": "another boot/12345", "port": 9}
    (root / "cloud.json").write_text(json.dumps(stale))
    assert local.find(root) is None
    assert local.ensure(root).pid != sleeper.pid
    assert sleeper.poll() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_record_is_no_record(root: Path, content: str) -> None:
    root.mkdir()
    (root / "cloud.json").write_text(content)
    assert local.find(root) is None
    assert local.stop(root) is False


def test_leftovers_are_ended_by_their_recorded_ids_and_nothing_else_is(
    root: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    with subprocess.Popen(SLEEPER, start_new_session=True) as leftover:
        ledger = Ledger(root / "processes")
        ledger.add(leftover.pid, leftover.pid)
        other = ledger.add(sleeper.pid, sleeper.pid)
        entry = json.loads(other.read_text())
        for member in entry["members"]:
            member["started"] = "another boot/12345"
        other.write_text(json.dumps(entry))
        local.ensure(root)
        assert leftover.wait(10) == -signal.SIGKILL
    assert sleeper.poll() is None
    assert list((root / "processes").iterdir()) == []


def test_a_command_whose_guard_is_killed_is_ended_too(root: Path, tmp_path: Path) -> None:
    bench = Bench(local.ensure(root), tmp_path)
    job = bench.start("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    pid = int(until(lambda: bench.job_lines(job), bool)[0])
    os.kill(os.getpgid(pid), signal.SIGKILL)
    until(lambda: is_gone(pid), bool)
    assert bench.ended(job)["TrainingJobStatus"] == "Failed"


def test_a_daemon_that_cannot_start_tells_its_last_words(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moto.py").write_text("raise ImportError('moto is broken here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(LocalCloudError, match="moto is broken here") as error:
        local.ensure(root)
    assert error.value.where == str(root / "cloud.log")
    assert local.find(root) is None


def test_a_full_disk_is_said_before_anything_is_started(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 5 << 20))
    with pytest.raises(LocalCloudError, match="the disk has 5 MiB left") as error:
        local.ensure(root)
    assert error.value.cure == "Make room on the disk."
    assert not (root / "cloud.json").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalCloudError, match="cannot use its directory") as error:
        local.ensure(tmp_path / "file" / "cloud")
    assert str(tmp_path / "file") in str(error.value.where)


def test_its_environment_beats_whatever_the_user_has_set(root: Path, tmp_path: Path) -> None:
    cloud = local.ensure(root)
    (tmp_path / "config").write_text(
        "[profile real]\nregion = eu-west-1\nendpoint_url = http://x\n"
    )
    user = {
        "AWS_PROFILE": "real",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_REGION": "eu-west-1",
    }
    script = (
        "import boto3; s = boto3.Session(); c = s.get_credentials(); k = s.client('s3');"
        "print(c.access_key, c.token or None, s.region_name, k.meta.endpoint_url)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **user, **cloud.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == [cloud.access_key, "None", "us-east-1", cloud.url]


def test_its_key_changes_at_each_start_and_is_kept_from_other_users(root: Path) -> None:
    first = local.ensure(root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    local.stop(root)
    second = local.ensure(root)
    assert first.access_key != second.access_key


def test_its_session_ignores_profiles_and_endpoints_of_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nonsense")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    cloud = local.ensure(root)
    client = cloud.session().client("sts", endpoint_url="https://sts.us-east-1.amazonaws.com")
    assert client.meta.endpoint_url == cloud.url
    assert client.get_caller_identity()["Account"] == cloud.account


def test_a_proxy_for_the_outside_is_not_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "intranet.test")
    cloud = local.ensure(root)
    session = cloud.session()
    session.client("s3").create_bucket(Bucket=BUCKET)
    names = [bucket.name for bucket in session.resource("s3").buckets.all()]
    script = "import boto3; print(*[b.name for b in boto3.resource('s3').buckets.all()])"
    shown = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **cloud.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == names == [BUCKET]
    assert cloud.environment()["no_proxy"].startswith("intranet.test,")


@pytest.mark.parametrize("whole", [True, False], ids=["directory", "record"])
def test_a_daemon_whose_record_was_deleted_ends(root: Path, *, whole: bool) -> None:
    cloud = local.ensure(root)
    if whole:
        shutil.rmtree(root)
    else:
        (root / "cloud.json").unlink()
    until(lambda: is_gone(cloud.pid), bool)
    assert local.ensure(root).pid != cloud.pid


def test_a_start_that_is_cut_short_leaves_no_daemon(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def interrupted(root: Path, process: subprocess.Popen[bytes]) -> None:
        started.append(process.pid)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("infra.local.door._wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            local.ensure(root)
    assert is_gone(started[0])
    assert local.ensure(root).pid not in started


def test_the_shell_commands_start_show_and_stop_it(root: Path) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.local", *words, "--root", str(root)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert command("status").returncode == 1
    started = command("start")
    assert started.returncode == 0, started.stderr
    cloud = local.find(root)
    assert cloud is not None
    assert f"export AWS_ENDPOINT_URL={cloud.url}" in started.stdout
    assert cloud.url in command("status").stdout
    stopped = command("stop")
    assert "what it held is gone" in stopped.stdout
    assert local.find(root) is None
    assert "--root" in command("--help").stdout


def test_a_mistake_on_the_shell_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = subprocess.run(
        [sys.executable, "-m", "infra.local", "start", "--root", str(tmp_path / "file" / "x")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1


def test_drivers_with_unquoted_paths_run_where_the_directory_has_a_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCAL_CLOUD_PORT", raising=False)
    place = tmp_path / "John's place"
    try:
        bench = Bench(local.ensure(place), tmp_path)
        bench.put("drivers/start.sh", "cat /opt/ml/input/config/resourceconfig.json\n")
        data = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/drivers"}
        request = bench.job_request(
            "",
            InputDataConfig=[{"ChannelName": "sm_drivers", "DataSource": {"S3DataSource": data}}],
        )
        request["AlgorithmSpecification"] |= {
            "ContainerEntrypoint": ["/bin/bash"],
            "ContainerArguments": ["-c", "/bin/bash /opt/ml/input/data/sm_drivers/start.sh"],
        }
        bench.sagemaker.create_training_job(**request)
        job = bench.ended(request["TrainingJobName"])
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert "localhost" in bench.job_lines(job["TrainingJobName"])[0]
    finally:
        local.stop(place)
    aliases = Path("/tmp").glob("local-cloud-*/work")
    assert place / "work" not in {alias.readlink() for alias in aliases}


def test_a_directory_that_is_not_its_own_is_neither_used_nor_emptied(tmp_path: Path) -> None:
    mine = tmp_path / "work" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of it")
    assert local.stop(tmp_path) is False
    with pytest.raises(LocalCloudError, match="did not make") as error:
        local.ensure(tmp_path)
    assert "LOCAL_CLOUD_ROOT" in str(error.value.cure)
    assert mine.read_text() == "years of it"
