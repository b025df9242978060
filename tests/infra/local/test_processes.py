from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from infra.local.processes import Ledger, Process, identity, is_alive, remove_tree
from tests.support.local_cloud import is_gone, until

pytestmark = pytest.mark.slow


def start(place: Path, *command: str) -> Process:
    return Process(
        command, cwd=place, environment=dict(os.environ), ledger=Ledger(place / "processes")
    )


def python(place: Path, program: str) -> Process:
    return start(place, sys.executable, "-c", program)


def test_a_process_gives_its_output_and_its_exit_code(tmp_path: Path) -> None:
    process = python(tmp_path, "import sys; print('out'); print('err', file=sys.stderr); exit(4)")
    with process.output as output:
        assert sorted(output.read().split()) == [b"err", b"out"]
    assert process.wait(30) == 4


def test_a_command_that_does_not_exist_says_so(tmp_path: Path) -> None:
    process = start(tmp_path, "no-such-command")
    with process.output as output:
        assert output.read() == b"cannot start no-such-command: No such file or directory\n"
    assert process.wait(30) == 127


def test_sigterm_ends_a_process_even_when_it_comes_at_once(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "600")
    assert process.stop(30) == -signal.SIGTERM
    process.output.close()


def test_what_a_command_started_ends_with_it(tmp_path: Path) -> None:
    process = python(
        tmp_path,
        "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)",
    )
    with process.output as output:
        below = int(output.read())
    assert process.wait(30) == 0
    until(lambda: is_gone(below), bool)


def test_the_ledger_knows_what_runs_and_forgets_what_has_ended(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "600")
    assert len(list((tmp_path / "processes").iterdir())) == 1
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    process.output.close()
    assert list((tmp_path / "processes").iterdir()) == []


def test_telling_a_process_that_has_ended_is_harmless(tmp_path: Path) -> None:
    process = start(tmp_path, "true")
    assert process.wait(30) == 0
    process.terminate()
    process.kill()
    process.output.close()


def test_a_process_is_known_by_its_start_not_only_by_its_pid() -> None:
    started = identity(os.getpid())
    assert started is not None
    assert is_alive(os.getpid(), started)
    assert not is_alive(os.getpid(), "another boot/1")


def test_removing_files_leaves_alone_where_links_lead(tmp_path: Path) -> None:
    private, place = tmp_path / "private", tmp_path / "place"
    private.mkdir(mode=0o700)
    (place / "model").mkdir(parents=True)
    (place / "model" / "link").symlink_to(private)
    (place / "model").chmod(0o555)
    remove_tree(place)
    assert not place.exists()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
