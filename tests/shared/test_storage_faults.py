"""S3 as it is on a bad day: throttled, slow, cut off, damaged, denied. Injected below boto3."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from shared import storage
from shared.errors import StorageError
from tests.support import s3

CONTENT = bytes(range(256)) * 40_000
PLACE = "s3://bucket/a"


FAULTS = {
    "throttled": s3.SLOW_DOWN,
    "unavailable": s3.refused(503, "ServiceUnavailable"),
    "an inner error": s3.refused(500, "InternalError"),
    "a time-out": s3.raising(ReadTimeoutError(endpoint_url="https://s3")),
    "a broken connection": s3.raising(ConnectionClosedError(endpoint_url="https://s3")),
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3.server() as address:
        yield address


@pytest.fixture(autouse=True)
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.begin(server, monkeypatch)
    monkeypatch.setattr(storage, "PART", 5 << 20)


def stored() -> bytes | None:
    with contextlib.suppress(boto3.client("s3").exceptions.NoSuchKey):
        data: bytes = boto3.client("s3").get_object(Bucket="bucket", Key="a")["Body"].read()
        return data
    return None


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("times", [1, 4])
def test_what_passes_is_waited_out_for_small_and_large_content(fault: str, times: int) -> None:
    for content in (b"small", CONTENT):
        day = s3.Day(FAULTS[fault], times)
        storage.write_bytes(PLACE, content, day.client)
        assert stored() == content
        assert storage.read_bytes(PLACE, s3.Day(FAULTS[fault], times).client) == content
        assert storage.list_files(PLACE, s3.Day(FAULTS[fault], times).client) == [PLACE]
        storage.delete(PLACE, s3.Day(FAULTS[fault], times).client)
        assert stored() is None


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_what_s3_says_was_damaged_on_the_way_is_sent_again(operation: str) -> None:
    content = b"small" if operation == "PutObject" else CONTENT
    day = s3.Day(s3.refused(400, "BadDigest"), 1, only=operation)
    storage.write_bytes(PLACE, content, day.client)
    assert day.calls[operation] > 1
    assert stored() == content


def test_large_content_goes_in_parts_and_each_part_carries_its_checksum() -> None:
    day = s3.Day(s3.SLOW_DOWN, 0)
    storage.write_bytes(PLACE, CONTENT, day.client)
    assert day.calls == {
        "CreateMultipartUpload": 1, "UploadPart": 2, "CompleteMultipartUpload": 1, "HeadObject": 1,
    }  # fmt: skip
    assert storage.read_bytes(PLACE) == CONTENT


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_parts_that_never_all_arrive_leave_nothing(operation: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    for attempt in (
        lambda day: storage.write_bytes(PLACE, CONTENT, day.client),
        lambda day: storage.upload(tmp_path / "a", PLACE, day.client),
    ):
        day = s3.Day(s3.SLOW_DOWN, 10_000, only=operation)
        with pytest.raises(StorageError, match=r"s3://bucket/a: S3 refuses: SlowDown.*Try again"):
            attempt(day)
        assert stored() is None
        assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket="bucket")


def test_an_object_that_is_not_what_was_sent_in_parts_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day = s3.Day(s3.SLOW_DOWN, 0)
    real, answers = day.client.head_object, iter([{"ContentLength": 7}])
    monkeypatch.setattr(
        day.client, "head_object", lambda **given: next(answers, None) or real(**given)
    )
    storage.write_bytes(PLACE, CONTENT, day.client)
    assert day.calls["CompleteMultipartUpload"] == 2


def test_what_arrives_damaged_is_fetched_again() -> None:
    storage.write_bytes(PLACE, CONTENT)
    half = CONTENT[: len(CONTENT) // 2]

    def torn(request: Any) -> AWSResponse:
        digest = boto3.client("s3").head_object(Bucket="bucket", Key="a")["Metadata"]["sha256"]
        return AWSResponse(request.url, 200, {"x-amz-meta-sha256": digest}, s3.Raw(half))

    day = s3.Day(torn, 2, only="GetObject")
    assert storage.read_bytes(PLACE, day.client) == CONTENT
    assert day.calls["GetObject"] == 3
    with pytest.raises(StorageError, match="the content is damaged") as raised:
        storage.read_bytes(PLACE, s3.Day(torn, 99, only="GetObject").client)
    assert raised.value.lost


def test_a_throttling_that_lasts_is_an_error_after_a_bounded_number_of_calls() -> None:
    day = s3.Day(s3.SLOW_DOWN, 10_000)
    with pytest.raises(StorageError, match="S3 refuses: SlowDown: as S3 says") as raised:
        storage.write_bytes(PLACE, b"x", day.client)
    assert 1 < day.calls["PutObject"] <= storage.ATTEMPTS * storage.OWN_ATTEMPTS_OF_BOTO
    assert not raised.value.lost


@pytest.mark.parametrize(
    ("attempt", "right"),
    [
        (lambda client: storage.write_bytes(PLACE, b"x", client), "s3:PutObject"),
        (lambda client: storage.read_bytes(PLACE, client), "s3:GetObject"),
        (lambda client: storage.list_files(PLACE, client), "s3:ListBucket"),
        (lambda client: storage.delete(PLACE, client), "s3:DeleteObject"),
    ],
)  # fmt: skip
def test_a_missing_right_is_named_and_not_asked_for_again(
    attempt: Callable[[Any], object], right: str
) -> None:
    day = s3.Day(s3.DENIED, 99)
    with pytest.raises(StorageError, match=rf"access denied\. Check the role's rights \({right} "):
        attempt(day.client)
    assert list(day.calls.values()) == [1]


def test_settings_that_boto3_refuses_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(StorageError, match="nobody"):
        storage.client()
