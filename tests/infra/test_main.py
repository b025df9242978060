"""The command line: help at once, one message for an error, nothing heavy before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.__main__ import COMMANDS, fail
from shared.errors import DataError
from tests.support import projects
from tests.support.quick_training import command

ROOT = Path(__file__).parent.parent.parent


def test_help_lists_every_command() -> None:
    said = command("--help")
    assert said.code == 0
    assert all(name in said.out for name in COMMANDS)
    assert command("help").out == said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_on_a_command_says_what_it_does(name: str) -> None:
    said = command("help", name)
    assert said.code == 0
    assert (COMMANDS[name].__doc__ or "none").splitlines()[0] in said.out
    assert command(name, "--help").out == said.out


def test_an_unknown_command_is_a_usage_error() -> None:
    said = command("deplyo")
    assert said.code == 2
    assert "deploy" in said.err


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from infra.__main__ import parser\n"
        "parser().format_help()\n"
        "heavy = {'boto3', 'botocore', 'pydantic', 'pyarrow', 'rich', 'moto', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_error_is_one_message_on_stderr(tmp_path: Path) -> None:
    file = projects.make(tmp_path, projects.TOML.replace("target", "targt"))
    said = command("plan", "--project", str(file))
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"error: {file}")
    assert "Traceback" not in said.err


def test_the_traceback_is_shown_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_DEBUG", "1")
    assert "Traceback" in command("plan", "--project", str(tmp_path)).err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DataError("no rows", where="rows.csv"), "error: rows.csv: no rows\n"),
        (OSError(28, "No space left on device", "/data"), "error: /data: the disk is full"),
        (PermissionError(13, "Permission denied", "/data"), "error: /data: no permission"),
        (RuntimeError("odd"), "RuntimeError: odd. KIT_DEBUG=1"),
    ],
)
def test_any_error_is_told_without_a_traceback(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(error, "deploy") == 1
    assert told in capsys.readouterr().err
