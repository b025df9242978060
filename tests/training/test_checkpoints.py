"""Checkpoints read back exactly, and what is damaged is never used."""

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import CheckpointError, StorageError
from training import checkpoints
from training.checkpoints import Checkpoint, Checkpoints

ARRAYS = hnp.arrays(
    dtype=st.sampled_from(["float32", "float64", "int32", "int64", "uint32", "bool"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
LOSS = 0.41863
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


class Folder:
    """A job's checkpoints, the warnings that they gave, and a clock that moves as it is told."""

    def __init__(self, location: str) -> None:
        self.warnings: list[str] = []
        self.location = location
        self.now = 0.0
        self.start()

    def start(self) -> None:
        """What a new process begins with."""
        self.kept = Checkpoints(self.location, "job", self.warnings.append, clock=lambda: self.now)

    def save(self, epoch: int, best: int) -> None:
        arrays = {"weights": np.full(3, epoch, dtype=np.float32)}
        self.kept.save(Checkpoint(epoch, arrays, {"best": best}), best, LOSS)

    def path(self, epoch: int, suffix: str) -> Path:
        return Path(self.kept.location) / name(epoch, suffix)


def name(epoch: int, suffix: str) -> str:
    return f"epoch-{epoch:04d}-val_loss-{LOSS}.{suffix}"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "checkpoints"))


@given(st.dictionaries(st.text(max_size=8), ARRAYS, max_size=4))
def test_arrays_of_any_name_shape_and_type_read_back_bit_for_bit(arrays: dict[str, Any]) -> None:
    data = checkpoints.encode_arrays(arrays)
    found = checkpoints.decode_arrays(data, list(arrays), "here")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@given(JSON)
def test_sealed_documents_read_back_exactly(body: object) -> None:
    assert checkpoints.unseal(checkpoints.seal(body), "here") == body


@given(st.data())
def test_a_changed_byte_of_a_sealed_document_is_noticed(data: st.DataObject) -> None:
    body = {"losses": [0.5, 0.25], "state": "finished"}
    sealed = bytearray(checkpoints.seal(body))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != sealed[place]))
    with contextlib.suppress(CheckpointError):
        assert checkpoints.unseal(bytes(sealed), "here") == body


def test_the_newest_checkpoint_comes_back_as_it_was_saved(folder: Folder) -> None:
    for epoch in (1, 2, 3):
        folder.save(epoch, best=1)
    found = folder.kept.latest()
    assert found is not None
    assert found.epoch == 3
    assert found.values == {"best": 1}
    assert found.arrays["weights"].tolist() == [3, 3, 3]
    assert not folder.warnings


def test_names_say_epoch_and_validation_loss(folder: Folder) -> None:
    folder.save(7, best=7)
    assert sorted(os.listdir(folder.kept.location)) == [
        "epoch-0007-val_loss-0.41863.json",
        "epoch-0007-val_loss-0.41863.npz",
    ]


def test_the_order_is_that_of_the_epochs_not_of_the_names(folder: Folder) -> None:
    for epoch in (9_999, 10_000):
        folder.save(epoch, best=1)
    assert folder.kept.epochs() == [9_999, 10_000]
    found = folder.kept.latest()
    assert found is not None
    assert found.epoch == 10_000


def test_a_loss_of_any_size_makes_a_plain_name(folder: Folder) -> None:
    for epoch, loss in enumerate((1e30, 1e-30, 0.0, -2.5), start=1):
        folder.kept.save(Checkpoint(epoch, {}, {}), epoch, loss)
        assert folder.kept.latest() is not None
    for found in os.listdir(folder.kept.location):
        assert re.fullmatch(r"epoch-\d{4}-val_loss-[-0-9.e]+\.(json|npz)", found)


def test_the_last_two_and_the_best_are_kept_in_the_end(folder: Folder) -> None:
    for epoch in range(1, 7):
        folder.save(epoch, best=2 if epoch > 1 else 1)
    folder.kept.settle(best_epoch=2)
    assert folder.kept.epochs() == [2, 5, 6]
    assert len(os.listdir(folder.kept.location)) == 6


def test_while_training_one_is_kept_that_has_been_there_for_a_minute(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for epoch in range(1, 301):
        folder.now = float(epoch)
        folder.save(epoch, best=epoch)
        kept = folder.kept.epochs()
        assert len(kept) <= 4
        if epoch > checkpoints.SETTLED:
            ages = [folder.now - each for each in kept]
            assert any(checkpoints.SETTLED <= age <= 2 * checkpoints.SETTLED for age in ages)


def test_what_a_restart_went_on_from_stays_for_a_minute(folder: Folder) -> None:
    folder.save(4, best=1)
    folder.start()
    folder.kept.latest()
    for epoch in range(5, 9):
        folder.now += 10
        folder.save(epoch, best=1)
        assert 4 in folder.kept.epochs()


def test_damaged_later_checkpoints_do_not_crowd_out_the_new_ones(folder: Folder) -> None:
    for epoch in range(1, 9):
        folder.save(epoch, best=1)
    folder.kept.settle(best_epoch=1)
    for epoch in (7, 8):
        folder.path(epoch, "npz").write_bytes(b"")
    folder.start()
    found = folder.kept.latest()
    assert found is not None
    for epoch in range(found.epoch + 1, 5):
        folder.save(epoch, best=1)
        assert folder.kept.epochs()[-1] == epoch


def test_files_without_a_partner_and_half_written_ones_go_with_the_next_checkpoint(
    folder: Folder,
) -> None:
    folder.save(1, best=1)
    for stray in (name(2, "npz"), name(9, "json"), "epoch-0003.npz"):
        (Path(folder.kept.location) / stray).write_bytes(b"left over")
    staging = Path(f"{folder.location}.writing") / "job"
    staging.mkdir(parents=True)
    (staging / ".partial-1").write_bytes(b"half")
    folder.save(5, best=1)
    assert folder.kept.epochs() == [1, 5]
    assert len(os.listdir(folder.kept.location)) == 4
    assert os.listdir(Path(folder.location).parent) == ["checkpoints"]


def test_without_checkpoints_there_is_none(folder: Folder) -> None:
    assert folder.kept.latest() is None


@pytest.mark.parametrize("suffix", ["npz", "json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    folder: Folder, suffix: str, damage: str
) -> None:
    folder.save(1, best=1)
    folder.save(2, best=1)
    path = folder.path(2, suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-9], "flip": content, "empty": b""}[damage])
    found = folder.kept.latest()
    assert found is not None
    assert found.epoch == 1
    assert "epoch 2 cannot be used" in folder.warnings[0]


def test_arrays_without_a_manifest_are_no_checkpoint(folder: Folder) -> None:
    folder.save(1, best=1)
    folder.save(2, best=1)
    folder.path(2, "json").unlink()
    found = folder.kept.latest()
    assert found is not None
    assert found.epoch == 1
    assert not folder.warnings


def test_objects_are_never_unpickled() -> None:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, **{"0": np.array([{"a": 1}], dtype=object)})  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="not a checkpoint's arrays"):
        checkpoints.decode_arrays(buffer.getvalue(), ["weights"], "here")


def test_no_half_written_file_ever_lies_in_the_folder(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = os.replace, []

    def spy(source: Any, target: Any) -> None:
        seen.append(
            sorted(os.listdir(folder.kept.location)) if Path(folder.kept.location).exists() else []
        )
        real(source, target)

    monkeypatch.setattr(os, "replace", spy)
    folder.save(1, best=1)
    assert all(found.startswith("epoch-0001-") for names in seen for found in names)
    assert os.listdir(Path(folder.kept.location).parents[1]) == ["checkpoints"]


def test_a_folder_that_is_a_mount_of_its_own_is_written_inside(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, location = os.replace, folder.kept.location

    def across_mounts(source: Any, target: Any) -> None:
        if str(target).startswith(location) != str(source).startswith(location):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "replace", across_mounts)
    folder.save(1, best=1)
    found = folder.kept.latest()
    assert found is not None
    assert os.listdir(Path(location).parents[1]) == ["checkpoints"]


def test_a_full_disk_is_a_clear_error(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"could not be written: the disk is full.*Free some"):
        folder.save(1, best=1)


def test_a_disk_that_fills_up_later_is_one_warning_and_training_goes_on(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder.save(1, best=1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        folder.save(2, best=1)
        folder.save(3, best=1)
        assert len(folder.warnings) == 1
        assert "checkpoint of epoch 2 could not be written: the disk is full" in folder.warnings[0]
        assert "Training goes on" in folder.warnings[0]
        assert sorted(os.listdir(folder.kept.location)) == [name(1, "json"), name(1, "npz")]
    folder.save(4, best=1)
    assert folder.warnings[1:] == [
        "Checkpoints can be written again, beginning with the checkpoint of epoch 4"
    ]
    assert folder.kept.epochs() == [1, 4]


def test_a_full_disk_at_a_restart_is_a_warning_too_as_there_is_one_to_go_on_from(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder.save(1, best=1)
    folder.start()
    assert folder.kept.latest() is not None
    monkeypatch.setattr(os, "fsync", full)
    folder.save(2, best=1)
    assert len(folder.warnings) == 1


def test_a_folder_that_may_not_be_read_is_said_so_and_not_begun_afresh(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(1, best=1)

    def denied(*_: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(StorageError, match="no permission"):
        folder.kept.latest()


def test_a_checkpoint_of_another_format_is_named_with_both(folder: Folder) -> None:
    folder.save(1, best=1)
    path = folder.path(1, "json")
    body = checkpoints.unseal(path.read_bytes(), "here")
    path.write_bytes(checkpoints.seal({**body, "format": 7}))
    assert folder.kept.latest() is None
    assert "it was written in format 7, and format 2 is read here" in folder.warnings[0]


def test_a_checkpoint_put_into_another_jobs_folder_is_named_with_both(tmp_path: Path) -> None:
    import shutil

    folder = Folder(str(tmp_path))
    folder.save(1, best=1)
    folder.kept.write_document("trial-0000", 1)
    shutil.copytree(tmp_path / "job", tmp_path / "other")
    other = Checkpoints(str(tmp_path), "other", folder.warnings.append)
    assert other.latest() is None
    assert other.read_document("trial-0000") is None
    assert all("it belongs to the job job, not to other" in text for text in folder.warnings)
    assert len(folder.warnings) == 2


def test_a_document_under_another_name_is_not_believed(folder: Folder) -> None:
    folder.kept.write_document("trial-0000", 1)
    (Path(folder.kept.location) / "trial-0000.json").rename(
        Path(folder.kept.location) / "trial-0001.json"
    )
    assert folder.kept.read_document("trial-0001") is None
    assert "it was written as trial-0000" in folder.warnings[0]


def test_a_host_that_only_reads_writes_nothing(tmp_path: Path) -> None:
    reader = Checkpoints(str(tmp_path), "job", print, writes=False)
    reader.save(Checkpoint(1, {}, {}), 1, LOSS)
    reader.write_document("trial-0000", 1)
    reader.settle(1)
    assert os.listdir(tmp_path) == []
    Folder(str(tmp_path)).save(1, best=1)
    assert reader.latest() is not None


def test_hosts_can_agree_on_an_earlier_checkpoint(folder: Folder) -> None:
    for epoch in (1, 2, 3):
        folder.save(epoch, best=1)
    found = folder.kept.at(2)
    assert found is not None
    assert found.epoch == 2
    assert folder.kept.at(4) is None


def test_documents_are_kept_and_a_damaged_one_is_not_believed(folder: Folder) -> None:
    folder.kept.write_document("trial-0000", {"loss": 0.5})
    assert folder.kept.read_document("trial-0000") == {"loss": 0.5}
    assert folder.kept.read_document("trial-0001") is None
    path = Path(folder.kept.location) / "trial-0000.json"
    path.write_text(path.read_text().replace("0.5", "0.4"))
    assert folder.kept.read_document("trial-0000") is None
    assert "trial-0000.json cannot be used" in folder.warnings[0]


def test_another_jobs_checkpoints_are_never_used(tmp_path: Path) -> None:
    first = Folder(str(tmp_path))
    first.save(1, best=1)
    assert Checkpoints(str(tmp_path), "other", print).latest() is None
