"""The data a training job reads: each location becomes one channel, a set of files with a digest.

Local files are to be uploaded under their digest; an s3:// location stays where it is, and its
digest is that of its objects' names, sizes and ETags, so a changed object means a new training job.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import expanduser
from pathlib import Path
from typing import Protocol

from infra.failures import explain, is_missing
from infra.package import File, combine, digest_of, file_of
from shared.errors import DataError

SUFFIXES = (".csv", ".parquet")
_SHOWN = 5


class Caller(Protocol):
    """Whatever makes AWS calls."""

    def call(
        self, service: str, operation: str, parameters: Mapping[str, object]
    ) -> dict[str, object]:
        """Make one call and return its answer."""


@dataclass(frozen=True)
class Channel:
    """One input channel of a training job.

    Attributes:
        name: the channel's name: letters, digits and underscores only.
        digest: 64 hex digits over the names and contents of its files.
        files: files of this machine, to be uploaded; empty for an s3:// location.
        uri: where the data lies when it is in S3 already.
    """

    name: str
    digest: str
    files: tuple[File, ...] = ()
    uri: str | None = None


def local_channel(name: str, paths: tuple[Path, ...]) -> Channel:
    """The channel made of files on this machine.

    Raises:
        DataError: a file cannot be read, or two carry the same name.
    """
    files = tuple(file_of(path) for path in paths)
    names = [file.name for file in files]
    for file in files:
        if names.count(file.name) > 1:
            raise DataError(
                "another file of the same location has the same name",
                where=str(file.path),
                cure="Rename one of them: a channel is one flat directory.",
            )
    return Channel(name, combine({file.name: file.digest for file in files}), files)


def remote_channel(name: str, uri: str, cloud: Caller) -> Channel:
    """The channel made of the objects under an s3:// location.

    Raises:
        DataError: nothing lies there.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    found: dict[str, str] = {}
    token: dict[str, object] = {}
    while True:
        page = _page(cloud, uri, {"Bucket": bucket, "Prefix": prefix, **token})
        contents = page.get("Contents", [])
        assert isinstance(contents, list)
        for entry in contents:
            found[str(entry["Key"])] = digest_of(f"{entry['Size']} {entry['ETag']}".encode())
        if not page.get("IsTruncated"):
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    if not found:
        raise DataError(
            "there is nothing under this S3 location",
            where=uri,
            cure=f"List it: aws s3 ls {uri}",
        )
    return Channel(name, combine(found), uri=uri)


def _page(cloud: Caller, uri: str, parameters: Mapping[str, object]) -> dict[str, object]:
    try:
        return cloud.call("s3", "list_objects_v2", parameters)
    except Exception as error:
        if not is_missing(error):
            raise explain(error, uri) from error
        raise DataError(
            "there is no such bucket",
            where=uri,
            cure="Check its name, and that it is in the account that is deployed to.",
        ) from error


def local_files(
    location: str, directory: Path, suffixes: Sequence[str] = SUFFIXES
) -> tuple[Path, ...]:
    """The CSV and Parquet files a path, a directory or a glob stands for, in order of name.

    Raises:
        DataError: there is no such file, or none of a kind that can be read.
    """
    given = Path(expanduser(location))
    path = directory / given
    if path.is_dir():
        files = [
            child
            for child in path.iterdir()
            if child.suffix.lower() in suffixes and child.is_file()
        ]
        missing = f"holds no file ending in {' or '.join(suffixes)}"
    elif path.is_file():
        files, missing = [path], ""
    elif any(sign in location for sign in "*?["):
        # Only what was written is a pattern; the project's directory may hold brackets of its own.
        start = Path(given.anchor) if given.is_absolute() else directory
        pattern = str(given.relative_to(given.anchor))
        files = [found for found in start.glob(pattern) if found.is_file()]
        missing = "matches no file"
    else:
        files, missing = [], "does not exist"
    if not files:
        raise DataError(missing, where=str(path), cure=_neighbours(path))
    return tuple(sorted(files))


def _neighbours(path: Path) -> str:
    parent = path if path.is_dir() else path.parent
    if not parent.is_dir():
        return f"There is no directory {parent} either."
    place = "This directory" if parent == Path() else str(parent)
    names = sorted(child.name for child in parent.iterdir() if not child.name.startswith("."))
    if not names:
        return f"{place} is empty."
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    more = ", …" if len(names) > _SHOWN else ""
    return f"{place} holds: {', '.join(names[:_SHOWN])}{more}"
