"""The daemon's process: ``python -m infra.local.daemon <root>``, started by `door`.

It binds its port, starts serving, and writes its record last, so that a record always names a
daemon that answers. SIGTERM ends it, and so does the loss of its record, without which nobody
would find it again. What it started ends with it, because each guard sees its pipe close.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path

from infra.local import environment, wire
from infra.local.processes import Ledger, identity
from infra.local.record import FILE, Record
from infra.local.state import Cloud, Settings

OPEN_FILES = 65536  # moto's S3 keeps one descriptor for each large object
LOCALHOST = "127.0.0.1"
RECORD_INTERVAL = 1.0


def main() -> None:
    """Serve until SIGTERM."""
    root = Path(sys.argv[1]).resolve()
    settings = _settings()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOCALHOST, int(os.environ.get("LOCAL_CLOUD_PORT", "0"))))
    listener.listen(128)
    port: int = listener.getsockname()[1]
    url = f"http://{LOCALHOST}:{port}"
    _allow_many_files()
    access_key = environment.new_access_key()
    children = environment.child(url, root, access_key)
    for name in [each for each in os.environ if each not in children]:
        del os.environ[name]
    os.environ.update(children)
    environment.write_files(root, access_key)
    tempfile.tempdir = str(root / "work")

    from infra.local import server
    from infra.local.app import Application

    ledger = Ledger(root / "processes")
    cloud = Cloud(root, _work(root), url, access_key, settings, children, ledger)
    serving = server.serve(listener, Application(cloud, server.moto()))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    started = identity(os.getpid())
    assert started is not None
    Record(os.getpid(), started, port, access_key).write(root)
    threading.Thread(target=_warm, args=(cloud,), daemon=True).start()
    while not ended.wait(RECORD_INTERVAL) and _is_recorded(root):
        pass
    if _is_recorded(root):
        (root / FILE).unlink(missing_ok=True)
    if cloud.work != root / "work":
        shutil.rmtree(cloud.work.parent, ignore_errors=True)
    sys.stdout.flush()
    os._exit(0)


def _is_recorded(root: Path) -> bool:
    """Whether this is still the daemon of its directory; a record that cannot be read is no no."""
    record = Record.read(root)
    return record.pid == os.getpid() if record else (root / FILE).exists()


def _warm(cloud: Cloud) -> None:
    """Load what the first job would otherwise wait for."""
    wire.service("sagemaker")
    for name in ("s3", "ecr", "logs", "cloudwatch"):
        cloud.client(name)


def _work(root: Path) -> Path:
    """The working directory, by a name that a shell script need not quote.

    ModelTrainer's drivers have paths written into them without quotes.
    """
    work = root / "work"
    if re.fullmatch(r"[\w./+-]+", str(work), re.ASCII):
        return work
    alias = Path(tempfile.mkdtemp(prefix="local-cloud-", dir="/tmp")) / "work"
    alias.symlink_to(work)
    return alias


def _settings() -> Settings:
    given = {
        name: float(os.environ[variable])
        for name, variable in (
            ("stop_grace", "LOCAL_CLOUD_STOP_GRACE"),
            ("startup_timeout", "LOCAL_CLOUD_STARTUP_TIMEOUT"),
            ("serverless_idle", "LOCAL_CLOUD_SERVERLESS_IDLE"),
            ("scaling_period", "LOCAL_CLOUD_SCALING_PERIOD"),
        )
        if variable in os.environ
    }
    return Settings(**given)


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS may allow less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
