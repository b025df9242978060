"""The checkpoint directory of a job and its S3 prefix, kept the same as SageMaker keeps them.

From S3 to the directory once, before the program starts; from the directory to S3 while it runs
and once more when it ended. Deletions go to S3 too; what others add in S3 later does not come in.
A file goes up when its size or time has changed, older files first, so that a manifest that was
written last arrives last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from infra.local.buckets import Buckets, Location, MissingError
from infra.local.state import log_exception

INTERVAL = 1.0


class CheckpointSync:
    """The synchronisation of one job."""

    def __init__(self, buckets: Buckets, prefix: Location, directory: Path) -> None:
        self._buckets = buckets
        self._prefix = prefix
        self._directory = directory
        self._known: dict[str, tuple[int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Fetch what S3 holds, then begin to watch."""
        self._directory.mkdir(parents=True, exist_ok=True)
        folder = Location(self._prefix.bucket, self._prefix.key.rstrip("/") + "/")
        if any(self._buckets.list(folder)):
            self._buckets.download_prefix(folder, self._directory, changing=True)
        self._known = self._scan()
        self._thread.start()

    def finish(self) -> None:
        """Stop watching and bring S3 up to date."""
        self.close()
        self._push(lambda: False)

    def close(self) -> None:
        """Stop at once, between two files; S3 keeps what it has, the directory may go."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                self._push(self._stop.is_set)
            except Exception:  # what did not go up now goes up the next time, or fails the job
                log_exception()

    def _scan(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for path in self._directory.rglob("*"):
            try:
                status = path.stat()
                regular = path.is_file()
            except FileNotFoundError:
                continue
            if regular:
                name = path.relative_to(self._directory).as_posix()
                found[name] = (status.st_mtime_ns, status.st_size)
        return found

    def _push(self, enough: Callable[[], bool]) -> None:
        present = self._scan()
        changed = [name for name in present if self._known.get(name) != present[name]]
        for name in sorted(changed, key=lambda each: (present[each], each)):
            if enough():
                return
            try:
                self._buckets.upload(self._directory / name, self._prefix / name)
            except (FileNotFoundError, MissingError):
                continue
            self._known[name] = present[name]
        for name in [each for each in self._known if each not in present]:
            self._buckets.delete(self._prefix / name)
            del self._known[name]
