"""S3 and local paths keep what they are given, or say clearly why not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from moto import mock_aws

from shared import storage
from shared.errors import StorageError

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(storage, "FIRST_WAIT", 0.0)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield "s3://bucket"


@pytest.fixture(params=["S3", "local"])
def place(request: pytest.FixtureRequest, bucket: str, tmp_path: Path) -> str:
    return f"{bucket}/prefix" if request.param == "S3" else str(tmp_path / "prefix")


def test_bytes_written_are_read_back(place: str) -> None:
    storage.write_bytes(f"{place}/a", CONTENT)
    assert storage.read_bytes(f"{place}/a") == CONTENT


def test_a_file_uploaded_is_downloaded(place: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    storage.upload(tmp_path / "a", f"{place}/a")
    storage.download(f"{place}/a", tmp_path / "new" / "b")
    assert (tmp_path / "new" / "b").read_bytes() == CONTENT


def test_files_are_listed_in_order_and_only_under_the_prefix(place: str) -> None:
    for name in ("b", "a", "deep/er", "../other"):
        storage.write_bytes(f"{place}/{name}".replace("prefix/../", ""), b"x")
    assert storage.list_files(f"{place}/") == [f"{place}/{name}" for name in ("a", "b", "deep/er")]
    assert storage.list_files(f"{place}/nothing") == []


def test_more_files_than_fit_one_page_are_all_listed(bucket: str) -> None:
    service = boto3.client("s3")
    for number in range(1001):
        service.put_object(Bucket="bucket", Key=f"many/{number:04}", Body=b"")
    assert len(storage.list_files(f"{bucket}/many/")) == 1001


def test_deleting_removes_one_file_and_may_be_repeated(place: str) -> None:
    storage.write_bytes(f"{place}/a", b"x")
    storage.write_bytes(f"{place}/b", b"x")
    storage.delete(f"{place}/a")
    storage.delete(f"{place}/a")
    assert storage.list_files(place) == [f"{place}/b"]


def test_what_is_not_there_is_said_so(place: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"prefix/a: there is no such (object|file)"):
        storage.read_bytes(f"{place}/a")
    with pytest.raises(StorageError, match=r"there is no such (object|file)"):
        storage.download(f"{place}/a", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_objects_carry_their_sha_256(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    storage.write_bytes(f"{bucket}/written", CONTENT)
    storage.upload(tmp_path / "a", f"{bucket}/uploaded")
    for key in ("written", "uploaded"):
        head = boto3.client("s3").head_object(Bucket="bucket", Key=key, ChecksumMode="ENABLED")
        assert head["Metadata"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert head["ChecksumSHA256"]


def test_a_file_larger_than_a_part_is_kept_and_verified(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PART", 5 << 20)
    content = CONTENT * 50
    (tmp_path / "a").write_bytes(content)
    storage.upload(tmp_path / "a", f"{bucket}/a")
    storage.download(f"{bucket}/a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content


def test_content_that_does_not_fit_its_digest_is_refused(bucket: str, tmp_path: Path) -> None:
    wrong = {"sha256": hashlib.sha256(b"other").hexdigest()}
    boto3.client("s3").put_object(Bucket="bucket", Key="a", Body=b"x", Metadata=wrong)
    with pytest.raises(StorageError, match="the content is damaged"):
        storage.read_bytes(f"{bucket}/a")
    with pytest.raises(StorageError, match="the content is damaged"):
        storage.download(f"{bucket}/a", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_objects_that_others_stored_are_read_too(bucket: str) -> None:
    boto3.client("s3").put_object(Bucket="bucket", Key="a", Body=b"x")
    assert storage.read_bytes(f"{bucket}/a") == b"x"


def test_a_bucket_that_is_not_there_is_said_so(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    for attempt in (
        lambda: storage.read_bytes("s3://elsewhere/a"),
        lambda: storage.write_bytes("s3://elsewhere/a", b""),
        lambda: storage.upload(tmp_path / "a", "s3://elsewhere/a"),
        lambda: storage.list_files("s3://elsewhere/"),
    ):
        with pytest.raises(StorageError, match=r"s3://elsewhere/.*: there is no such bucket"):
            attempt()


class Failing:
    """An S3 client that fails a number of times before it answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error = error
        self.times = times
        self.calls = 0

    def put_object(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return {}


def refusal(code: str) -> Exception:
    answer: Any = {"Error": {"Code": code, "Message": "as AWS says"}}
    return botocore.exceptions.ClientError(answer, "PutObject")


UNREACHABLE = botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:9")


@pytest.mark.parametrize("error", [refusal("SlowDown"), refusal("InternalError"), UNREACHABLE])
def test_what_may_pass_by_itself_is_tried_again(bucket: str, error: Exception) -> None:
    client = Failing(error, storage.ATTEMPTS - 1)
    storage.write_bytes(f"{bucket}/a", b"x", client)
    assert client.calls == storage.ATTEMPTS


@pytest.mark.parametrize(
    ("error", "words", "calls"),
    [
        (refusal("SlowDown"), "S3 refuses: SlowDown: as AWS says", storage.ATTEMPTS),
        (UNREACHABLE, "S3 cannot be reached", storage.ATTEMPTS),
        (refusal("AccessDenied"), "access denied. Check the role", 1),
        (refusal("ExpiredToken"), "the AWS credentials are refused", 1),
        (refusal("Strange"), "S3 refuses: Strange", 1),
        (botocore.exceptions.NoCredentialsError(), "there are no AWS credentials", 1),
        (botocore.exceptions.NoRegionError(), "no AWS region is set", 1),
    ],
)  # fmt: skip
def test_a_lasting_refusal_is_explained(
    bucket: str, error: Exception, words: str, calls: int
) -> None:
    client = Failing(error, 99)
    with pytest.raises(StorageError, match=f"s3://bucket/a: {words}"):
        storage.write_bytes(f"{bucket}/a", b"x", client)
    assert client.calls == calls


@pytest.mark.parametrize("location", ["s3://", "s3:///key", "http://bucket/key"])
def test_another_form_of_location_is_refused(location: str) -> None:
    with pytest.raises(StorageError, match="not of the form s3://bucket/key"):
        storage.split(location)


def test_a_table_in_s3_is_read(bucket: str) -> None:
    from shared import tables
    from shared.errors import DataError

    storage.write_bytes(f"{bucket}/data/1.csv", b"a,b\n1,2\n")
    storage.write_bytes(f"{bucket}/data/2.csv", b"a,b\n3,4\n")
    assert tables.read(f"{bucket}/data/").num_rows == 2
    with pytest.raises(DataError, match="s3://bucket/empty/: there is no CSV or Parquet file"):
        tables.read(f"{bucket}/empty/")


def test_what_did_not_change_is_not_read_again(place: str) -> None:
    storage.write_bytes(f"{place}/a", b"one")
    first = storage.read_if_changed(f"{place}/a", None, 10)
    assert first is not None
    assert first[0] == b"one"
    assert storage.read_if_changed(f"{place}/a", first[1], 10) is None
    storage.write_bytes(f"{place}/a", b"two")
    second = storage.read_if_changed(f"{place}/a", first[1], 10)
    assert second is not None
    assert second[0] == b"two"


def test_more_than_the_limit_is_not_read_at_all(place: str) -> None:
    storage.write_bytes(f"{place}/a", CONTENT)
    with pytest.raises(StorageError, match="more than 10 bytes"):
        storage.read_if_changed(f"{place}/a", None, 10)


def test_a_change_of_what_is_not_there_cannot_be_read(place: str) -> None:
    with pytest.raises(StorageError, match="there is no such"):
        storage.read_if_changed(f"{place}/a", None, 10)
