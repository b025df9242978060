"""Archives (.tar.gz) of unknown making: read forwards, within limits, plain files only.

Python's tarfile believes what a header says: how long it is, how often another follows, where the
next one stands. Here every byte that it asks for is counted first, and it is never let go back.
Here: unpacking all of an archive, or one file of it. Not here: what the files mean (bundle.py).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn, cast

from shared import documents
from shared.errors import BundleError, KitError

MAX_BYTES = 8 << 30
MAX_FILES = 10_000
MAX_NAME = 1024
MAX_PART = 255
HEADER = 8 << 10
"""Bytes of one extended header: a long name and a few times are much shorter."""
HEADERS = 1 << 20
"""Bytes of all extended headers of an archive."""
HEADERS_OF_ONE = 64
"""Blocks of 512 bytes before the content of one file."""
_PIECE = 1 << 20
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_DRIVE = re.compile(r"[A-Za-z]:")


def unpack(
    archive: Path,
    directory: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
    executable: bool = False,
    error: type[KitError] = BundleError,
) -> None:
    """Unpack a .tar.gz below a directory. What was written before a refusal stays for the caller.

    Args:
        archive: not trusted.
        directory: must exist; no file in it is replaced.
        max_bytes: unpacked, headers included.
        max_files: in the archive, folders included.
        executable: whether a file that its owner may execute stays so.
        error: the class of KitError to raise.

    Raises:
        error: the archive holds anything but plain files and folders with plain relative names,
            holds a name twice, unpacks to too much, or is damaged.
        OSError: the disk refuses.
    """
    with _opened(archive, max_bytes, error) as tape:
        for name, entry in _entries(tape, max_files):
            target = directory / name
            try:
                if entry.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as writing:
                    tape.copy(entry.size, writing)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                tape.refuse(f"{documents.show(name)} is where something else already is")
            if executable and entry.mode & 0o100:
                target.chmod(0o755)


def member(
    archive: Path, name: str, max_bytes: int, error: type[KitError] = BundleError
) -> bytes | None:
    """The content of one plain file of a .tar.gz, or None when it is not there.

    Raises:
        error: up to that file the archive is not to be trusted, or the file is larger than
            `max_bytes`.
        OSError: the disk refuses.
    """
    with _opened(archive, MAX_BYTES, error) as tape:
        for found, entry in _entries(tape, MAX_FILES):
            if found == name and entry.isfile():
                if entry.size > max_bytes:
                    tape.refuse(f"{documents.show(name)} has {entry.size} bytes; too many")
                content = io.BytesIO()
                tape.copy(entry.size, content)
                return content.getvalue()
            tape.copy(entry.size if entry.isfile() else 0, None)
    return None


def check_name(name: str, where: str, error: type[KitError] = BundleError) -> None:
    """Refuse a file's name that is not a plain relative path with slashes.

    Raises:
        error: it is absolute, leads upwards or to another drive, has an empty part or a character
            that cannot be printed, or is too long for a file system.
    """
    parts = name.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or "\\" in name
        or _DRIVE.match(name)
        or not name.isprintable()
        or len(name.encode()) > MAX_NAME
        or max(len(part.encode()) for part in parts) > MAX_PART
    ):
        raise error(f"the name {documents.show(name)} is not allowed", where=where)


class _Tape:
    """What tarfile reads from: the unzipped archive, forwards only and never too much of it."""

    def __init__(self, file: IO[bytes], where: str, limit: int, error: type[KitError]) -> None:
        self._stream = gzip.GzipFile(fileobj=file)
        self._where = where
        self._error = error
        self._left = limit
        self._place = 0
        self._headers = HEADERS
        self._blocks = HEADERS_OF_ONE
        self._last = b""

    def refuse(self, reason: str) -> NoReturn:
        raise self._error(reason, where=self._where)

    def read(self, size: int = -1) -> bytes:
        """For tarfile: a header."""
        self._blocks -= 1
        if size != tarfile.BLOCKSIZE:
            self._headers -= size
        if not 0 <= size <= HEADER or self._headers < 0 or self._blocks < 0:
            self.refuse("a header is too large")
        self._last = self._next(size)
        return self._last

    def check(self, name: str) -> None:
        check_name(name, self._where, self._error)

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> int:
        """For tarfile: over what fills the last block of a file."""
        if not 0 <= place - self._place < tarfile.BLOCKSIZE:
            self.refuse("a header leads elsewhere than to what follows it")
        self._next(place - self._place)
        return self._place

    def begin(self, size: int) -> None:
        """The headers of one file are read, which announce so much content."""
        self._blocks = HEADERS_OF_ONE
        if not 0 <= size <= self._left:
            self.refuse("the archive unpacks to too many bytes")

    def end(self) -> None:
        """No header was found any more, which tarfile takes for the end whatever stands there."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            self.refuse("not a sound .tar.gz: it does not end as archives do")

    def copy(self, size: int, to: IO[bytes] | None) -> None:
        """The content of the file whose header was read last."""
        while size:
            piece = self._next(min(size, _PIECE))
            if not piece:
                raise EOFError("it ends within a file")
            size -= len(piece)
            if to:
                to.write(piece)

    def _next(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        self._place += len(data)
        if self._left < 0:
            self.refuse("the archive unpacks to too many bytes")
        return data


@contextlib.contextmanager
def _opened(archive: Path, limit: int, error: type[KitError]) -> Iterator[_Tape]:
    with archive.open("rb") as file:
        tape = _Tape(file, str(archive), limit, error)
        try:
            yield tape
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError) as exception:
            tape.refuse(f"not a sound .tar.gz: {exception}")


def _entries(tape: _Tape, max_files: int) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Name and header of each file and folder; a file's content must be copied before the next."""
    seen: set[str] = set()
    with tarfile.open(fileobj=cast(IO[bytes], tape), mode="r:") as tar:
        for entry in tar:
            tape.begin(entry.size)
            # What a global header says would be copied into every later one.
            tar.pax_headers = {}
            name = _plain_name(entry, tape)
            if name in seen or len(seen) >= max_files:
                reason = "is there twice" if name in seen else "is one file too many"
                tape.refuse(f"{documents.show(name)} {reason}")
            seen.add(name)
            yield name, entry
    tape.end()


def _plain_name(entry: tarfile.TarInfo, tape: _Tape) -> str:
    """The entry's name without a leading "./"."""
    if entry.type not in (*_FILES, tarfile.DIRTYPE) or entry.issparse():
        shown = documents.show(entry.name)
        tape.refuse(f"{shown} is neither a plain file nor a folder")
    name = entry.name.removeprefix("./").removesuffix("/")
    if entry.isdir() and name in ("", "."):
        return "."
    tape.check(name)
    return name
