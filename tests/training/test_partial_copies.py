"""Whatever a copy of the checkpoints lacks or spoils: a good checkpoint, or a fresh start.

SageMaker copies the folder to S3 file by file, in no order, while training goes on writing and
deleting; the next instance starts with what had arrived.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import storage
from training.checkpoints import SETTLED, Checkpoint, Checkpoints

EPOCHS = (3, 8, 9)
TRIALS = 3
DAMAGES = ("whole", "whole", "absent", "cut", "flipped", "empty", "another's", "doubled")


@pytest.fixture(autouse=True, scope="module")
def quick_disk() -> Iterator[None]:
    """Nothing here loses its power: synced to disk or not, the files are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def state(epoch: int) -> Checkpoint:
    numbers = np.random.default_rng(epoch)
    arrays = {
        "model/0": numbers.normal(size=(4, 3)).astype(np.float32),
        "optimizer/0": np.array(epoch),
    }
    return Checkpoint(epoch, arrays, {"best_epoch": 3, "history": [{"val_loss": 1 / epoch}]})


def same(found: Checkpoint) -> bool:
    """Whether it is, bit for bit, what was saved after its epoch."""
    wanted = state(found.epoch)
    return found.values == wanted.values and {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in found.arrays.items()
    } == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in wanted.arrays.items()
    }


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The files of a job: three checkpoints and the documents of three trials."""
    with tempfile.TemporaryDirectory() as folder:
        for epoch in EPOCHS:
            now = Checkpoints(folder, "job", print)
            now.latest()
            now.save(state(epoch), best_epoch=3, val_loss=1 / epoch)
        for number in range(TRIALS):
            now.write_document(f"trial-{number:04d}", {"number": number, "loss": 0.1 + number})
        return {path.name: path.read_bytes() for path in Path(folder, "job").iterdir()}


def spoilt(draw: st.DataObject, name: str, whole: dict[str, bytes]) -> bytes | None:
    """A file as a bad copy may have it; None where it is not there."""
    content = whole[name]
    damage = draw.draw(st.sampled_from(DAMAGES), label=f"{name} is")
    place = draw.draw(st.integers(0, len(content) - 1)) if damage in ("cut", "flipped") else 0
    if damage == "cut":
        return content[:place]
    if damage == "flipped":
        bit = 1 << draw.draw(st.integers(0, 7))
        return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    if damage == "another's":
        return whole[draw.draw(st.sampled_from(sorted(whole)))]
    return {"whole": content, "absent": None, "empty": b"", "doubled": content * 2}[damage]


@settings(max_examples=150, deadline=None)
@given(draw=st.data())
def test_any_damage_leaves_a_good_checkpoint_or_a_fresh_start(
    files: dict[str, bytes], draw: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "job")
        place.mkdir()
        copied = {name: spoilt(draw, name, files) for name in sorted(files)}
        for name, content in copied.items():
            if content is not None:
                (place / name).write_bytes(content)
        kept = Checkpoints(folder, "job", lambda _: None)
        found = kept.latest()
        names = {e: [n for n in files if n.startswith(f"epoch-{e:04d}-")] for e in EPOCHS}
        intact = [e for e in EPOCHS if all(copied[n] == files[n] for n in names[e])]
        assert found is None or same(found)
        assert (found.epoch if found else 0) >= max(intact, default=0)
        for number in range(TRIALS):
            name = f"trial-{number:04d}"
            document = kept.read_document(name)
            assert document in (None, {"number": number, "loss": 0.1 + number})
            assert document is not None or copied[f"{name}.json"] != files[f"{name}.json"]
        follower = state((found.epoch if found else 0) + 1)
        kept.save(follower, best_epoch=follower.epoch, val_loss=0.1)
        again = Checkpoints(folder, "job", lambda _: None).latest()
        assert again is not None
        assert again.epoch == follower.epoch
        assert same(again)


class Copy:
    """SageMaker's copy in S3: one pass after another over the folder, one file at a time.

    Each step moves one file, in random order; a file that is gone by then is skipped; a pass ends
    with the deletions. What a pass carries up may be older than what the folder then holds.
    """

    def __init__(self, folder: Path, order: random.Random) -> None:
        self._folder = folder
        self._order = order
        self._waiting: list[str] = []
        self.stored: dict[str, bytes] = {}

    def step(self) -> None:
        if not self._waiting:
            names = {path.name for path in self._folder.glob("*")}
            for gone in [name for name in self.stored if name not in names]:
                del self.stored[gone]
            self._waiting = self._order.sample(sorted(names), len(names))
        elif (path := self._folder / self._waiting.pop()).exists():
            self.stored[path.name] = path.read_bytes()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), per_epoch=st.integers(1, 6))
def test_a_copy_that_runs_behind_holds_a_whole_checkpoint_of_the_last_minutes(
    seed: int, per_epoch: int
) -> None:
    """Epochs of a second; a pass takes several of them, less than a minute."""
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        now = 0.0
        kept = Checkpoints(here, "job", print, clock=lambda: now)
        copy = Copy(Path(here, "job"), random.Random(seed))
        Path(there, "job").mkdir()
        for epoch in range(1, 181):
            now += 1.0
            kept.save(state(epoch), best_epoch=epoch, val_loss=1 / epoch)
            for _ in range(per_epoch):
                copy.step()
            if epoch % 10 or epoch < SETTLED / 2:
                continue
            for old in storage.list_files(there):
                Path(old).unlink()
            for name, content in copy.stored.items():
                Path(there, "job", name).write_bytes(content)
            found = Checkpoints(there, "job", lambda _: None).latest()
            assert found is not None
            assert same(found)
            assert found.epoch >= epoch - 2.5 * SETTLED
