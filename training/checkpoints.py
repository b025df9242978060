"""Checkpoints that survive a kill at any instant, a torn copy and a flipped bit.

A checkpoint is a set of named arrays and a JSON document. Its arrays are written first
(`epoch-0007-val_loss-0.41863.npz`), its manifest last (the same with `.json`: the arrays' SHA-256
and its own), so a checkpoint exists exactly when its manifest verifies. Each file is written
outside the location, synced to disk and renamed into it, because SageMaker copies the location to
S3 all the time and in no order. Checkpoints of one job lie in a folder named after the job's
identity (identity.py), and each document names its job, so another job's are never taken for them.

Kept are the last two, the best epoch's, and one that has been there for a minute at least: a copy
that runs behind short epochs finds that one whole, whatever it misses of the others.

Here: what lies in that folder, also the tuning study's finished trials. Not here: which arrays
decide the next step (fit.py), nor S3 itself (shared/storage.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import documents, files, storage
from shared.errors import CheckpointError, StorageError
from shared.numpy_files import from_npz

FORMAT = 2
KEEP_LAST = 2
SETTLED = 60.0
"""Seconds after which a copy of the folder has surely seen a file."""
METRIC = "val_loss"
_FILE = re.compile(r"epoch-([0-9]{4,18})(?:-.*)?\.(json|npz)")

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The state after `epoch` epochs: arrays by name, and what JSON can say."""

    epoch: int
    arrays: Arrays
    values: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one job, which one process writes.

    Args:
        location: a folder, or s3://bucket/prefix.
        job: the job's identity.
        warn: told, in a sentence, of everything that was there and cannot be used, and of what
            could not be written.
        writes: False on the hosts that only read what the first one wrote.
        clock: seconds, of which only differences count.

    Raises:
        StorageError: S3 is meant, and boto3's settings are wrong.
    """

    def __init__(
        self,
        location: str,
        job: str,
        warn: Callable[[str], None],
        *,
        writes: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        root = location.rstrip("/")
        self.location = f"{root}/{job}"
        self._job = job
        self._warn = warn
        self._writes = writes
        self._clock = clock
        self._s3 = storage.client() if storage.is_s3(location) else None
        self._staging = Path(f"{root}.writing") / job
        self._settling: list[tuple[float, int]] = []
        self._complete = False
        self._failing = False
        self._untidy = False

    def save(self, checkpoint: Checkpoint, best_epoch: int, val_loss: float) -> None:
        """Write a checkpoint, then delete those that are not kept any more.

        Where it cannot be written and an earlier one is there to go on from, that is a warning, and
        the next epoch is tried again: hours of training should not end for want of a few megabytes.

        Args:
            checkpoint: what to write.
            best_epoch: the epoch whose checkpoint is kept besides the last ones.
            val_loss: of this epoch, for the name.

        Raises:
            CheckpointError: the disk or S3 refused, and no earlier checkpoint is complete.
        """
        data = encode_arrays(checkpoint.arrays)
        name = f"epoch-{checkpoint.epoch:04d}-{METRIC}-{val_loss:.6g}".replace("+", "")
        body = {
            "epoch": checkpoint.epoch,
            "arrays": list(checkpoint.arrays),
            "sha256": hashlib.sha256(data).hexdigest(),
            "values": checkpoint.values,
        }
        content = {f"{name}.npz": data, f"{name}.json": self._close(name, body)}
        if self._write(content, f"the checkpoint of epoch {checkpoint.epoch}"):
            self._prune(checkpoint.epoch, best_epoch)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies; a damaged one is skipped with a warning.

        Raises:
            StorageError: one is there and cannot be read for a reason that may pass (S3 is out of
                reach, a right is missing). To begin again would throw it away.
        """
        loaded = (self.at(epoch) for epoch in reversed(self.epochs()))
        return next((checkpoint for checkpoint in loaded if checkpoint), None)

    def at(self, epoch: int) -> Checkpoint | None:
        """The checkpoint of one epoch; None, with a warning, where it cannot be used.

        Raises:
            StorageError: see `latest`.
        """
        for found, name in self._files():
            if found == epoch and name.endswith(".json"):
                try:
                    checkpoint = self._load(name.removesuffix(".json"))
                except CheckpointError as exception:
                    self._warn(f"The checkpoint of epoch {epoch} cannot be used ({exception})")
                    continue
                self._complete = True
                self._settling = [(self._clock(), epoch)]
                return checkpoint
        return None

    def epochs(self) -> list[int]:
        """The epochs that have a manifest, ascending."""
        return sorted({epoch for epoch, name in self._files() if name.endswith(".json")})

    def settle(self, best_epoch: int) -> None:
        """After the last epoch: leave the last two and the best."""
        epochs = self.epochs()
        self._settling = []
        if epochs and self._writes:
            self._prune(epochs[-1], best_epoch)

    def write_document(self, name: str, body: object) -> None:
        """Write one sealed JSON document; `save` says what happens where that cannot be done.

        Raises:
            CheckpointError: the disk or S3 refused, and nothing earlier is complete.
        """
        self._write({f"{name}.json": self._close(name, body)}, f"{name}.json")

    def read_document(self, name: str) -> Any | None:
        """The document, or None where there is none or (with a warning) it is damaged.

        Raises:
            StorageError: it is there and cannot be read for a reason that may pass.
        """
        if f"{name}.json" not in self._names():
            return None
        try:
            body = self._open(name)
        except CheckpointError as exception:
            self._warn(f"{name}.json cannot be used ({exception})")
            return None
        self._complete = True
        return body

    def _load(self, name: str) -> Checkpoint:
        body, arrays = self._open(name), f"{name}.npz"
        data = self._read(arrays)
        if hashlib.sha256(data).hexdigest() != body["sha256"]:
            raise CheckpointError("its content is not what was written", where=arrays)
        return Checkpoint(
            epoch=body["epoch"],
            arrays=decode_arrays(data, body["arrays"], arrays),
            values=body["values"],
        )

    def _close(self, name: str, content: object) -> bytes:
        """A sealed document that says what it is: a copy under another name is not taken for it."""
        whole = {"format": FORMAT, "job": self._job, "name": name, "content": content}
        return seal(whole)

    def _open(self, name: str) -> Any:
        """The content of what `_close` made for this job and name."""
        where = f"{name}.json"
        body = unseal(self._read(where), where)
        found = body if isinstance(body, dict) else {}
        if found.get("format") != FORMAT:
            raise CheckpointError(
                f"it was written in format {found.get('format')}, and format {FORMAT} is read here",
                where=where,
            )
        if found.get("job") != self._job:
            raise CheckpointError(
                f"it belongs to the job {found.get('job')}, not to {self._job}", where=where
            )
        if found.get("name") != name:
            raise CheckpointError(f"it was written as {found.get('name')}", where=where)
        return found.get("content")

    def _read(self, name: str) -> bytes:
        try:
            return storage.read_bytes(f"{self.location}/{name}", self._s3)
        except StorageError as exception:
            if not exception.lost:
                raise
            raise CheckpointError(exception.message, where=name) from exception

    def _names(self) -> list[str]:
        found = storage.list_files(f"{self.location}/", self._s3)
        return [entry.rsplit("/", 1)[-1] for entry in found]

    def _files(self) -> list[tuple[int, str]]:
        """Epoch and name of each file of a checkpoint."""
        matches = (_FILE.fullmatch(name) for name in self._names())
        return [(int(match[1]), match[0]) for match in matches if match]

    def _write(self, content: Mapping[str, bytes], what: str) -> bool:
        """Write files in this order; whether that was done. `save` says when it may fail."""
        if not self._writes:
            return False
        try:
            for name, data in content.items():
                self._put(name, data)
        except StorageError as exception:
            error = CheckpointError(
                f"{what} could not be written: {exception.message}",
                where=exception.where,
                cure=exception.cure,
            )
            if not self._complete:
                raise error from exception
            if not self._failing:
                self._warn(
                    f"{error}. Training goes on without; if it is stopped now, it goes on from the "
                    f"last checkpoint that could be written"
                )
            self._failing = True
            if self._s3 is None:
                for name in content:
                    with contextlib.suppress(OSError):
                        Path(self.location, name).unlink()
            return False
        if self._failing:
            self._warn(f"Checkpoints can be written again, beginning with {what}")
        self._failing, self._complete = False, True
        return True

    def _prune(self, last: int, best_epoch: int) -> None:
        """Delete what is not kept; what is newer than the `last` epoch could not be used."""
        now = self._clock()
        if self._s3 is None and (not self._settling or now - self._settling[-1][0] >= SETTLED):
            self._settling = [*self._settling[-1:], (now, last)]
        try:
            files_ = self._files()
            earlier = sorted({e for e, name in files_ if name.endswith(".json") and e <= last})
            kept = {*earlier[-KEEP_LAST:], best_epoch, *(epoch for _, epoch in self._settling)}
            gone = [name for epoch, name in files_ if epoch not in kept or epoch > last]
            # A manifest goes before its arrays: at no time does one stand for arrays that are gone.
            for name in sorted(gone, key=lambda name: not name.endswith(".json")):
                storage.delete(f"{self.location}/{name}", self._s3)
        except StorageError as exception:
            if not self._untidy:
                self._warn(f"Old checkpoints cannot be deleted ({exception})")
            self._untidy = True

    def _put(self, name: str, data: bytes) -> None:
        if self._s3 is not None:
            storage.write_bytes(f"{self.location}/{name}", data, self._s3)
        else:
            _place(Path(self.location) / name, data, self._staging)


def encode_arrays(arrays: Arrays) -> bytes:
    """Arrays as .npz bytes, exactly, under the numbers of their places (names go elsewhere)."""
    buffer = io.BytesIO()
    numbered: dict[str, Any] = {str(i): array for i, array in enumerate(arrays.values())}
    np.savez(buffer, **numbered)
    return buffer.getvalue()


def decode_arrays(data: bytes, names: list[str], where: str) -> Arrays:
    """What `encode_arrays` was given.

    Raises:
        CheckpointError: the bytes are no such archive, or hold objects.
    """
    try:
        found = from_npz(data, len(data))
        return {name: found[str(place)] for place, name in enumerate(names)}
    except (ValueError, KeyError) as exception:
        raise CheckpointError(f"not a checkpoint's arrays: {exception}", where=where) from None


def seal(body: object) -> bytes:
    """JSON text with the SHA-256 of its own body."""
    text = documents.dumps(body).strip()
    return documents.dumps({"sha256": _digest(text), "body": json.loads(text)}).encode()


def unseal(data: bytes, where: str) -> Any:
    """The body of a sealed document.

    Raises:
        CheckpointError: it is not one, or was changed since.
    """
    document = documents.loads(data, where, CheckpointError)
    if not isinstance(document, dict) or document.keys() != {"sha256", "body"}:
        raise CheckpointError("not a sealed document", where=where)
    if _digest(documents.dumps(document["body"]).strip()) != document["sha256"]:
        raise CheckpointError("its content is not what was written", where=where)
    return document["body"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _place(path: Path, data: bytes, staging: Path) -> None:
    """Write in `staging`, beside the checkpoint location, then rename into the location.

    The location may be a mount of its own (in a container it is), where a rename from outside is
    refused, and what lies beside it may be read-only; then the temporary file has to lie inside,
    under a name that nothing reads.
    """
    try:
        staging.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        with (staging / path.name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staging / path.name, path)
    except OSError:
        files.write(path, data)
    finally:  # what an earlier process was killed over goes with it
        shutil.rmtree(staging, ignore_errors=True)
        with contextlib.suppress(OSError):
            staging.parent.rmdir()
