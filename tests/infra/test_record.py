"""The record: what it lists is what was made, and what it does not understand it does not touch."""

from __future__ import annotations

import pytest

from infra.record import Entry, Record, RecordStore
from shared.errors import StorageError
from tests.support.fake_cloud import FakeCloud

MODEL = Entry("model", "small-1")


def store(cloud: FakeCloud) -> RecordStore:
    cloud.buckets.add("bucket")
    return RecordStore(cloud, "bucket", "small")


def test_a_record_comes_back_as_it_was_saved() -> None:
    place = store(FakeCloud())
    record = Record("small").having([MODEL, Entry("endpoint", "small")])
    place.save(record)
    assert place.load() == record


def test_where_there_is_none_it_is_empty() -> None:
    assert store(FakeCloud()).load() == Record("small")


def test_an_entry_is_there_once() -> None:
    record = Record("small").having([MODEL, MODEL]).having([MODEL])
    assert record.entries == (MODEL,)
    assert record.without([MODEL]).entries == ()


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"format": 9}', b'{"format": 1, "project": "other", "entries": []}']
)
def test_something_else_in_its_place_is_told_and_left_alone(text: bytes) -> None:
    cloud = FakeCloud()
    place = store(cloud)
    cloud.objects["small/record.json"] = text
    with pytest.raises(StorageError, match=r"s3://bucket/small/record\.json"):
        place.load()
    assert cloud.objects["small/record.json"] == text
