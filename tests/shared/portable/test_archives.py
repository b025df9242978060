"""Archives made by somebody who knows how tarfile reads them."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import random
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from shared import archives
from shared.errors import BundleError, KitError


class OwnError(KitError):
    """What a caller wants raised."""


def block(
    name: str | bytes = "evil",
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    size: int | None = None,
    link: str = "",
    raw_size: bytes | None = None,
) -> bytes:
    """One member, its header written by hand: its size may be a lie."""
    header = bytearray(512)
    name = name if isinstance(name, bytes) else name.encode()
    header[0 : len(name[:100])] = name[:100]
    header[100:108] = b"0000644\0"
    header[108:124] = b"0000000\0" * 2
    header[124:136] = raw_size or b"%011o\0" % (len(content) if size is None else size)
    header[136:148] = b"00000000000\0"
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[157 : 157 + len(link)] = link.encode()
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)


def pax(**records: str) -> bytes:
    """An extended header for what follows."""
    lines = b""
    for key, value in records.items():
        text = f" {key.replace('_', '.')}={value}\n".encode()
        length = len(text) + 1
        while length != len(str(length)) + len(text):
            length = len(str(length)) + len(text)
        lines += str(length).encode() + text
    return block("pax", lines, kind=tarfile.XHDTYPE)


END = bytes(1024)


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., Path]:
    def opened(*parts: bytes, zipped: bytes | None = None, **limits: int) -> Path:
        path = tmp_path / "a.tar.gz"
        path.write_bytes(gzip.compress(b"".join(parts)) if zipped is None else zipped)
        there = tmp_path / "in" / "there"
        there.mkdir(parents=True)
        archives.unpack(path, there, **limits)
        return there

    return opened


Unpack = Callable[..., Path]


def nothing_outside(tmp_path: Path) -> bool:
    return {p.name for p in tmp_path.iterdir()} <= {"a.tar.gz", "in"} and {
        p.name for p in (tmp_path / "in").iterdir()
    } == {"there"}


def test_plain_files_and_folders_are_unpacked(unpack: Unpack) -> None:
    there = unpack(
        block("./", kind=tarfile.DIRTYPE),
        block("./one", b"1"),
        block("deep/", kind=tarfile.DIRTYPE),
        block("deep/er/two", b"2" * 513),
        block("empty"),
        END,
    )
    assert (there / "one").read_bytes() == b"1"
    assert (there / "deep" / "er" / "two").read_bytes() == b"2" * 513
    assert (there / "empty").read_bytes() == b""
    assert not os.access(there / "one", os.X_OK)


SIZES = {
    "a block back": b"\xff" * 10 + b"\xfe\x00",
    "two blocks back": b"\xff" * 10 + b"\xfc\x00",
    "huge": b"\x80" + b"\x00" * 3 + struct.pack(">Q", 1 << 62),
    "no number": b"not a number",
}


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", SIZES)
def test_a_size_that_leads_backwards_or_nowhere_is_refused(
    unpack: Unpack, kind: bytes, size: str
) -> None:
    with pytest.raises(BundleError):
        unpack(block("one", b"1"), block(kind=kind, raw_size=SIZES[size]), block("two", b"2"), END)


@pytest.mark.parametrize("size", ["-512", "-1", "99999999999999999999", "1e3", "nan", "9" * 5000])
def test_an_extended_header_does_not_lead_backwards_either(
    unpack: Unpack, tmp_path: Path, size: str
) -> None:
    try:
        there = unpack(pax(size=size), block("one", b"1"), END)
    except BundleError:
        assert nothing_outside(tmp_path)
    else:
        assert [p.name for p in there.iterdir()] == ["one"]


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil", "evil\n", "c:evil"])
def test_an_extended_header_does_not_lead_outside(
    unpack: Unpack, tmp_path: Path, path: str
) -> None:
    with pytest.raises(BundleError, match="is not allowed"):
        unpack(pax(path=path), block("good", b"1"), END)
    assert nothing_outside(tmp_path)


NAMES = {
    "bytes that are no UTF-8": b"\xff\xfe",
    "a character that turns the line around": "a\u202eb",
    "a line end": "a\nb",
    "an escape": "a\x1b[31mb",
    "too long a part": "a" * 256,
    "too long": "/".join(["a" * 200] * 6),
    "only dots": "..",
    "backslashes": "..\\evil",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_plain_name_is_refused(unpack: Unpack, tmp_path: Path, name: str) -> None:
    given = NAMES[name] if isinstance(NAMES[name], bytes) else NAMES[name].encode()
    long = block("././@LongLink", given + b"\0", kind=tarfile.GNUTYPE_LONGNAME)
    with pytest.raises(BundleError, match="is not allowed") as caught:
        unpack(long, block("x", b"1"), END)
    assert str(caught.value).isprintable()
    assert nothing_outside(tmp_path)


def test_what_follows_a_nul_in_a_name_is_not_part_of_it(unpack: Unpack) -> None:
    assert [p.name for p in unpack(block(b"good\0/../../evil", b"1"), END).iterdir()] == ["good"]


def sparse_by_pax(**records: str) -> bytes:
    return pax(**records) + block("evil", b"1") + END


@pytest.mark.parametrize(
    "content",
    [
        block("evil", b"", kind=tarfile.GNUTYPE_SPARSE) + END,
        sparse_by_pax(GNU_sparse_map="0,1", GNU_sparse_size="99999999"),
        sparse_by_pax(GNU_sparse_size="99999999", GNU_sparse_offset="1", GNU_sparse_numbytes="1"),
        sparse_by_pax(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_realsize="99999"),
    ],
    ids=["GNU", "0.1", "0.0", "1.0"],
)
def test_a_file_with_holes_is_refused(unpack: Unpack, content: bytes) -> None:
    with pytest.raises(BundleError):
        unpack(content)


def test_a_folder_where_a_file_is_and_the_other_way_round_are_refused(
    unpack: Unpack, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="'a/b' is where something else already is"):
        unpack(block("a", b"1"), block("a/b", b"2"), END)
    (tmp_path / "in" / "there" / "a").unlink()
    (tmp_path / "in" / "there").rmdir()
    with pytest.raises(BundleError, match="'a' is where something else already is"):
        unpack(block("a/b", b"2"), block("a", b"1"), END)


def test_a_bomb_is_refused_before_anything_of_it_is_written(unpack: Unpack, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="too many bytes"):
        unpack(block("bomb", bytes(50_000_000)), END, max_bytes=40_000_000)
    assert list((tmp_path / "in" / "there").iterdir()) == []


def test_a_bomb_of_empty_files_is_refused(unpack: Unpack) -> None:
    with pytest.raises(BundleError, match="one file too many"):
        unpack(*(block(f"f{number}") for number in range(2000)), END, max_files=1000)


def test_a_bomb_of_nothing_after_the_end_is_not_even_read(unpack: Unpack) -> None:
    there = unpack(block("one", b"1"), END, bytes(100_000_000), max_bytes=10_000)
    assert (there / "one").read_bytes() == b"1"


def test_a_chain_of_extended_headers_is_refused(unpack: Unpack) -> None:
    with pytest.raises(BundleError, match="a header is too large"):
        unpack(*(pax(comment=str(number)) for number in range(2000)), block("one", b"1"), END)


def test_extended_headers_use_little_time_and_memory(unpack: Unpack) -> None:
    digits = block("pax", b"1" * (64 << 10), kind=tarfile.XHDTYPE)
    with pytest.raises(BundleError, match="a header is too large"):
        unpack(digits, block("one", b"1"), END)


def test_global_headers_do_not_pile_up(unpack: Unpack) -> None:
    members = []
    for number in range(500):
        records = "".join(f"20 key{number:04}{i:02}=abcdef\n" for i in range(20))
        members.append(block("pax", records.encode(), kind=tarfile.XGLTYPE))
        members.append(pax(comment="x") + block(f"file{number}", b"1"))
    tracemalloc.start()
    try:
        there = unpack(*members, END)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert len(list(there.iterdir())) == 500


def test_an_archive_in_several_zipped_pieces_is_one_archive(unpack: Unpack) -> None:
    whole = b"".join([block("one", b"1" * 700), block("two", b"2"), END])
    there = unpack(
        zipped=gzip.compress(whole[:600]) + gzip.compress(b"") + gzip.compress(whole[600:])
    )
    assert sorted(p.name for p in there.iterdir()) == ["one", "two"]


def test_rubbish_after_the_end_is_not_read(unpack: Unpack) -> None:
    zipped = gzip.compress(block("one", b"1") + END)
    there = unpack(zipped=zipped + b"rubbish")
    assert [p.name for p in there.iterdir()] == ["one"]


def test_rubbish_in_the_middle_is_refused(unpack: Unpack) -> None:
    whole = gzip.compress(block("one", os.urandom(2000)))
    with pytest.raises(BundleError, match=r"not a sound \.tar\.gz"):
        unpack(zipped=whole[:800] + b"rubbish" + whole[900:])


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1536, 2047])
def test_an_archive_cut_short_is_refused(unpack: Unpack, size: int) -> None:
    whole = block("one", b"1" * 1000) + block("two", b"2")
    with pytest.raises(BundleError, match=r"not a sound \.tar\.gz"):
        unpack(whole[:size])


def test_the_caller_chooses_the_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no archive")
    with pytest.raises(OwnError, match="not a sound"):
        archives.unpack(tmp_path / "a", tmp_path, error=OwnError)
    with pytest.raises(OwnError, match="not a sound"):
        archives.member(tmp_path / "a", "one", 10, OwnError)


def test_one_file_is_read_without_unpacking_the_others(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(
        gzip.compress(block("big", b"x" * 5000) + block("./one", b"1") + block("two", b"2") + END)
    )
    assert archives.member(tmp_path / "a", "one", 10) == b"1"
    assert archives.member(tmp_path / "a", "three", 10) is None
    with pytest.raises(BundleError, match="'big' has 5000 bytes; too many"):
        archives.member(tmp_path / "a", "big", 10)


def test_mutated_archives_are_refused_or_unpacked_inside(tmp_path: Path) -> None:
    source = io.BytesIO()
    with tarfile.open(fileobj=source, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("one", "deep/two", "ü" * 60, "long/" * 30 + "name"):
            member = tarfile.TarInfo(name)
            member.size = 700
            tar.addfile(member, io.BytesIO(bytes(700)))
    whole = source.getvalue()
    headers = [p for p in range(0, len(whole), 512) if whole[p : p + 512].strip(b"\0")]
    chance = random.Random(5)
    for number in range(400):
        spoilt = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            spoilt[chance.choice(headers) + chance.randrange(512)] = chance.randrange(256)
        if chance.random() < 0.8:
            for place in headers:  # with sums that fit again
                header = spoilt[place : place + 512]
                header[148:156] = b" " * 8
                spoilt[place + 148 : place + 156] = b"%06o\0 " % sum(header)
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(bytes(spoilt), 1))
        there = tmp_path / "in" / "there" / str(number)
        there.mkdir(parents=True)
        with contextlib.suppress(BundleError):
            archives.unpack(tmp_path / "a.tar.gz", there, max_bytes=1 << 20)
        assert nothing_outside(tmp_path)
        assert not any(p.is_symlink() for p in there.rglob("*"))
