"""S3 and local paths behind the same few functions: verified, retried, atomic.

The one place of shared, training and inference that talks to S3. A location is ``s3://bucket/key``
or a local path. What is stored in S3 carries its SHA-256. S3 compares it on arrival and refuses
what differs; what went up in parts (each compared on arrival) is asked for its size and digest
afterwards; and whatever is read is compared with the digest. An object appears when all of it is
there, never in part. No write is conditional: where two writers could meet, they write one content
under one name.

boto3's own retries (mode "standard") answer a throttled or a broken request, and an outer loop
what they do not see: content that arrives damaged or breaks off, and a throttling that lasts. Both
are bounded. boto3 is imported where it is used; its usual environment variables and files say which
account and endpoint.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import shutil
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from shared import files
from shared.errors import StorageError

T = TypeVar("T")

ATTEMPTS = 5
FIRST_WAIT = 0.5
OWN_ATTEMPTS_OF_BOTO = 3
PART = 64 << 20
_TRANSIENT = {
    "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "Throttling",
    "ThrottlingException", "RequestLimitExceeded", "BandwidthLimitExceeded", "429", "500", "502",
    "503", "504",
}  # fmt: skip
_DAMAGED_ON_THE_WAY = {"BadDigest", "XAmzContentChecksumMismatch", "IncompleteBody"}
_RIGHTS = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket"}


class _DamagedError(Exception):
    """What arrived is not what was stored; worth another attempt."""


def client(session: Any = None) -> Any:
    """An S3 client of the given boto3 session, or of the default one.

    Raises:
        StorageError: boto3's settings are wrong.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    retries = {"mode": "standard", "total_max_attempts": OWN_ATTEMPTS_OF_BOTO}
    try:
        return (session or boto3).client("s3", config=Config(retries=retries, connect_timeout=10))
    except BotoCoreError as exception:
        raise _explained(exception, "s3://")[0] from exception


def is_s3(location: str | Path) -> bool:
    """Whether the location is in S3."""
    return str(location).startswith("s3://")


def split(location: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``; the key may be empty.

    Raises:
        StorageError: the location is not of this form.
    """
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not is_s3(location) or not bucket:
        raise StorageError("not of the form s3://bucket/key", where=location)
    return bucket, key


def read_bytes(location: str | Path, s3: Any = None) -> bytes:
    """The whole content.

    Raises:
        StorageError: it is not there, cannot be read, or arrives damaged.
    """
    if not is_s3(location):
        with _disk(location):
            return Path(location).read_bytes()
    bucket, key = split(str(location))
    service = s3 or client()

    def get() -> bytes:
        answer = service.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        data: bytes = answer["Body"].read()
        _compare(hashlib.sha256(data).hexdigest(), answer)
        return data

    return _attempt(get, str(location))


def read_if_changed(
    location: str | Path, tag: str | None, limit: int, s3: Any = None
) -> tuple[bytes, str] | None:
    """The whole content of a small file and its tag; None when the tag is still `tag`.

    Asking for what did not change costs S3 one answer without content (If-None-Match).

    Raises:
        StorageError: it is not there, cannot be read, arrives damaged, or has more than `limit`
            bytes.
    """
    if not is_s3(location):
        with _disk(location), Path(location).open("rb") as file:
            data = file.read(limit + 1)
        _check_limit(len(data), limit, location)
        found = hashlib.sha256(data).hexdigest()
        return None if found == tag else (data, found)
    bucket, key = split(str(location))
    service = s3 or client()
    condition = {"IfNoneMatch": tag} if tag else {}

    def get() -> tuple[bytes, str] | None:
        try:
            answer = service.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **condition)
        except service.exceptions.ClientError as exception:
            if exception.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_MODIFIED:
                return None
            raise
        with answer["Body"] as body:
            _check_limit(answer["ContentLength"], limit, location)
            data: bytes = body.read()
        _compare(hashlib.sha256(data).hexdigest(), answer)
        return data, str(answer["ETag"])

    return _attempt(get, str(location))


def write_bytes(location: str | Path, data: bytes, s3: Any = None) -> None:
    """Store `data`, in parts where it is large; readers see the old content or the new one.

    Raises:
        StorageError: the place cannot be written.
    """
    if not is_s3(location):
        files.write(Path(location), data)
        return
    bucket, key = split(str(location))
    service = s3 or client()
    digest = hashlib.sha256(data).hexdigest()
    extra = _sealed(digest)

    def put() -> None:
        if len(data) < PART:
            service.put_object(Bucket=bucket, Key=key, Body=data, **extra)
            return
        service.upload_fileobj(io.BytesIO(data), bucket, key, ExtraArgs=extra, Config=_transfer())
        _check(service, bucket, key, len(data), digest)

    _attempt(put, str(location))


def upload(path: Path, location: str | Path, s3: Any = None) -> None:
    """Copy a local file to `location`; large ones go in parts.

    Raises:
        StorageError: the file cannot be read, or the place cannot be written.
    """
    if not is_s3(location):
        _copy(path, Path(location))
        return
    bucket, key = split(str(location))
    service = s3 or client()
    with _disk(path):
        digest, size = files.sha256(path), path.stat().st_size

    def put() -> None:
        extra = _sealed(digest)
        service.upload_file(str(path), bucket, key, ExtraArgs=extra, Config=_transfer())
        if size >= PART:
            _check(service, bucket, key, size, digest)

    _attempt(put, str(location))


def download(location: str | Path, path: Path, s3: Any = None) -> None:
    """Copy `location` to a local file, atomically and verified.

    Raises:
        StorageError: it is not there, cannot be read, arrives damaged, or the disk refuses.
    """
    if not is_s3(location):
        _copy(Path(location), path)
        return
    bucket, key = split(str(location))
    service = s3 or client()

    def get() -> None:
        with files.atomic(path) as file:
            answer = service.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            digest = hashlib.sha256()
            for block in answer["Body"].iter_chunks(files.BLOCK):
                digest.update(block)
                file.write(block)
            _compare(digest.hexdigest(), answer)

    _attempt(get, str(location))


def list_files(location: str | Path, s3: Any = None) -> list[str]:
    """The locations of all files under a prefix or folder, sorted; none if there are none.

    Raises:
        StorageError: the bucket is not there, or may not be listed.
    """
    if not is_s3(location):
        folder = Path(location)
        return sorted(str(path) for path in folder.rglob("*") if path.is_file())
    bucket, prefix = split(str(location))
    service = s3 or client()

    def find() -> list[str]:
        pages = service.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(f"s3://{bucket}/{key}" for key in keys if not key.endswith("/"))

    return _attempt(find, str(location))


def size(location: str | Path, s3: Any = None) -> int:
    """Bytes of one file.

    Raises:
        StorageError: it is not there, or cannot be asked for.
    """
    if not is_s3(location):
        with _disk(location):
            return Path(location).stat().st_size
    bucket, key = split(str(location))
    service = s3 or client()
    return _attempt(
        lambda: int(service.head_object(Bucket=bucket, Key=key)["ContentLength"]), str(location)
    )


def delete(location: str | Path, s3: Any = None) -> None:
    """Remove one file; it is no error if it is not there.

    Raises:
        StorageError: it cannot be removed.
    """
    if not is_s3(location):
        with _disk(location):
            Path(location).unlink(missing_ok=True)
        return
    bucket, key = split(str(location))
    service = s3 or client()
    _attempt(lambda: service.delete_object(Bucket=bucket, Key=key), str(location))


def _sealed(digest: str) -> dict[str, Any]:
    """Our record of the whole, and S3's own check of each part on arrival."""
    return {"Metadata": {"sha256": digest}, "ChecksumAlgorithm": "SHA256"}


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)


def _check(service: Any, bucket: str, key: str, size: int, digest: str) -> None:
    """What went up in parts has no digest of the whole that S3 could have compared."""
    head = service.head_object(Bucket=bucket, Key=key)
    stored = head["ContentLength"], head.get("Metadata", {}).get("sha256")
    if stored != (size, digest):
        raise _DamagedError(f"{stored[0]} bytes of digest {stored[1]} were stored")


def _copy(source: Path, target: Path) -> None:
    with _disk(source), source.open("rb") as reading, files.atomic(target) as writing:
        shutil.copyfileobj(reading, writing, files.BLOCK)


@contextlib.contextmanager
def _disk(location: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as exception:
        raise files.disk_error(exception, location) from exception


def _check_limit(size: int, limit: int, location: str | Path) -> None:
    if size > limit:
        raise StorageError(f"it has more than {limit} bytes", where=str(location))


def _compare(digest: str, answer: dict[str, Any]) -> None:
    """Our own record first; else the service's, which there is for objects stored in one part."""
    expected = answer.get("Metadata", {}).get("sha256")
    checksum = answer.get("ChecksumSHA256")
    if not expected and checksum and "-" not in checksum:
        expected = base64.b64decode(checksum).hex()
    if expected and digest != expected:
        raise _DamagedError(f"SHA-256 {digest} arrived where {expected} was stored")


def _attempt(action: Callable[[], T], where: str) -> T:
    """Run, again after what may pass by itself, at most ATTEMPTS times."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (BotoCoreError, Boto3Error, ClientError, _DamagedError) as exception:
            error, again = _explained(exception, where)
            if not again or attempt == ATTEMPTS:
                raise error from exception
        except OSError as exception:
            raise files.disk_error(exception, where) from exception
        time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
    raise AssertionError


def _explained(exception: Exception, where: str) -> tuple[StorageError, bool]:
    """The error in our words, and whether another attempt may help."""
    from botocore import exceptions as known

    cause: BaseException | None = exception
    while cause is not None and not isinstance(cause, known.ClientError | known.BotoCoreError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(exception, _DamagedError):
        return StorageError(f"the content is damaged: {exception}", where=where, lost=True), True
    if isinstance(cause, known.ClientError):
        return _refused(cause, where)
    if isinstance(cause, known.NoCredentialsError | known.PartialCredentialsError):
        cure = "Run aws configure, or set AWS_PROFILE"
        return StorageError("there are no AWS credentials", where=where, cure=cure), False
    if isinstance(cause, known.NoRegionError):
        cure = "Set AWS_DEFAULT_REGION"
        return StorageError("no AWS region is set", where=where, cure=cure), False
    if isinstance(cause, known.ParamValidationError | known.InvalidRegionError):
        return StorageError(f"not a place in S3: {cause}", where=where), False
    message = f"S3 cannot be reached: {cause or exception}"
    return StorageError(message, where=where, cure="Check the network and the endpoint"), True


def _refused(exception: Any, where: str) -> tuple[StorageError, bool]:
    code = str(exception.response.get("Error", {}).get("Code", ""))
    text = exception.response.get("Error", {}).get("Message", "")
    if code == "NoSuchBucket":
        cure = "Check the name, or create the bucket"
        return StorageError("there is no such bucket", where=where, cure=cure), False
    if code in ("NoSuchKey", "404", "NotFound"):
        return StorageError("there is no such object", where=where, lost=True), False
    if code in ("AccessDenied", "403", "Forbidden", "AllAccessDisabled"):
        right = _RIGHTS.get(exception.operation_name, exception.operation_name)
        cure = f"Check the role's rights (s3:{right} is needed), and that the bucket is yours"
        return StorageError("access denied", where=where, cure=cure), False
    if code in ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"):
        cure = "Renew the AWS credentials"
        return StorageError(
            f"the AWS credentials are refused: {text}", where=where, cure=cure
        ), False
    again = code in _TRANSIENT or code in _DAMAGED_ON_THE_WAY
    later = "Try again later" if again else None
    return StorageError(f"S3 refuses: {code}: {text}", where=where, cure=later), again
