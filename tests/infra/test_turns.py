"""One command at a time on this machine: who waits is told for whom, and leaves nothing."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.progress import Lines
from infra.turns import NAME, alone


class Second:
    """One who comes second, and what he is shown; others act while he waits."""

    def __init__(self, build: Path, *meanwhile: Callable[[], object]) -> None:
        self.build = build
        self.out = io.StringIO()
        self.meanwhile = list(meanwhile)

    def sleep(self, seconds: float) -> None:
        self.meanwhile.pop(0)()

    def work(self) -> None:
        with alone(self.build, "make tune", Lines(1, self.out), self.sleep):
            assert "make tune" in (self.build / NAME).read_text()


def held(build: Path, command: str = "make deploy PROJECT=x") -> ExitStack:
    """Somebody at work, until it is closed."""
    first = ExitStack()
    first.enter_context(alone(build, command, Lines(1, io.StringIO())))
    return first


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return tmp_path / "small"


def test_who_comes_second_is_told_for_whom_he_waits_and_what_to_do(build: Path) -> None:
    first = held(build)
    second = Second(build, lambda: None, first.close)
    second.work()
    told = second.out.getvalue()
    assert told.count("Another command is at work on small on this machine") == 1
    assert f"`make deploy PROJECT=x` (process {os.getpid()}), since " in told
    assert "goes on by itself" in told
    assert f"kill {os.getpid()}" in told


def test_the_one_that_is_waited_for_is_told_anew_when_it_changes(build: Path) -> None:
    first = held(build)
    later = ExitStack()

    def third_takes_it() -> None:
        first.close()
        later.push(held(build, "make retrain"))

    second = Second(build, third_takes_it, lambda: None, later.close)
    second.work()
    assert second.out.getvalue().count("Another command") == 2
    assert "`make retrain`" in second.out.getvalue()


def test_ending_the_wait_leaves_the_holder_s_words_alone(build: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with held(build):
        before = (build / NAME).read_text()
        with pytest.raises(KeyboardInterrupt):
            Second(build, interrupt).work()
        assert (build / NAME).read_text() == before


def test_nothing_is_left_however_the_work_ends(build: Path) -> None:
    with pytest.raises(KeyboardInterrupt), held(build):
        raise KeyboardInterrupt
    assert (build / NAME).read_text() == ""
    Second(build).work()


def test_what_a_killed_one_left_is_nobody_s_and_is_not_read(build: Path) -> None:
    build.mkdir()
    (build / NAME).write_text('{"command": "make deploy"')
    second = Second(build)
    second.work()
    assert second.out.getvalue() == ""


def test_one_that_has_not_yet_said_who_it_is_is_waited_for_too(build: Path) -> None:
    first = held(build)
    (build / NAME).write_text("")
    second = Second(build, first.close)
    second.work()
    assert "one that has just begun" in second.out.getvalue()
