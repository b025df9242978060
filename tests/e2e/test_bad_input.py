"""Each mistake gets one message that names the place and the cure, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.house import House

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def rewrite(old: str, new: str) -> Callable[[Path], None]:
    def change(project: Path) -> None:
        file = project / "project.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return change


def table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def apply(project: Path) -> None:
        file = project / "data/adult.parquet"
        pq.write_table(change(pq.read_table(file)), file)

    return apply


def garbage(project: Path) -> None:
    (project / "data/adult.parquet").write_bytes(b"PAR1 but not really")


def one_class(data: pa.Table) -> pa.Table:
    place = data.column_names.index("class")
    return data.set_column(place, "class", pa.array(["<=50K"] * data.num_rows))


def no_ages(data: pa.Table) -> pa.Table:
    return data.set_column(0, "age", pa.nulls(data.num_rows, pa.int64()))


MISTAKES = {
    "a missing file": (rewrite("data/adult.parquet", "data/adults.parquet"), "adults.parquet"),
    "an unreadable file": (garbage, "adult.parquet"),
    "a target that is no column": (rewrite('"class"', '"clas"'), "'class'"),
    "one class only": (table(one_class), "class"),
    "an all-missing column": (table(no_ages), "age"),
    "a misspelt key": (rewrite("[tuning]", "[tunning]"), "tuning"),
    "an S3 location that does not exist": (
        rewrite("data/adult.parquet", "s3://no-such-bucket-here/adult/"),
        "no-such-bucket-here",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_deploy_refuses(mistake: str, house: House) -> None:
    change, named = MISTAKES[mistake]
    project = house.folder / "projects" / re.sub(r"\W", "_", mistake)
    for source in (house.folder / "examples/adult").rglob("*"):
        if source.is_file():
            copy = project / source.relative_to(house.folder / "examples/adult")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    change(project)
    said = house.make("deploy", f"PROJECT={project.relative_to(house.folder)}")
    message = [line for line in said.err.splitlines() if not line.startswith("make:")]
    assert said.code != 0
    assert message, said.out
    assert message[0].startswith("error: ")
    assert named in said.err
    assert "Traceback" not in said.err + said.out
    assert "create training job" not in said.out


def test_a_busy_port_is_named(other_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("LOCAL_CLOUD_PORT", str(port))
        said = other_house.make("deploy")
    assert said.code != 0
    assert said.err.startswith("error: ")
    assert str(port) in said.err
    assert "Traceback" not in said.err


def test_a_local_cloud_that_was_killed_is_noticed(other_house: House) -> None:
    other_house.make("plan")
    subprocess.run(
        [sys.executable, "-m", "infra.local", "start"],
        cwd=other_house.folder,
        check=True,
        timeout=60,
    )
    pid = json.loads((other_house.folder / ".local/cloud.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    status = other_house.make("status")
    assert "Traceback" not in status.err
    assert "InService" not in status.out
    subprocess.run(
        [sys.executable, "-m", "infra.local", "start"],
        cwd=other_house.folder,
        check=True,
        timeout=60,
    )
