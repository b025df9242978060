"""Encoded training rows on the disk, for data that does not fit into memory.

The rows lie in one scratch file, in chunks of about half a megabyte. An epoch meets them in windows
of 32 chunks taken from all over the file: the order of the chunks is shuffled, then the rows in
each window. So a batch mixes rows of 32 places, even where the file is sorted; and the order
follows from (seed, epoch) alone. A thread reads the next window while the network learns from this
one. What does not fill a batch at a window's end begins the next one.

The file has no name: whatever ends the process, nothing is left behind. Reading names its place in
the file each time, so processes forked from this one may read it, too.

Here: that file. Not here: what is written to it (streaming.py), nor rows in memory (rows.py).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

import numpy as np

from shared import files
from shared.errors import StorageError
from training.rows import Array, Rows, joined, random

CHUNK = 1 << 19
WINDOW = 32


class Stored:
    """Rows in a scratch file; `write` makes it.

    Args:
        file: where they lie.
        chunk: rows in each chunk but the last.
        row: three arrays of no rows, as the rows have them.
        target: of each row [n]; it stays in memory, too.
        digest: of the rows' bytes.
    """

    def __init__(self, file: IO[bytes], chunk: int, row: Rows, target: Array, digest: str) -> None:
        self.target = target
        self._file = file
        self._chunk = chunk
        self._row = row
        self._digest = digest
        self._row_bytes = row_bytes(row)

    def __len__(self) -> int:
        return len(self.target)

    def digest(self) -> str:
        """The SHA-256 of the chunks, one after the other."""
        return self._digest

    def take(self, places: Array) -> Rows:
        """The rows at these places, which ascend; only their chunks are read."""
        chunks = places // self._chunk
        found = [self._row]
        for chunk in np.unique(chunks).tolist():
            rows = self._read([chunk])
            found.append(rows.take(places[chunks == chunk] - chunk * self._chunk))
        return joined(found)

    def blocks(self) -> Iterator[Rows]:
        """All rows in the order in which they were written."""
        for first in range(0, self._chunks, WINDOW):
            yield self._read(range(first, min(first + WINDOW, self._chunks)))

    def windows(self, seed: int, epoch: int, batch: int) -> Iterator[Rows]:
        """All rows, shuffled."""
        generator = random(seed, epoch)
        chunks = generator.permutation(self._chunks).tolist()

        def window(first: int) -> Rows:
            rows = self._read(chunks[first : first + WINDOW])
            return rows.take(generator.permutation(len(rows)))

        left = self._row
        with ThreadPoolExecutor(1, "windows") as reader:
            upcoming: Future[Rows] = reader.submit(window, 0)
            for following in range(WINDOW, self._chunks + WINDOW, WINDOW):
                rows = upcoming.result()
                if following < self._chunks:
                    upcoming = reader.submit(window, following)
                if len(left):
                    rows = joined([left, rows])
                whole = len(rows) if following >= self._chunks else len(rows) // batch * batch
                if whole:
                    yield rows.cut(0, whole)
                left = rows.cut(whole, len(rows))

    @property
    def _chunks(self) -> int:
        return -(-len(self) // self._chunk)

    def _rows_of(self, chunk: int) -> int:
        return min(self._chunk, len(self) - chunk * self._chunk)

    def _read(self, chunks: Sequence[int]) -> Rows:
        """These chunks' rows, one chunk after the other."""
        count = sum(map(self._rows_of, chunks))
        rows = Rows(*(np.empty((count, *a.shape[1:]), a.dtype) for a in self._row.arrays))
        at = 0
        for chunk in chunks:
            end = at + self._rows_of(chunk)
            room = [_bytes(array[at:end]) for array in rows.arrays]
            try:
                got = os.preadv(self._file.fileno(), room, chunk * self._chunk * self._row_bytes)
            except OSError as exception:
                raise files.disk_error(exception, tempfile.gettempdir()) from exception
            if got != (end - at) * self._row_bytes:
                raise StorageError("encoded rows are gone", where=tempfile.gettempdir())
            at = end
        return rows


def write(blocks: Iterable[Rows], row: Rows, target: Array, chunk_bytes: int = CHUNK) -> Stored:
    """Write encoded rows that come in blocks of any size.

    Args:
        blocks: all rows.
        row: three arrays of no rows, as the rows have them.
        target: of all rows [n], as they have it.
        chunk_bytes: about how large a chunk is.

    Raises:
        StorageError: the disk is full or refuses.
    """
    size = max(chunk_bytes // row_bytes(row), 1)
    sha256 = hashlib.sha256()
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as its rows

    def put(rows: Rows) -> None:
        for array in rows.arrays:
            data = _bytes(array)
            sha256.update(data)
            while data:
                data = data[file.write(data) :]

    waiting = row
    try:
        for block in blocks:
            waiting = joined([waiting, block]) if len(waiting) else block
            whole = len(waiting) // size * size
            for start in range(0, whole, size):
                put(waiting.cut(start, start + size))
            waiting = waiting.cut(whole, len(waiting))
        put(waiting)
    except OSError as exception:
        file.close()
        raise files.disk_error(exception, tempfile.gettempdir()) from exception
    return Stored(file, size, row, target, sha256.hexdigest())


def row_bytes(row: Rows) -> int:
    """Bytes of one row."""
    return sum(int(np.prod(a.shape[1:], dtype=int)) * a.itemsize for a in row.arrays)


def _bytes(array: Array) -> memoryview:
    """The array's own memory; of one that is not in order, a copy's."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
