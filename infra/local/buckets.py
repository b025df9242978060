"""S3 for the daemon's own errands: a job's channels and results, a model's data.

It talks to the local cloud's S3 like any other client would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class MissingError(Exception):
    """There is nothing at an S3 location."""


@dataclass(frozen=True)
class Location:
    """``s3://bucket/key``, where the key may be a prefix."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Location:
        """The location that an S3 URI names."""
        parts = urlsplit(uri)
        return cls(parts.netloc, uri.partition(f"//{parts.netloc}")[2].lstrip("/"))

    def __truediv__(self, name: str) -> Location:
        key = f"{self.key.rstrip('/')}/{name}" if self.key else name
        return Location(self.bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Buckets:
    """The few things done with S3 here."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def list(self, prefix: Location) -> Iterator[str]:
        """Every key below a prefix, markers of folders left out."""
        from botocore.exceptions import ClientError

        pages = self._client.get_paginator("list_objects_v2")
        try:
            for each in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key):
                for found in each.get("Contents", []):
                    if not found["Key"].endswith("/"):
                        yield found["Key"]
        except ClientError as error:
            raise MissingError(str(error)) from None

    def download(self, source: Location, target: Path) -> None:
        """One object into a file.

        Raises:
            MissingError: there is no such object.
        """
        from botocore.exceptions import ClientError

        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._client.download_file(source.bucket, source.key, str(target))
        except ClientError as error:
            raise MissingError(str(error)) from None

    def download_prefix(
        self,
        prefix: Location,
        directory: Path,
        *,
        share: tuple[int, int] | None = None,
        changing: bool = False,
    ) -> None:
        """Every object below a prefix, as SageMaker lays a channel out.

        A prefix that is an object's whole key gives that one file; one that names a folder gives
        what is below it; any other gives what shares it, named from its last slash on.

        Args:
            prefix: where.
            directory: made, even if this share is empty.
            share: (k, n) takes the k-th, (k + n)-th, … of the keys in their order; None all.
            changing: somebody else may delete there, and what went meanwhile is left out.

        Raises:
            MissingError: nothing there, or no such bucket.
        """
        folder = prefix.key.rstrip("/") + "/"
        parent = prefix.key[: prefix.key.rfind("/") + 1]
        keys = list(self.list(prefix))
        if not keys:
            raise MissingError(f"no objects under {prefix}")
        directory.mkdir(parents=True, exist_ok=True)
        first, step = share or (0, 1)
        for key in keys[first::step]:
            base = folder if key.startswith(folder) else parent
            target = (directory / key[len(base) :]).resolve()
            if not target.is_relative_to(directory.resolve()):
                raise MissingError(f"the key {key!r} leaves its channel's directory")
            try:
                self.download(Location(prefix.bucket, key), target)
            except MissingError:
                if not changing:
                    raise

    def upload(self, source: Path, target: Location, *, key: str | None = None) -> None:
        """One file into an object, encrypted by a key of KMS where one is named."""
        secret = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else None
        self._client.upload_file(str(source), target.bucket, target.key, ExtraArgs=secret)

    def delete(self, target: Location) -> None:
        """Remove one object; none there is fine."""
        self._client.delete_object(Bucket=target.bucket, Key=target.key)
