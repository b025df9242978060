"""Files on this machine: atomic writes and digests. S3 is storage.py's."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from shared.errors import StorageError

BLOCK = 1 << 20
TEMPORARY = ".partial-"


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on success it is synced to disk and takes its place.

    Whatever goes wrong, `path` is what it was and the temporary file is gone.

    Raises:
        StorageError: the disk is full, or the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    except OSError as exception:
        raise disk_error(exception, path) from exception
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
        _sync_folder(path.parent)
    except OSError as exception:
        raise disk_error(exception, path) from exception
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def write(path: Path, data: bytes) -> None:
    """Write `data` atomically; see `atomic`."""
    with atomic(path) as file:
        file.write(data)


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def disk_error(exception: OSError, path: Path | str) -> StorageError:
    """The operating system's refusal in words that say what to do."""
    where = str(path)
    if exception.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError("the disk is full", where=where, cure="Free some space and try again")
    if exception.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError("no permission", where=where, cure="Check the rights of the folder")
    if exception.errno == errno.ENOENT:
        return StorageError("there is no such file", where=where, lost=True)
    if exception.errno == errno.EIO:
        return StorageError("the disk cannot read or write it", where=where, lost=True)
    return StorageError(exception.strerror or str(exception), where=where)


def _sync_folder(folder: Path) -> None:
    """A rename survives a power cut only once its folder is synced too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
