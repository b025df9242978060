"""The counts of all workers of one server: each writes its own, whoever is asked reads all.

Each worker owns one numbered place, a lock and a JSON file in a folder of the server's own, in
memory where there is such a file system. The kernel lets the lock go when a worker ends, however it
does; its successor takes the place and goes on from the counts that it finds, so that totals never
fall. What a killed worker had not written yet, a fraction of a second, is lost.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

_MEMORY = Path("/dev/shm")  # noqa: S108 where Linux keeps files that need no disk


def make() -> tempfile.TemporaryDirectory[str]:
    """The folder of one server; it is removed with the object.

    Raises:
        OSError: nothing can be written anywhere.
    """
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="inference-counts-", dir=place)


class Place:
    """One worker's place in the folder.

    Args:
        folder: the server's.
        most: workers there are.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._lock, self.number = _claim(folder, most)
        self._path = folder / f"{self.number}.json"

    def found(self) -> dict[str, Any] | None:
        """What the place's last owner left."""
        return _read(self._path)

    def write(self, counts: Mapping[str, Any]) -> None:
        """Leave `counts`, atomically. A full disk costs the counts and nothing else."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(orjson.dumps(counts))
            fresh.replace(self._path)
        except OSError:
            fresh.unlink(missing_ok=True)

    def others(self) -> list[dict[str, Any]]:
        """What the other workers, and those before them, have written."""
        paths = sorted(self._folder.glob("*.json"))
        return [found for path in paths if path != self._path and (found := _read(path))]


def _claim(folder: Path, most: int) -> tuple[int, int]:
    """A lock held until the process ends, and its number: the first that is free."""
    for number in range(2 * most):
        descriptor = os.open(
            folder / f"{number}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor, number
        except BlockingIOError:
            os.close(descriptor)
    raise OSError(f"{folder}: all places are taken")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None
