"""The command line: help at once, one message for an error, nothing heavy before it is needed."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from infra.__main__ import COMMANDS, fail
from infra.commands.words import typed
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


MISTYPED = {
    "a release in words": (
        ("rollback", "--to", "abc"),
        "TO (--to): 'abc' is no whole number, 1 or more. For example: make rollback TO=2",
    ),
    "a release before the first": (("rollback", "--to", "0"), "'0' is no whole number, 1 or more"),
    "a version in words": (
        ("deploy", "--version", "x"),
        "VERSION (--version): 'x' is no whole number, 1 or more. For example: make deploy",
    ),
    "a version to approve": (("approve", "--version", "v3"), "For example: make approve VERSION=3"),
    "lines in words": (("logs", "--lines", "all"), "For example: --lines 100"),
    "another target": (
        ("plan", "--target", "gcp"),
        "TARGET (--target): 'gcp' is none of local, aws. For example: TARGET=local",
    ),
    "an unknown option": (("plan", "--fast"), "unrecognized arguments: --fast."),
    "a missing option": (("init", "--data", "a.csv"), "are required: --label."),
    "an unknown command": (("deplyo",), "there is no command 'deplyo'. Did you mean 'deploy'?"),
}


@pytest.mark.parametrize("name", MISTYPED)
def test_what_is_typed_wrong_is_answered_in_one_line_with_what_to_give(name: str) -> None:
    words, told = MISTYPED[name]
    said = command(*words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


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


def test_a_terminal_without_our_characters_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,größe\n" + "".join(f"{n},{n % 2}\n" for n in range(100)))
    done = subprocess.run(
        [sys.executable, "-m", "infra", "init", "--data", "rows.csv", "--label", "größe"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "predict gr\\xf6\\xdfe" in done.stdout


@pytest.mark.parametrize("name", ["my project", "it's; $HOME"])
def test_make_hands_on_what_it_is_given_and_what_is_to_be_typed_can_be_typed(name: str) -> None:
    row = f'{{"name": "{name}"}}'
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/deploy.stamp", "invoke", f"PROJECT={name}", f"DATA={row}"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))},
        capture_output=True,
        text=True,
        check=True,
    )
    line = done.stdout.splitlines()[-1].replace(".venv/bin/python -m infra", "printf '%s|'")
    values = {"PROJECT": name, "TARGET": "local", "DATA": row}
    said = subprocess.run(
        ["/bin/sh", "-c", line],
        env={**os.environ, **values},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == f"invoke|--project|{name}|--target|local|--data|{row}|"
    typed_ = typed("deploy", argparse.Namespace(project=name, target="local"))
    assert shlex.split(typed_) == ["make", "deploy", f"PROJECT={name}"]
