"""The record: what it lists is what was made, and what it does not understand it does not touch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.record import Entry, Outcome, Record, RecordStore, Release
from shared.errors import StorageError
from tests.support.fake_cloud import FakeCloud, refused

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


def release(config: str, outcome: Outcome = "live") -> Release:
    return Release(
        config, "model", "job", "s3://bucket/data", "image", "2026-11-23T12:00:00+00:00", outcome
    )


def test_releases_are_numbered_and_come_back() -> None:
    place = store(FakeCloud())
    scored = replace(release("two"), scores=(("auc", 0.75),), package="arn", caused_by="make")
    place.change(lambda record: record.released(release("one")).released(scored))
    first, second = place.load().releases
    assert (first.number, first.config) == (1, "one")
    assert second == replace(scored, number=2)


def test_the_last_fifty_releases_are_kept_with_their_numbers() -> None:
    record = Record("small")
    for number in range(60):
        record = record.released(release(f"config-{number}"))
    assert [one.number for one in record.releases] == list(range(11, 61))


def test_the_live_one_is_the_last_that_was_verified() -> None:
    record = Record("small").released(release("one")).released(release("two", "rolled back"))
    assert record.live is not None
    assert record.live.config == "one"


def test_a_record_from_before_there_were_releases_is_read() -> None:
    cloud = FakeCloud()
    place = store(cloud)
    cloud.objects["small/record.json"] = b'{"format": 1, "project": "small", "entries": []}'
    assert place.load() == Record("small")


def test_a_release_that_is_none_is_no_record() -> None:
    cloud = FakeCloud()
    place = store(cloud)
    place.change(lambda record: record.released(release("one")))
    whole = cloud.objects["small/record.json"]
    cloud.objects["small/record.json"] = whole.replace(b'"live"', b'"elsewhere"')
    with pytest.raises(StorageError):
        place.load()


def test_a_release_whose_writing_went_unheard_is_noted_once() -> None:
    class Unheard(FakeCloud):
        """botocore asks again by itself, and hears that its condition holds no more."""

        def put_object(self, *args: Any, **request: Any) -> dict[str, Any]:
            answer = super().put_object(*args, **request)
            if "IfNoneMatch" in request:
                raise refused("PutObject", "PreconditionFailed")
            return answer

    place = store(Unheard())
    place.change(lambda record: record.released(release("one")))
    assert [one.number for one in place.load().releases] == [1]
