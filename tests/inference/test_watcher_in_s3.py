"""The watcher's pointer and bundles in S3: asked sparingly, and borne with on its bad days."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError, IncompleteReadError, NoCredentialsError

from shared import storage
from tests.support import s3, swaps
from tests.support.swaps import House, Made

POINTER = f"s3://{s3.BUCKET}/pointer.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return swaps.make(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with s3.server() as address:
        yield address


@pytest.fixture
def house(cloud: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A watcher of a pointer in S3, which points to a bundle there."""
    s3.begin(cloud, monkeypatch)
    bundle_place = f"s3://{s3.BUCKET}/model.tar.gz"
    storage.upload(made.second.archive, bundle_place)
    swaps.point(POINTER, bundle_place, made.second.digest)
    return House(made, tmp_path, pointer=POINTER)


def test_in_s3_a_pointer_that_did_not_change_costs_one_answer_without_content(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = s3.Day(s3.SLOW_DOWN, 0)
    monkeypatch.setattr(storage, "client", lambda _: day.client)
    house.watcher.look()
    assert house.serves(house.made.second)
    fetched = dict(day.calls)
    house.watcher.look()
    assert day.calls == {**fetched, "GetObject": fetched["GetObject"] + 1}


BAD_DAYS: dict[str, s3.Fault] = {
    "throttled": s3.SLOW_DOWN,
    "access denied": s3.DENIED,
    "expired credentials": s3.refused(403, "ExpiredToken"),
    "no credentials": s3.raising(NoCredentialsError()),
    "out of reach": s3.raising(EndpointConnectionError(endpoint_url="https://s3")),
    "cut off": s3.raising(IncompleteReadError(actual_bytes=1, expected_bytes=2)),
    "no such object": s3.refused(404, "NoSuchKey"),
}


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject"])
@pytest.mark.parametrize("fault", BAD_DAYS)
def test_while_s3_has_a_bad_day_the_old_model_goes_on_and_then_the_new_one(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    operation: str,
) -> None:
    clients = [s3.Day(BAD_DAYS[fault], 1000, operation).client for _ in range(2)]
    clients.append(storage.client())
    monkeypatch.setattr(storage, "client", lambda _: clients.pop(0))
    for _ in range(2):
        assert not house.watcher.look()
        assert house.serves(house.made.deployed)
    assert swaps.events(caplog) == ["pointer not followed"]
    assert house.watcher.look()
    assert house.serves(house.made.second)
    assert (house.state.refusals, house.state.problem) == (0, None)
