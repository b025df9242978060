"""What the watcher takes over from a pointer, what it refuses, and what it tries again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference import handler, reload, watcher
from shared import bundle
from tests.support import bundles, swaps
from tests.support.swaps import House, Made, Packed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return swaps.make(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def house(made: Made, tmp_path: Path) -> House:
    return House(made, tmp_path)


def test_the_bundle_that_the_pointer_names_is_the_one_to_serve(house: House) -> None:
    house.point(house.made.second)
    assert house.watcher.look()
    assert house.serves(house.made.second)
    assert (house.state.swaps, house.state.refusals, house.state.problem) == (1, 0, None)
    model, directory = house.shelf.open()
    assert (model.version, directory.name) == (house.made.second.version, house.made.second.digest)


def test_a_pointer_to_what_is_served_changes_nothing_and_fetches_nothing(house: House) -> None:
    swaps.point(house.pointer, "s3://no-such-bucket/at-all", house.made.deployed.digest)
    assert house.watcher.look()
    assert house.serves(house.made.deployed)
    assert (Path(house.state.directory), house.state.swaps) == (house.shelf.deployed, 0)


def test_pointing_back_at_the_deployed_bundle_goes_back_without_fetching_it(house: House) -> None:
    house.point(house.made.second)
    house.watcher.look()
    swaps.point(house.pointer, "s3://no-such-bucket/at-all", house.made.deployed.digest)
    assert house.watcher.look()
    assert house.serves(house.made.deployed)
    assert house.shelf.current() == house.shelf.deployed


def flip(name: str) -> Callable[[str, bytes], bytes]:
    """Change one bit of one file."""

    def change(entry: str, data: bytes) -> bytes:
        if entry != name:
            return data
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    return change


def worse(golden: Any) -> Any:
    """Golden rows that came out otherwise in training."""
    rows = len(golden["records"])
    halves = [{"label": True, "score": 0.5}] * rows
    return {**golden, "outputs": [[0.5]] * rows, "predictions": halves}


Spoil = Callable[[Packed, Path], Packed]
SPOILT: dict[str, tuple[Spoil, str]] = {
    "a network that was tampered with": (
        lambda packed, to: swaps.repacked(packed, to / "x.tar.gz", flip("model.onnx")),
        "model.onnx: the file was changed",
    ),
    "a manifest that was tampered with": (
        lambda packed, to: swaps.repacked(packed, to / "x.tar.gz", flip("manifest.json")),
        "manifest.json",
    ),
    "another bundle than the pointer's": (
        lambda packed, to: replace(packed, digest="0" * 64),
        f"not {'0' * 64}",
    ),
    "an archive that breaks off": (
        lambda packed, to: replace(packed, archive=truncated(packed, to / "x.tar.gz")),
        "not a sound .tar.gz",
    ),
    "a network that answers otherwise than in training": (
        lambda packed, to: swaps.resealed(copied(packed, to), "golden.json", worse),
        "the network gives",
    ),
    "columns in another order": (
        lambda packed, to: swaps.pack(bundles.build(to / "other", columns=bundles.COLUMNS[::-1])),
        "clients of the deployed model would break",
    ),
    "another task": (
        lambda packed, to: swaps.pack(bundles.build(to / "other", "regression")),
        "its task: 'regression', not 'binary'",
    ),
}


def truncated(packed: Packed, to: Path) -> Path:
    data = packed.archive.read_bytes()
    to.write_bytes(data[: len(data) // 2])
    return to


def copied(packed: Packed, to: Path) -> Path:
    return Path(shutil.copytree(packed.directory, to / "copy"))


@pytest.mark.parametrize("name", SPOILT)
def test_a_bad_bundle_is_refused_once_and_leaves_nothing(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    spoil, reason = SPOILT[name]
    bad = spoil(house.made.second, tmp_path)
    house.point(bad)
    assert house.watcher.look()
    assert house.serves(house.made.deployed)
    assert (house.state.swaps, house.state.refusals) == (0, 1)
    assert reason in str(house.state.problem)
    house.watcher.look()
    assert swaps.events(caplog) == ["bundle refused"]
    house.point(house.made.second)
    house.watcher.look()
    assert house.serves(house.made.second)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"s3://bucket/model.tar.gz", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"bundle": "a"}', "the key 'digest' is missing"),
        (b'{"bundle": "a", "digest": "b"}', "64 hexadecimal digits"),
        (b'{"bundle": "a", "digets": "b"}', "unknown key 'digets'"),
        (b"[" * 60_000, "not JSON"),
    ],
)
def test_a_pointer_that_is_none_is_refused(house: House, text: bytes, reason: str) -> None:
    Path(house.pointer).write_bytes(text)
    assert house.watcher.look()
    assert reason in str(house.state.problem)
    assert house.serves(house.made.deployed)


def test_what_was_refused_is_tried_again_when_somebody_asks(house: House, tmp_path: Path) -> None:
    archive = truncated(house.made.second, tmp_path / "x.tar.gz")
    swaps.point(house.pointer, archive, house.made.second.digest)
    house.watcher.look()
    shutil.copy(house.made.second.archive, archive)
    house.watcher.look()
    assert not house.serves(house.made.second)
    house.watcher.look(told=True)
    assert house.serves(house.made.second)


def test_a_pointer_that_changes_while_its_bundle_is_proved_is_read_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved: list[str] = []

    class Model(handler.Model):
        def __init__(self, fetched: bundle.Bundle) -> None:
            super().__init__(fetched)
            proved.append(self.version)
            house.point(house.made.third)

    monkeypatch.setattr(handler, "Model", Model)
    house.point(house.made.second)
    house.watcher.look()
    assert proved == [house.made.second.version, house.made.third.version]
    assert house.serves(house.made.third)
    assert house.state.swaps == 1


def test_a_bundle_stays_as_long_as_it_is_used_and_a_third_waits_for_that(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "RELEASE_SECONDS", -1)
    house.point(house.made.second)
    house.watcher.look()
    model, directory = house.shelf.open()
    house.point(house.made.deployed)
    house.watcher.look()
    assert house.shelf.current() == house.shelf.deployed
    assert bundle.load(directory).manifest.digest == house.made.second.digest
    house.point(house.made.third)
    assert not house.watcher.look()
    assert house.shelf.current() == house.shelf.deployed
    del model
    assert house.watcher.look()
    assert house.serves(house.made.third)


def test_a_bundle_that_is_still_there_is_not_fetched_again(house: House) -> None:
    house.point(house.made.second)
    house.watcher.look()
    held = house.shelf.open()
    house.point(house.made.deployed)
    house.watcher.look()
    swaps.point(house.pointer, "/nowhere", house.made.second.digest)
    assert house.watcher.look()
    assert house.shelf.current() == held[1]


def test_no_room_on_the_disk_leaves_everything_as_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.point(house.made.second)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
        assert not house.watcher.look()
    assert house.serves(house.made.deployed)
    assert house.watcher.look()
    assert house.serves(house.made.second)


def test_a_bundle_that_kills_the_watcher_is_refused_by_the_next_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead(BaseException):
        pass

    left = house.place / "left"

    class Model:
        def __init__(self, _: bundle.Bundle) -> None:
            shutil.copy(house.shelf.path / watcher.UNDER_PROOF, left)
            raise Dead

    house.point(house.made.second)
    with monkeypatch.context() as patch:
        patch.setattr(handler, "Model", Model)
        with pytest.raises(Dead):
            house.watcher.look()
    # A killed process would have cleaned nothing up.
    left.replace(house.shelf.path / watcher.UNDER_PROOF)
    following = house.another()
    assert following.look()
    assert house.serves(house.made.deployed)
    assert "died of it" in str(house.state)
    following.look(told=True)
    assert house.serves(house.made.second)


def test_another_watcher_goes_on_where_the_one_before_it_was(house: House) -> None:
    house.point(house.made.second)
    house.watcher.look()
    before = house.state
    assert house.another().look()
    assert house.state == before
    assert house.serves(house.made.second)


def test_without_a_deployed_bundle_the_pointers_first_one_is_the_contract(
    made: Made, tmp_path: Path
) -> None:
    house = House(made, tmp_path, deployed=tmp_path / "nothing")
    house.point(made.second)
    house.watcher.look()
    assert house.serves(made.second)
    house.point(swaps.pack(bundles.build(tmp_path / "other", "regression")))
    for each in (house.watcher, house.another()):
        each.look()
        assert house.serves(made.second)


def test_the_state_is_readable_json(house: House) -> None:
    house.watcher.look()
    found = json.loads((house.shelf.path / reload.STATE).read_text())
    assert (found["digest"], found["swaps"], found["refusals"]) == (
        house.made.deployed.digest,
        0,
        0,
    )
    assert "there is no such file" in found["problem"]
