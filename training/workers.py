"""Processes that work side by side: forked from this one, warm, and gone when it is gone.

A worker begins with everything that this process has imported and read; memory is shared until one
of them writes. So whatever does not survive a fork (TensorFlow's threads, once it has run an
operation) must not have begun here. A worker that dies (killed for its memory, a segmentation
fault) costs the task it had; the next task gets a new one. If this process ends, however it ends,
the kernel ends the workers.

Here: how many there can be, and bytes to and from them. Not here: what the work is (tuning.py,
trials.py). Linux only; elsewhere there is one at a time, in this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from training import memory

END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
EASY_PREY = "500"
"""Added to a worker's score when memory runs out (proc(5), oom_score_adj): it goes, not the job."""

Work = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Crash:
    """A worker that ended in the middle of a task."""

    code: int

    def __str__(self) -> str:
        if self.code >= 0:
            return f"its process ended with code {self.code}"
        name = signal.Signals(-self.code).name
        why = ": memory may have run out" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{why}"


class Crew:
    """Up to `count` processes that do one task each at a time.

    Leaving its `with` block ends all of them at once.

    Args:
        count: of processes; each is forked when it is first needed. With 1 there is none: the task
            is done in this process, and what it raises passes.
        work: a task's bytes → its result's.
        begin: what each worker does first.
    """

    def __init__(self, count: int, work: Work, begin: Callable[[], None]) -> None:
        self._count = count
        self._work = work
        self._begin = begin
        self._done: list[tuple[int, bytes]] = []
        self._waiting: list[_Worker] = []
        self._busy: dict[Connection, tuple[int, _Worker]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in [*self._waiting, *(worker for _, worker in self._busy.values())]:
            worker.end()

    @property
    def idle(self) -> bool:
        """Whether another task can begin now."""
        return len(self._busy) + len(self._done) < self._count

    def start(self, number: int, task: bytes) -> None:
        """Give a task to a worker."""
        if self._count == 1:
            self._done.append((number, self._work(task)))
            return
        worker = self._take() or _Worker(self._begin, self._work)
        with contextlib.suppress(OSError):  # it has died: `finished` will say so
            worker.pipe.send_bytes(task)
        self._busy[worker.pipe] = number, worker

    def finished(self) -> tuple[int, bytes | Crash]:
        """Wait for the next task that ends: its number, and what became of it."""
        if self._done:
            return self._done.pop()
        pipe: Any = wait(list(self._busy))[0]
        number, worker = self._busy.pop(pipe)
        try:
            result: bytes = pipe.recv_bytes()
        except (EOFError, OSError):
            return number, Crash(worker.end())
        self._waiting.append(worker)
        return number, result

    def _take(self) -> _Worker | None:
        """One of those that wait and live."""
        while self._waiting:
            worker = self._waiting.pop()
            if worker.lives():
                return worker
            worker.end()
        return None


class _Worker:
    # Not multiprocessing's Process: at exit that waits for children which a signal, arriving
    # between fork and bookkeeping, has left to nobody. Here the kernel ends such a one.
    def __init__(self, begin: Callable[[], None], work: Work) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self._code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self._process = os.fork()
        if self._process == 0:
            _serve(parent, theirs, begin, work)
        theirs.close()

    def lives(self) -> bool:
        """Whether it has not ended."""
        self._collect(os.WNOHANG)
        return self._code is None

    def end(self) -> int:
        """Kill it unless it has ended; its exit code, negative for a signal."""
        self.pipe.close()
        if self.lives():
            os.kill(self._process, signal.SIGKILL)
        return self._collect()

    def _collect(self, how: int = 0) -> int:
        if self._code is None:
            process, status = os.waitpid(self._process, how)
            if process:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code or 0


def _serve(parent: int, pipe: Connection, begin: Callable[[], None], work: Work) -> NoReturn:
    """A worker's life; it never returns to what its parent was doing."""
    code = 1
    try:
        # Ctrl-C and a stopped container reach the whole group; the parent decides what ends when.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
        if os.getppid() == parent:
            with contextlib.suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text(EASY_PREY)
            begin()
            while True:
                pipe.send_bytes(work(pipe.recv_bytes()))
    except EOFError:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def cores() -> int:
    """The cores that this process may use: by affinity, and by its container's quota."""
    import joblib

    return int(joblib.cpu_count())


def most(bytes_each: int) -> int:
    """How many workers this machine has cores and memory for; 1 where there can be none.

    Args:
        bytes_each: the memory that each needs for itself.
    """
    if sys.platform != "linux":
        return 1
    return max(1, min(cores(), memory.allowance() // bytes_each))
