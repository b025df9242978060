from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from infra.local import archives
from tests.support.local_cloud import archive


def written(place: Path, content: bytes) -> Path:
    place.write_bytes(content)
    return place


def test_what_is_packed_comes_out_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "file").write_bytes(b"\0\1")
    (source / "run.sh").write_text("echo")
    (source / "run.sh").chmod(0o755)
    archives.pack(source, tmp_path / "a.tar.gz")
    archives.extract(tmp_path / "a.tar.gz", tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "er" / "file").read_bytes() == b"\0\1"
    assert os.access(tmp_path / "out" / "run.sh", os.X_OK)


def test_times_owners_and_order_leave_no_trace(tmp_path: Path) -> None:
    packed = []
    for number, names in enumerate(("ab", "ba")):
        source = tmp_path / str(number)
        source.mkdir()
        for name in names:
            (source / name).write_text(name)
            os.utime(source / name, (number, number))
        archives.pack(source, tmp_path / f"{number}.tar.gz")
        packed.append((tmp_path / f"{number}.tar.gz").read_bytes())
    assert packed[0] == packed[1]


def test_an_empty_directory_makes_an_archive_that_opens(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    archives.pack(tmp_path / "source", tmp_path / "a.tar.gz")
    archives.extract(tmp_path / "a.tar.gz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out"])
def test_a_member_that_leaves_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    place = written(tmp_path / "a.tar.gz", archive({name: "x"}))
    with pytest.raises(archives.UntrustedError, match="is not allowed"):
        archives.extract(place, tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as members:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        members.addfile(member)
    place = written(tmp_path / "a.tar.gz", packed.getvalue())
    with pytest.raises(archives.UntrustedError, match="neither a plain file nor a folder"):
        archives.extract(place, tmp_path / "out")


@pytest.mark.parametrize("damage", ["text", "cut"])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: str) -> None:
    content = b"no archive" if damage == "text" else archive({"a": os.urandom(5000)})[:-2000]
    with pytest.raises(archives.UntrustedError):
        archives.extract(written(tmp_path / "a.tar.gz", content), tmp_path / "out")


def test_more_than_the_disk_can_hold_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = written(tmp_path / "a.tar.gz", archive({"big": b"0" * 1000}))
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 999}))
    with pytest.raises(archives.UntrustedError, match="unpacks to too many bytes"):
        archives.extract(place, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
