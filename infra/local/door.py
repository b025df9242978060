"""The door: start the local cloud, find it, stop it, and hand out clients for it.

One state directory has at most one daemon. It runs in a session of its own, so that Ctrl-C in the
command that started it does not reach it, and is known by its record (`record`), which is checked
against the process's start time and by asking the daemon itself. Leftovers of a daemon that did
not end well are ended before a new one starts.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local import environment, processes
from infra.local.record import FILE, Record
from shared.errors import LocalCloudError

REPOSITORY = Path(__file__).resolve().parents[2]
LOG = "cloud.log"
LOCK = "cloud.lock"
START_TIMEOUT = 60.0
STOP_GRACE = 10.0
ROOM_NEEDED = 200 * 1024 * 1024

_started: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class LocalCloud:
    """A running local cloud.

    Attributes:
        root: its state directory.
        url: the address of every service in it.
        pid: its daemon's process.
        access_key: what its clients must know; made anew by each start.
    """

    root: Path
    url: str
    pid: int
    access_key: str
    region: str = environment.REGION
    account: str = environment.ACCOUNT

    def environment(self) -> dict[str, str]:
        """Variables that point any AWS SDK, and the AWS CLI, at this cloud and nowhere else."""
        return environment.client(self.url, self.root, self.access_key)

    def session(self) -> Any:
        """A boto3 session of this cloud; works for the SageMaker SDK, too."""
        from infra.local.session import LocalSession

        return LocalSession(self.url, self.region, self.access_key)

    def push_image(
        self, repository: str, tag: str, tree: Path, commands: Mapping[str, Sequence[str]]
    ) -> str:
        """Make a source tree available as a container image.

        Args:
            repository: its name in the local ECR, made if it is not there.
            tag: which may be moved from one content to another.
            tree: copied as it is now, without Python's caches.
            commands: ``serve`` and ``train`` as argument lists, run in the tree with the tree as
                PYTHONPATH; ``python`` stands for the interpreter the local cloud itself runs on.

        Returns:
            The image's URI.
        """
        from infra.local import images

        ecr = self.session().client("ecr")
        return images.push(ecr, environment.images(self.root), (repository, tag), tree, commands)

    def has_image(self, repository: str, tag: str) -> bool:
        """Whether such an image was pushed to this cloud."""
        from infra.local import images

        return images.has(
            self.session().client("ecr"), environment.images(self.root), repository, tag
        )

    def interrupt(self, job: str, away: float = 1.0) -> None:
        """Take a managed spot training job's instances away, as AWS may at any time.

        Its program gets SIGTERM, and SIGKILL after the grace period; its directories are lost. New
        instances come after `away` seconds.

        Raises:
            LocalCloudError: there is no such job, it takes no spot instances, or has none now.
        """
        from infra.local import control

        parameters = {"TrainingJobName": job, "AwaySeconds": away}
        control.ask(self.session(), self.url, "InterruptTrainingJob", parameters)


def ensure(root: Path) -> LocalCloud:
    """The local cloud of a state directory, started if it does not run.

    Raises:
        LocalCloudError: it cannot start; the message has the reason and the cure.
    """
    root = root.resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        if (root / "work").exists() and not (root / LOCK).exists():
            raise LocalCloudError(
                "there is a directory `work` here that the local cloud did not make",
                where=str(root),
                cure="Give the local cloud a directory of its own: LOCAL_CLOUD_ROOT, or --root.",
            )
        with _only_one(root):
            record = Record.read(root)
            if record and record.answers():
                return _cloud(root, record)
            _clear(root, record)
            root.chmod(0o700)  # it holds the key, and everything that passes through the cloud
            return _cloud(root, _start(root))
    except OSError as error:
        raise LocalCloudError(
            f"the local cloud cannot use its directory ({error.strerror})",
            where=str(error.filename or root),
            cure="Make room on the disk, or make the directory writable.",
        ) from error


def find(root: Path) -> LocalCloud | None:
    """The local cloud of a state directory, if it runs."""
    root = root.resolve()
    record = Record.read(root)
    return _cloud(root, record) if record and record.answers() else None


def stop(root: Path) -> bool:
    """End the local cloud of a state directory and everything it runs; whether there was one.

    What it held is gone then: buckets, jobs, endpoints.
    """
    root = root.resolve()
    if not (root / LOCK).exists():  # then nothing here was made by a local cloud
        return False
    with _only_one(root):
        record = Record.read(root)
        running = record is not None and record.is_alive()
        _clear(root, record)
        return running


def _cloud(root: Path, record: Record) -> LocalCloud:
    return LocalCloud(root, record.url, record.pid, record.access_key)


@contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """One process at a time may start or stop the daemon of a directory."""
    with (root / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _clear(root: Path, record: Record | None) -> None:
    """End a daemon and its leftovers, by their recorded ids, and remove their files."""
    if record:
        processes.end(record.pid, record.started, STOP_GRACE)
        started = _started.pop(record.pid, None)
        if started:
            started.wait()
    (root / FILE).unlink(missing_ok=True)
    processes.Ledger(root / "processes").end_leftovers()
    processes.remove_tree(root / "work")


def _start(root: Path) -> Record:
    room = shutil.disk_usage(root).free
    if room < ROOM_NEEDED:
        raise LocalCloudError(
            f"the disk has {room >> 20} MiB left, and the local cloud needs {ROOM_NEEDED >> 20}",
            where=str(root),
            cure="Make room on the disk.",
        )
    _check_port()
    (root / "work").mkdir()
    with (root / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local.daemon", str(root)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        record = _wait(root, process)
    except BaseException:  # Ctrl-C: nobody knows it yet, so it would stay beside the next one
        process.kill()
        process.wait()
        raise
    if record:
        _started[process.pid] = process
        return record
    ended = process.poll() is not None
    process.kill()
    process.wait()
    what = f"ended with exit code {process.returncode}" if ended else "did not answer in time"
    lines = (root / LOG).read_text("utf-8", "replace").strip().splitlines()[-5:]
    raise LocalCloudError(
        f"the local cloud's daemon {what}; its last words: {' | '.join(lines) or 'none'}",
        where=str(root / LOG),
        cure="The log says more; when a module is missing there, install the kit's infra extra.",
    )


def _wait(root: Path, process: subprocess.Popen[bytes]) -> Record | None:
    """The record of a daemon that was just started; None when it ended or took too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        record = Record.read(root)
        if record and record.pid == process.pid and record.answers():
            return record
        time.sleep(0.02)
    return None


def _check_port() -> None:
    wanted = os.environ.get("LOCAL_CLOUD_PORT")
    if wanted is None:
        return
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(wanted)))
    except (OSError, ValueError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a port number"
        raise LocalCloudError(
            f"the local cloud cannot listen on port {wanted} ({reason})",
            where="LOCAL_CLOUD_PORT",
            cure="Free that port or name another one; without the variable a free one is chosen.",
        ) from None
