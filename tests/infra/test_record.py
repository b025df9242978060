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


def test_two_that_write_at_once_lose_nothing_of_each_other_s() -> None:
    cloud = FakeCloud()
    mine, theirs = store(cloud), store(cloud)
    theirs_too: list[Entry] = []

    def edit(record: Record) -> Record:
        for name in ("first", "second")[len(theirs_too) :][:1]:
            theirs_too.append(Entry("model", name))
            theirs.change(lambda found: found.having(theirs_too))
        return record.having([Entry("endpoint", "mine")])

    assert mine.change(edit) == mine.load()
    assert mine.load().entries == (*theirs_too, Entry("endpoint", "mine"))
    assert len(theirs_too) == 2


def test_a_change_that_changes_nothing_writes_nothing() -> None:
    cloud = FakeCloud()
    store(cloud).change(lambda record: record)
    assert "put_object" not in cloud.calls
