"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from pathlib import Path

import pytest

from shared import files
from shared.errors import StorageError


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    files.write(tmp_path / "new folder" / "a", b"content")
    assert (tmp_path / "new folder" / "a").read_bytes() == b"content"
    assert os.listdir(tmp_path / "new folder") == ["a"]


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    files.write(tmp_path / "a", b"old")
    with contextlib.suppress(KeyboardInterrupt), files.atomic(tmp_path / "a") as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"the disk is full\. Free some space"),
        files.atomic(tmp_path / "a"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="only Linux has a disk that is always full"
)
def test_a_really_full_disk_is_said_to_be_full() -> None:
    with pytest.raises(OSError) as caught, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    assert "the disk is full" in str(files.disk_error(caught.value, "/dev/full"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/a"):
        files.write(tmp_path / "file" / "a", b"x")


def test_other_refusals_name_the_place_and_the_reason() -> None:
    assert "no permission" in str(files.disk_error(PermissionError(errno.EACCES, "x"), "there"))
    assert str(files.disk_error(OSError("odd"), "there")) == "there: odd"


def test_what_is_gone_or_unreadable_for_good_is_told_from_what_may_pass() -> None:
    for number, lost in {
        errno.ENOENT: True, errno.EIO: True, errno.EACCES: False, errno.ENOSPC: False,
    }.items():  # fmt: skip
        assert files.disk_error(OSError(number, "x"), "there").lost == lost


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10000
    (tmp_path / "a").write_bytes(content)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
