"""What travels as code: the training archive and the serving tree; and how files get their digests.

A digest covers content alone (names and bytes; never times, owners or the compressor), so the same
content has the same name in the cloud on every machine. Nothing here talks to a cloud.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.errors import DataError
from shared.files import sha256, write

ROOT = Path(__file__).resolve().parent.parent
DIGEST_LENGTH = 12

ENTRY = "from training.train import main\nraise SystemExit(main())\n"


@dataclass(frozen=True)
class File:
    """A file on this machine and the digest of its bytes."""

    path: Path
    name: str
    size: int
    digest: str


def combine(parts: Mapping[str, str]) -> str:
    """One digest (64 hex digits) of named digests, in any order."""
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(parts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def short(digest: str) -> str:
    """The part of a digest that names carry."""
    return digest[:DIGEST_LENGTH]


def digest_of(data: bytes) -> str:
    """SHA-256 of bytes, as hex digits."""
    return hashlib.sha256(data).hexdigest()


def file_of(path: Path) -> File:
    """Name, size and digest of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return File(path, path.name, path.stat().st_size, sha256(path))
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}", where=str(path), cure="Check its permissions."
        ) from error


def training_code(root: Path = ROOT) -> dict[str, bytes]:
    """The files of sourcedir.tar.gz by name: the entry, its requirements, training/ and shared/."""
    files = dict(_sources(root, ("shared", "training")))
    files["train.py"] = ENTRY.encode()
    files["requirements.txt"] = files["training/requirements.txt"]
    return files


def serving_code(root: Path = ROOT) -> dict[str, bytes]:
    """The files of the serving image by name: shared/, inference/ and the command `serve`.

    images/Dockerfile copies the same.
    """
    files = dict(_sources(root, ("inference", "shared")))
    files["serve"] = (root / "images/serve").read_bytes()
    return files


def image_code(root: Path = ROOT) -> dict[str, bytes]:
    """The files from which images/Dockerfile builds the serving image, where it looks for them."""
    files = serving_code(root)
    files["images/serve"] = files.pop("serve")
    for name in ("images/Dockerfile", "requirements/serving.txt"):
        files[name] = (root / name).read_bytes()
    return files


def tree_digest(files: Mapping[str, bytes]) -> str:
    """The digest of a set of files: their names and bytes."""
    return combine({name: digest_of(data) for name, data in files.items()})


def write_archive(files: Mapping[str, bytes], path: Path) -> Path:
    """Write a .tar.gz whose bytes depend on names and contents alone. Atomic."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(data))
    write(path, buffer.getvalue())
    return path


def write_zip(files: Mapping[str, bytes], path: Path) -> Path:
    """Write a .zip whose bytes depend on names and contents alone. Atomic."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name)  # of 1980, whatever the clock says
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, data)
    write(path, buffer.getvalue())
    return path


def write_tree(files: Mapping[str, bytes], directory: Path) -> Path:
    """Write files into a directory that did not exist or is replaced."""
    shutil.rmtree(directory, ignore_errors=True)
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def _sources(root: Path, folders: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            parts = path.relative_to(root).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if path.is_file() and not hidden and path.suffix != ".pyc":
                yield "/".join(parts), path.read_bytes()
