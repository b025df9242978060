"""Checkpoints that survive a kill at any instant, a torn copy and a flipped bit.

A checkpoint is a set of named arrays and a JSON document. Its arrays are written first
(`epoch-0003.npz`), its manifest last (`epoch-0003.json`, with the arrays' SHA-256 and its own), so
a checkpoint exists exactly when its manifest verifies. Each file is written outside the folder,
synced to disk, and renamed into it, because SageMaker copies the folder to S3 all the time and in
no order. Checkpoints of one job lie in a folder named after the job's identity (a digest of
everything that decides its result), so another job's are never mistaken for them.

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
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import documents, files, storage
from shared.errors import CheckpointError, KitError, StorageError

FORMAT = 1
KEEP_LAST = 2
_MANIFEST = re.compile(r"epoch-(\d{4,})\.json")

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The state after `epoch` epochs: arrays by name, and what JSON can say."""

    epoch: int
    arrays: Arrays
    values: Mapping[str, Any]


def identity(*parts: object) -> str:
    """A digest of everything that decides a job's result: 16 hexadecimal digits."""
    return hashlib.sha256(documents.dumps(parts).encode()).hexdigest()[:16]


class Checkpoints:
    """The checkpoints of one job.

    Args:
        location: a folder, or s3://bucket/prefix.
        job: the job's identity.
        warn: told, in a sentence, of everything that was there and cannot be used.
    """

    def __init__(self, location: str, job: str, warn: Callable[[str], None]) -> None:
        self.location = f"{location.rstrip('/')}/{job}"
        self._warn = warn

    def save(self, checkpoint: Checkpoint, best_epoch: int) -> None:
        """Write a checkpoint, then delete all but the last two and the best epoch's.

        Raises:
            CheckpointError: the disk or S3 refused.
        """
        data = encode_arrays(checkpoint.arrays)
        name = f"epoch-{checkpoint.epoch:04d}"
        body = {
            "format": FORMAT,
            "epoch": checkpoint.epoch,
            "arrays": list(checkpoint.arrays),
            "sha256": hashlib.sha256(data).hexdigest(),
            "values": checkpoint.values,
        }
        self._put(f"{name}.npz", data)
        self._put(f"{name}.json", seal(body))
        epochs = self.epochs()
        for epoch in epochs[:-KEEP_LAST]:
            if epoch != best_epoch:
                for suffix in ("json", "npz"):
                    self._delete(f"epoch-{epoch:04d}.{suffix}")

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies; a damaged one is skipped with a warning."""
        loaded = (self.at(epoch) for epoch in reversed(self.epochs()))
        return next((checkpoint for checkpoint in loaded if checkpoint), None)

    def at(self, epoch: int) -> Checkpoint | None:
        """The checkpoint of one epoch; None, with a warning, where it cannot be used."""
        try:
            return self._load(epoch)
        except KitError as exception:
            self._warn(f"The checkpoint of epoch {epoch} cannot be used ({exception})")
            return None

    def epochs(self) -> list[int]:
        """The epochs that have a manifest, ascending."""
        matches = (_MANIFEST.fullmatch(name) for name in self._names())
        return sorted(int(match[1]) for match in matches if match)

    def write_document(self, name: str, body: object) -> None:
        """Write one sealed JSON document.

        Raises:
            CheckpointError: the disk or S3 refused.
        """
        self._put(f"{name}.json", seal(body))

    def read_document(self, name: str) -> Any | None:
        """The document, or None where there is none or (with a warning) it is damaged."""
        if f"{name}.json" not in self._names():
            return None
        try:
            return unseal(self._get(f"{name}.json"), name)
        except KitError as exception:
            self._warn(f"{name}.json cannot be used ({exception})")
            return None

    def _load(self, epoch: int) -> Checkpoint:
        name = f"epoch-{epoch:04d}"
        body = unseal(self._get(f"{name}.json"), f"{name}.json")
        if body["format"] != FORMAT:
            raise CheckpointError(f"format {body['format']} is not {FORMAT}", where=f"{name}.json")
        data = self._get(f"{name}.npz")
        if hashlib.sha256(data).hexdigest() != body["sha256"]:
            raise CheckpointError("its content is not what was written", where=f"{name}.npz")
        return Checkpoint(
            epoch=body["epoch"],
            arrays=decode_arrays(data, body["arrays"], f"{name}.npz"),
            values=body["values"],
        )

    def _names(self) -> list[str]:
        return [entry.rsplit("/", 1)[-1] for entry in storage.list_files(f"{self.location}/")]

    def _get(self, name: str) -> bytes:
        return storage.read_bytes(f"{self.location}/{name}")

    def _delete(self, name: str) -> None:
        storage.delete(f"{self.location}/{name}")

    def _put(self, name: str, data: bytes) -> None:
        try:
            if storage.is_s3(self.location):
                storage.write_bytes(f"{self.location}/{name}", data)
            else:
                _place(Path(self.location) / name, data)
        except KitError as exception:
            raise CheckpointError(
                f"the checkpoint could not be written: {exception.message}",
                where=f"{self.location}/{name}",
                cure=exception.cure,
            ) from exception


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
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[str(place)] for place, name in enumerate(names)}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as exception:
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


def _place(path: Path, data: bytes) -> None:
    """Write beside the checkpoint location, then rename into it.

    The location may be a mount of its own (in a container it is), where a rename from outside is
    refused, and what lies beside it may be read-only; then the temporary file has to lie inside,
    under a name that nothing reads.
    """
    outside = path.parent.parent.parent / f".writing-{os.getpid()}-{path.name}"
    try:
        files.write(outside, data)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(outside, path)
    except (OSError, StorageError):
        with contextlib.suppress(OSError):
            outside.unlink()
        files.write(path, data)
