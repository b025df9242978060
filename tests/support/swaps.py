"""Bundles packed for a swap, spoilt ones among them, and the pointer that names them."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.reload import STATE, Shelf, State
from inference.watcher import UNDER_PROOF, Watcher
from shared import bundle as bundles
from shared import documents, files, storage
from tests.support.bundles import build


@dataclasses.dataclass(frozen=True)
class Packed:
    """A bundle's archive, the folder it was made of, and the digest that its manifest has."""

    archive: Path
    directory: Path
    digest: str

    @property
    def version(self) -> str:
        return self.digest[:12]


def pack(directory: Path) -> Packed:
    """The archive of a bundle, beside it."""
    archive = directory.with_name(f"{directory.name}.tar.gz")
    bundles.pack(directory, archive)
    return Packed(archive, directory, bundles.load(directory).manifest.digest)


def point(pointer: str | Path, bundle: str | Path, digest: str) -> None:
    """Let the pointer name a bundle."""
    document = {"bundle": str(bundle), "digest": digest}
    storage.write_bytes(pointer, json.dumps(document).encode())


def repacked(packed: Packed, to: Path, change: Callable[[str, bytes], bytes]) -> Packed:
    """The same archive with `change` (a function of name and content) applied to its files."""
    with tarfile.open(packed.archive) as tar, tarfile.open(to, "w:gz") as writing:
        for entry in tar:
            content = tar.extractfile(entry)
            assert content is not None
            data = change(entry.name, content.read())
            entry.size = len(data)
            writing.addfile(entry, io.BytesIO(data))
    return dataclasses.replace(packed, archive=to)


def resealed(directory: Path, name: str, change: Callable[[Any], Any]) -> Packed:
    """A bundle whose JSON file `name` was changed by somebody who also corrected all digests."""
    file = directory / name
    file.write_text(documents.dumps(change(json.loads(file.read_text()))))
    where = directory / bundles.MANIFEST
    manifest = documents.decode(bundles.Manifest, json.loads(where.read_text()), "manifest")
    digests = {**manifest.files, name: files.sha256(file)}
    sealed = dataclasses.replace(manifest, files=digests).sealed()
    where.write_text(documents.dumps(sealed, indent=1))
    return pack(directory)


@dataclasses.dataclass(frozen=True)
class Made:
    """Three bundles of one contract."""

    deployed: Packed
    second: Packed
    third: Packed


def make(place: Path) -> Made:
    """Three bundles of one contract, packed."""
    widths = {"deployed": 64, "second": 32, "third": 16}
    return Made(**{name: pack(build(place / name, widths=(widths[name],))) for name in widths})


class House:
    """A watcher, its shelf and its pointer."""

    def __init__(
        self, made: Made, place: Path, deployed: Path | None = None, pointer: str | None = None
    ) -> None:
        (place / "shelf").mkdir()
        self.made = made
        self.place = place
        self.shelf = Shelf(place / "shelf", deployed or made.deployed.directory)
        self.pointer = pointer or str(place / "pointer.json")
        self.watcher = self.another()

    def another(self) -> Watcher:
        """Another watcher of the same."""
        return Watcher(self.pointer, self.shelf)

    def point(self, packed: Packed) -> None:
        point(self.pointer, packed.archive, packed.digest)

    @property
    def state(self) -> State:
        found = self.shelf.read()
        assert found is not None
        return found

    def serves(self, packed: Packed) -> bool:
        """Whether the state says so, and no other bundle lies on the shelf."""
        served = Path(self.state.directory)
        fetched = {path.name for path in self.shelf.path.iterdir()} - {STATE, UNDER_PROOF}
        assert fetched <= {served.name}
        return self.state.digest == packed.digest == bundles.load(served).manifest.digest


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings and errors in the log."""
    return [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
