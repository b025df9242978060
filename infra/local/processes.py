"""Processes: who they are, starting them so that none outlives the daemon, and ending leftovers.

A process is known by its pid and its start time together, so that a pid that was given to
somebody else is never signalled. Each child is started behind `guard`, which kills the child's
whole process group when the daemon is gone, however it went. Should a guard itself have been
killed, the ledger in the state directory tells the next start what to end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

GUARD = Path(__file__).with_name("guard.py")


def identity(pid: int) -> str | None:
    """When `pid` was started, in a form that differs between boots; None if it is not alive."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def is_alive(pid: int, started: str) -> bool:
    """Whether `pid` is still the process that was started then."""
    return identity(pid) == started


def end(pid: int, started: str, grace: float) -> None:
    """SIGTERM, then SIGKILL after `grace` seconds, if `pid` is still the process meant."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        if not is_alive(pid, started):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while is_alive(pid, started) and time.monotonic() < deadline:
            time.sleep(0.02)


class Ledger:
    """Which processes a daemon started: one small file each, gone again when the process ended."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def add(self, group: int, pid: int) -> Path:
        """Write down a guard (it leads `group`) and the command it started."""
        entry = self.directory / f"{group}.json"
        members = [{"pid": each, "started": identity(each)} for each in (group, pid)]
        temporary = entry.with_suffix(".new")
        temporary.write_text(json.dumps({"group": group, "members": members}))
        temporary.replace(entry)
        return entry

    def end_leftovers(self) -> int:
        """Kill the groups that outlived their daemon; how many there were."""
        ended = 0
        for entry in sorted(self.directory.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                record = json.loads(entry.read_text())
                for member in record["members"]:
                    pid, started = int(member["pid"]), member["started"]
                    if started and is_alive(pid, started) and os.getpgid(pid) == record["group"]:
                        os.killpg(record["group"], signal.SIGKILL)
                        ended += 1
                        break
            entry.unlink(missing_ok=True)
        return ended


class Process:
    """One command in a process group of its own, behind a guard.

    ``output`` carries what the whole group writes to stdout and stderr, and ends with it.
    """

    def __init__(
        self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], ledger: Ledger
    ) -> None:
        control_read, self._control = os.pipe()
        report_read, report_write = os.pipe()
        self._open = True
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._exit_code = -int(signal.SIGKILL)
        guard = [sys.executable, "-I", "-S", str(GUARD), str(control_read), str(report_write)]
        try:
            self._guard = subprocess.Popen(
                [*guard, *command],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(control_read, report_write),
                start_new_session=True,
            )
        except OSError:
            os.close(self._control)
            os.close(report_read)
            raise
        finally:
            os.close(control_read)
            os.close(report_write)
        assert self._guard.stdout is not None
        self.output: IO[bytes] = self._guard.stdout
        report = os.fdopen(report_read, "rb")
        words = report.readline().split()
        self.pid = int(words[1]) if words else self._guard.pid
        self._entry = ledger.add(self._guard.pid, self.pid)
        threading.Thread(target=self._follow, args=(report,), daemon=True).start()

    def _follow(self, report: IO[bytes]) -> None:
        with report:
            words = report.readline().split()
        if not words:  # killed itself; until it is waited for, the group's number is still its own
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._guard.pid, signal.SIGKILL)
        self._guard.wait()
        with self._lock:
            self._open = False
            os.close(self._control)
        if words:
            self._exit_code = int(words[1])
        self._entry.unlink(missing_ok=True)
        self._ended.set()

    def wait(self, timeout: float | None = None) -> int | None:
        """The command's exit code (−n when signal n ended it), or None when it still runs."""
        return self._exit_code if self._ended.wait(timeout) else None

    def _tell(self, word: bytes) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            if self._open:
                os.write(self._control, word)

    def terminate(self) -> None:
        """SIGTERM to the command itself, as a container's stop does."""
        self._tell(b"T")

    def kill(self) -> None:
        """SIGKILL to the command and everything it started."""
        self._tell(b"K")

    def stop(self, grace: float) -> int:
        """SIGTERM, SIGKILL after `grace` seconds; the exit code."""
        self.terminate()
        code = self.wait(grace)
        if code is None:
            self.kill()
            code = self.wait()
        assert code is not None
        return code


def remove_tree(path: Path) -> None:
    """Remove a process's files, even where its model is read-only."""
    for each in path.rglob("*"):
        if each.is_dir() and not each.is_symlink():  # where a link leads is not ours
            each.chmod(0o755)
    shutil.rmtree(path, ignore_errors=True)
