"""Starts servers for the benchmark, each in a process group of its own, and stops them all.

Between its turns a server sleeps (SIGSTOP), so that what it does when idle disturbs no other. The
environment of the servers that are not the kit's is made here, too.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Server
from tests.support.serving import free_port

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".venv-bench"
LOCK = ROOT / "benchmarks" / "servers" / "requirements.txt"
START_SECONDS = 90
STOP_SECONDS = 10


class StartError(Exception):
    """A server does not answer /ping; the message says why."""


@dataclass(frozen=True)
class Running:
    """A server that answers /ping.

    Args:
        server: what it is.
        port: where it listens, on 127.0.0.1.
        group: its process group.
        seconds: from the start of its process to the first 200 of /ping.
    """

    server: Server
    port: int
    group: int
    seconds: float

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Its turn."""
        _signal(self.group, signal.SIGCONT)
        try:
            yield
        finally:
            self.sleep()

    def sleep(self) -> None:
        """Stop every process of the group until its turn comes."""
        _signal(self.group, signal.SIGSTOP)

    def memory(self) -> float:
        """Megabytes of its processes; what they share counts once (Linux's PSS)."""
        total = 0
        for process in self._processes():
            with contextlib.suppress(OSError):
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024

    def cpu_seconds(self) -> float:
        """Processor time of its processes so far."""
        ticks = sum(sum(map(int, _stat(process)[11:13])) for process in self._processes())
        return ticks / os.sysconf("SC_CLK_TCK")

    def others_seconds(self) -> float:
        """Processor time so far of all that is neither the server nor this program.

        A process that ended counts with its parent's children. The time of interrupts is no
        process's, and so is not in it: most of that is the measuring's own network traffic.
        """
        stats = [_stat(one) for one in Path("/proc").glob("[0-9]*") if one.name != str(os.getpid())]
        others = (stat for stat in stats if stat and int(stat[2]) != self.group)
        return sum(sum(map(int, stat[11:15])) for stat in others) / os.sysconf("SC_CLK_TCK")

    def _processes(self) -> list[Path]:
        return [one for one in Path("/proc").glob("[0-9]*") if group_of(one) == self.group]


def group_of(process: Path) -> int | None:
    """The process group of /proc/<pid>; None when it is gone."""
    stat = _stat(process)
    return int(stat[2]) if stat else None


def _stat(process: Path) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; none of a process that is gone."""
    with contextlib.suppress(OSError):
        return (process / "stat").read_text().rpartition(")")[2].split()
    return []


@contextlib.contextmanager
def running(server: Server, bundle: Path, request: Path, workers: int = 2) -> Iterator[Running]:
    """`server`, answering; its whole process group is ended on leaving.

    Args:
        server: what to start.
        bundle: what it serves.
        request: a file with the body that a server with one answer answers.
        workers: processes that answer.

    Raises:
        StartError: it does not answer /ping.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        port = free_port()
        words = [word.format(port=port, workers=workers) for word in server.command]
        log = Path(folder) / "log"
        started = time.perf_counter()
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [python(server), *words],
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "SM_MODEL_DIR": str(bundle.resolve()),
                    "SERVER_ADDRESS": "127.0.0.1",
                    "SAGEMAKER_BIND_TO_PORT": str(port),
                    "MODEL_SERVER_WORKERS": str(workers),
                    "BENCHMARK_REQUEST": str(request.resolve()),
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                },
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            while not _answers(port):
                if process.poll() is not None or time.perf_counter() > started + START_SECONDS:
                    said = log.read_text(errors="replace")[-3000:]
                    raise StartError(f"{server.name} does not start:\n{said}")
                time.sleep(0.005)
            yield Running(server, port, process.pid, time.perf_counter() - started)
        finally:
            _stop(process)


def python(server: Server) -> str:
    """The Python that runs `server`."""
    return sys.executable if server.kit else str(ENVIRONMENT / "bin" / "python")


def install() -> None:
    """Make the environment of the other servers, unless it is there and as its lock says."""
    stamp = ENVIRONMENT / f"{LOCK.stem}.stamp"
    if stamp.exists() and stamp.stat().st_mtime >= LOCK.stat().st_mtime:
        return
    script = str(ROOT / "requirements" / "install.py")
    if subprocess.run([sys.executable, script, ENVIRONMENT, LOCK], check=False).returncode:
        sys.exit(1)


def missing(server: Server) -> str | None:
    """Why `server` cannot run here, if so."""
    if server.program and not shutil.which(server.program):
        return f"{server.program} is not installed"
    return None


def _answers(port: int) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", "/ping")
        return client.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the group: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGCONT):
        _signal(process.pid, number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
