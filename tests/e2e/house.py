"""A copy of the project in which `make` runs as a newcomer runs it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests/support/recording"
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".local", "build", "projects", "__pycache__", ".*_cache", ".hypothesis"
)


@dataclass(frozen=True)
class Said:
    """What one command printed, and how it ended."""

    code: int
    out: str
    err: str

    def figure(self, part: str, metric: str) -> float:
        """One score of the closing lines, such as ("test", "auc")."""
        line = re.search(rf"^\s+{part}\s+(.*)$", self.out, re.MULTILINE)
        assert line, self.out
        found = re.search(rf"\b{metric} (-?[0-9.]+)", line.group(1))
        assert found, line.group(1)
        return float(found.group(1))


class House:
    """A project folder of its own, with its own local cloud.

    Args:
        folder: where it is.
        calls: where the AWS calls of everything that `make` starts are written down.
    """

    def __init__(self, folder: Path, calls: Path) -> None:
        self.folder = folder
        self._recording = {"PYTHONPATH": str(RECORDING), "RECORD_CALLS": str(calls)}

    def _start(self, *words: str) -> subprocess.Popen[str]:
        inherited = ("MAKE", "MFLAGS", "PROJECT", "TARGET")
        free = {k: v for k, v in os.environ.items() if not k.startswith(inherited)}
        return subprocess.Popen(
            ["make", *words],
            cwd=self.folder,
            env={**free, **self._recording, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def make(self, *words: str, seconds: float = 280) -> Said:
        """Run `make` to its end."""
        process = self._start(*words)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Said(process.returncode, out, err)

    def interrupted(self, *words: str, at: str, seconds: float = 280) -> Said:
        """Run `make` and press Ctrl-C when it prints `at`."""
        process = self._start(*words)
        watchdog = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        lines = []
        assert process.stdout
        try:
            for line in process.stdout:
                lines.append(line)
                if at in line:
                    os.killpg(process.pid, signal.SIGINT)
                    break
            out, err = process.communicate()
        finally:
            watchdog.cancel()
        return Said(process.returncode, "".join(lines) + out, err)


@contextmanager
def built(folder: Path, calls: Path) -> Iterator[House]:
    """A copy of the project; its local cloud ends with it."""
    environment = Path(sys.prefix)
    if not (environment / "deploy.stamp").exists():
        pytest.skip("the Makefile's environment is needed: run `make test`")
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    (folder / ".venv").symlink_to(environment)
    try:
        yield House(folder, calls)
    finally:
        stop = [sys.executable, "-m", "infra.local", "stop"]
        subprocess.run(stop, cwd=folder, check=True, timeout=60)
