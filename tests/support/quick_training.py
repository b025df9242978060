"""The command line with a training archive that is done at once: it hands out a ready bundle.

Everything else is real: packaging, plan, calls, the local cloud's job, and the model server. As a
program (``python -m tests.support.quick_training <directory> <command> …``) it stands for
``python -m infra``.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra import local, package, watch
from infra.__main__ import main, program
from shared.schema import Column
from tests.support import bundles, projects

COLUMNS = (Column("distance", "numeric"), Column("carrier", "category", min_count=1))
ROWS = [{"distance": 100.0 + row, "carrier": "AB"[row % 2] + str(row % 3)} for row in range(100)]

TRAIN = """\
import os, pathlib, shutil, sys, time
print("[stage] read", flush=True)
print("[trial] 1/1 val_loss=0.5 best=0.5 {dropout=0.2}", flush=True)
here = pathlib.Path(__file__).parent
while pathlib.Path((here / "gate").read_text()).exists():
    time.sleep(0.05)
shutil.copytree(here / "bundle", os.environ["SM_MODEL_DIR"], dirs_exist_ok=True)
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "report.html").write_text("<html>report</html>")
print("[metric] epoch=1 val_loss=0.5", flush=True)
"""
FAILING = """\
import os, pathlib
print("reading 100 rows", flush=True)
pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("the data has only one class")
raise SystemExit(1)
"""


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def code(directory: Path) -> dict[str, bytes]:
    """The archive's files: a bundle, made once in `directory`, and what hands it out.

    While there is a file ``gate`` in `directory`, the job waits; a file ``train.py`` there takes
    the place of the program.
    """
    bundle = directory / "bundle"
    if not bundle.exists():
        bundles.build(bundle, columns=COLUMNS, training_rows=ROWS, source=False)
    files = {
        f"bundle/{path.relative_to(bundle).as_posix()}": path.read_bytes()
        for path in sorted(bundle.rglob("*"))
        if path.is_file()
    }
    program = directory / "train.py"
    files["train.py"] = program.read_bytes() if program.exists() else TRAIN.encode()
    files["gate"] = str(directory / "gate").encode()
    return files


@contextlib.contextmanager
def installed(directory: Path) -> Iterator[None]:
    """Commands of this process train with `code`, look often, and build below `directory`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "training_code", lambda: code(directory))
        patch.setattr("infra.prepare.ROOT", directory)
        patch.setenv("LOCAL_CLOUD_ROOT", str(directory / "cloud"))
        patch.setitem(watch._PAUSE, "local", (0.2, 0.2))
        yield


def command(*words: str) -> Said:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


class Place:
    """A project, and a directory with a local cloud of its own."""

    def __init__(self, directory: Path, toml: str) -> None:
        self.directory = directory
        self.project = projects.make(directory / "project", toml).parent

    def run(self, name: str, *words: str) -> Said:
        """Run one command on the project."""
        return command(name, "--project", str(self.project), *words)


@contextlib.contextmanager
def ready(directory: Path) -> Iterator[None]:
    """Commands of this process are those of `installed`; the local cloud ends with the block."""
    with installed(directory):
        try:
            yield
        finally:
            local.stop(directory / "cloud")


def run(arguments: Sequence[str]) -> int:
    """The program."""
    with installed(Path(arguments[0])):
        return program(arguments[1:])


if __name__ == "__main__":
    os.environ["PYTHONUNBUFFERED"] = "1"
    sys.exit(run(sys.argv[1:]))
