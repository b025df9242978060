"""Checkpoints read back exactly, and what is damaged is never used."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import boto3
import hypothesis.extra.numpy as hnp
import moto
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import CheckpointError
from training import checkpoints
from training.checkpoints import Checkpoint, Checkpoints

ARRAYS = hnp.arrays(
    dtype=st.sampled_from(["float32", "float64", "int32", "int64", "uint32", "bool"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


class Folder:
    """A job's checkpoints and the warnings that they gave."""

    def __init__(self, location: str) -> None:
        self.warnings: list[str] = []
        self.kept = Checkpoints(location, "job", self.warnings.append)

    def save(self, epoch: int, best: int) -> None:
        arrays = {"weights": np.full(3, epoch, dtype=np.float32)}
        self.kept.save(Checkpoint(epoch, arrays, {"best": best}), best)


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


def test_the_last_two_and_the_best_are_kept(folder: Folder) -> None:
    for epoch in range(1, 7):
        folder.save(epoch, best=2 if epoch > 1 else 1)
    assert folder.kept.epochs() == [2, 5, 6]
    assert len(os.listdir(folder.kept.location)) == 6


def test_without_checkpoints_there_is_none(folder: Folder) -> None:
    assert folder.kept.latest() is None


@pytest.mark.parametrize("suffix", ["npz", "json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    folder: Folder, suffix: str, damage: str
) -> None:
    folder.save(1, best=1)
    folder.save(2, best=1)
    path = Path(folder.kept.location) / f"epoch-0002.{suffix}"
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
    (Path(folder.kept.location) / "epoch-0002.json").unlink()
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
    assert all(name.startswith("epoch-0001.") for names in seen for name in names)
    assert os.listdir(Path(folder.kept.location).parents[1]) == ["checkpoints"]


def test_a_folder_that_is_a_mount_of_its_own_is_written_inside(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

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
    import errno

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"could not be written: the disk is full.*Free some"):
        folder.save(1, best=1)


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


def test_identity_tells_jobs_apart() -> None:
    assert checkpoints.identity({"lr": 0.1}, 3) == checkpoints.identity({"lr": 0.1}, 3)
    assert checkpoints.identity({"lr": 0.1}, 3) != checkpoints.identity({"lr": 0.2}, 3)


def test_s3_keeps_checkpoints_as_a_folder_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="bucket")
        folder = Folder("s3://bucket/checkpoints")
        for epoch in (1, 2, 3, 4):
            folder.save(epoch, best=1)
        assert folder.kept.epochs() == [1, 3, 4]
        s3.put_object(Bucket="bucket", Key="checkpoints/job/epoch-0004.npz", Body=b"torn")
        found = folder.kept.latest()
        assert found is not None
        assert found.epoch == 3
        assert (
            json.loads(
                s3.get_object(Bucket="bucket", Key="checkpoints/job/epoch-0003.json")["Body"].read()
            )["body"]["epoch"]
            == 3
        )
        assert "epoch 4 cannot be used" in folder.warnings[0]
