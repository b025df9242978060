"""Workers do tasks side by side, outlive no parent, and their death costs one task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.jobs import ROOT
from training import workers
from training.workers import Crash, Crew

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
PATIENCE = 60
"""Seconds after which something that should have happened is given up; it takes a fraction."""


def nothing() -> None:
    """What a worker needs to do first."""


def own_number(_: bytes) -> bytes:
    return str(os.getpid()).encode()


def obey(task: bytes) -> bytes:
    """Dies by the signal that the task names, or ends with 3, or answers."""
    if task.isdigit():
        os.kill(os.getpid(), int(task))
    if task == b"leave":
        os._exit(3)
    return task.upper()


def results(crew: Crew, tasks: list[bytes]) -> dict[int, bytes | Crash]:
    """What became of each task."""
    left, found = list(enumerate(tasks)), {}
    while len(found) < len(tasks):
        while left and crew.idle:
            crew.start(*left.pop(0))
        number, result = crew.finished()
        found[number] = result
    return found


def alive(process: int) -> bool:
    """Whether it runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


def ended(processes: list[int]) -> bool:
    """Whether all of them end in time."""
    deadline = time.monotonic() + PATIENCE
    while any(alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(alive(process) for process in processes)


def test_tasks_are_done_in_as_many_processes_as_asked_for_and_these_are_kept() -> None:
    with Crew(2, own_number, nothing) as crew:
        crew.start(0, b"")
        crew.start(1, b"")
        assert not crew.idle
        first = dict([crew.finished(), crew.finished()])
        again = results(crew, [b""] * 6)
    assert len(set(first.values())) == 2
    assert set(again.values()) <= set(first.values())
    assert ended([int(process) for process in first.values() if isinstance(process, bytes)])


def test_one_worker_is_this_process() -> None:
    with Crew(1, own_number, nothing) as crew:
        assert results(crew, [b"", b""]) == dict.fromkeys((0, 1), str(os.getpid()).encode())


def test_a_worker_that_dies_costs_its_task_and_no_other() -> None:
    tasks = [b"a", b"9", b"b", b"31", b"leave", b"c"]
    with Crew(2, obey, nothing) as crew:
        found = results(crew, tasks)
    assert [found[number] for number in (0, 2, 5)] == [b"A", b"B", b"C"]
    assert "SIGKILL: memory may have run out" in str(found[1])
    assert str(found[3]) == "its process was killed by SIGSYS"
    assert str(found[4]) == "its process ended with code 3"


def test_a_worker_leaves_signals_for_its_group_to_its_parent() -> None:
    both = [str(int(sent)).encode() for sent in (signal.SIGTERM, signal.SIGINT)]
    with Crew(2, obey, nothing) as crew:
        assert results(crew, both) == dict(enumerate(both))


def test_a_worker_killed_while_it_waits_is_replaced() -> None:
    with Crew(2, own_number, nothing) as crew:
        before = int(results(crew, [b""])[0])  # type: ignore[arg-type]
        os.kill(before, signal.SIGKILL)
        assert ended([before])
        after = results(crew, [b"", b"", b""])
    assert {type(result) for result in after.values()} == {bytes}


def test_workers_that_cannot_begin_are_crashes_not_an_endless_row_of_forks(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken() -> None:
        raise OSError("no such library")

    with Crew(2, obey, broken) as crew:
        found = results(crew, [b"a", b"b", b"c"])
    assert [str(result) for result in found.values()] == ["its process ended with code 1"] * 3
    assert "no such library" in capfd.readouterr().err


PARENT = """
import os, time
from training.workers import Crew

def sleep(task):
    os.write(1, b"%d\\n" % os.getpid())
    while True:  # busy, as in a long operation
        pass

with Crew(3, sleep, lambda: None) as crew:
    for number in range(3):
        crew.start(number, b"")
    crew.finished()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent_however_that_ends(
    parent: subprocess.Popen[str], how: signal.Signals
) -> None:
    assert parent.stdout is not None
    children = [int(parent.stdout.readline()) for _ in range(3)]
    assert all(alive(child) for child in children)
    parent.send_signal(how)
    parent.wait(PATIENCE)
    assert ended(children)


@pytest.mark.parametrize(("bytes_each", "count"), [(2 << 30, 2), (10 << 30, 1), (1 << 20, 8)])
def test_memory_and_cores_decide_how_many_there_are(
    monkeypatch: pytest.MonkeyPatch, bytes_each: int, count: int
) -> None:
    monkeypatch.setattr(workers.memory, "allowance", lambda: 4 << 30)
    monkeypatch.setattr(workers, "cores", lambda: 8)
    assert workers.most(bytes_each) == count


def test_the_cores_are_those_that_this_process_may_use() -> None:
    own = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(own)})
        assert workers.cores() == 1
    finally:
        os.sched_setaffinity(0, own)
