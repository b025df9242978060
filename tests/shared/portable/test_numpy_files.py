"""Numpy's files, made by numpy and by others."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import numpy_files as arrays

LIMIT = 1 << 20
ARRAYS: dict[str, Any] = {
    "numbers": np.arange(100.0),
    "matrix": np.arange(12, dtype=np.int32).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big": np.arange(5, dtype=">f4"),
    "truth": np.array([True, False]),
    "texts": np.array(["x", "yy", "ü"]),
    "bytes": np.array([b"x", b"yy"]),
    "times": np.array(["2013-01-01", "NaT"], dtype="datetime64[us]"),
    "one": np.array(3.5),
    "none": np.zeros((0, 4), dtype=np.float32),
}


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**members: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **members)
    return file.getvalue()


def with_header(text: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    header = text.encode("latin1")
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize("name", ARRAYS)
def test_what_numpy_writes_is_read_exactly(name: str) -> None:
    array = ARRAYS[name]
    found = arrays.from_npy(npy(array))
    assert (found.dtype, found.shape, found.tobytes()) == (
        array.dtype,
        array.shape,
        array.tobytes(),
    )


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(version: tuple[int, int]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, ARRAYS["matrix"], version=version)
    assert np.array_equal(arrays.from_npy(file.getvalue()), ARRAYS["matrix"])


FIELDS: Any = [("a", "<f8"), ('it"s', ">i2"), ("it's, (x)", "<U3"), ("\\", "?"), ("t", "<M8[s]")]


def test_named_fields_are_read_where_they_may_be() -> None:
    array = np.zeros(2, dtype=FIELDS)
    array["it's, (x)"] = ["é", "xyz"]
    found = arrays.from_npy(npy(array), fields=True)
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()
    with pytest.raises(ValueError, match="not that of a plain array"):
        arrays.from_npy(npy(array))


@pytest.mark.parametrize(
    "fields",
    [
        "('a', '|O')",
        "('a', '<f8'), ('a', '<f8')",
        r"('\x', '<f8')",
        "('a', '<f3')",
        "('a', '<f8', 2)",
    ],
)
def test_fields_that_are_not_plain_are_refused(fields: str) -> None:
    header = PLAIN.replace("'<f8'", f"[{fields}]")
    with pytest.raises(ValueError, match=r"header|is no type"):
        arrays.from_npy(with_header(header, bytes(16)), fields=True)


@pytest.mark.parametrize("compressed", [True, False])
def test_an_npz_is_read_from_bytes_and_from_a_file(tmp_path: Path, compressed: bool) -> None:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **ARRAYS)
    (tmp_path / "a.npz").write_bytes(file.getvalue())
    for found in (
        arrays.from_npz(file.getvalue(), LIMIT),
        arrays.from_npz(tmp_path / "a.npz", LIMIT),
    ):
        assert list(found) == list(ARRAYS)
        assert all(found[name].tobytes() == ARRAYS[name].tobytes() for name in ARRAYS)


class Evil:
    """Unpickled it would leave a trace."""

    ran = False

    def __reduce__(self) -> Any:
        return (setattr, (Evil, "ran", True))


PLAIN = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n"
HEADERS = {
    "objects": PLAIN.replace("<f8", "|O"),
    "records": PLAIN.replace("'<f8'", "[('a', '<f8')]"),
    "nothing": PLAIN.replace("<f8", "<U0"),
    "an expression": PLAIN.replace("(2,)", "(1+1,)"),
    "a call": PLAIN.replace("(2,)", "(print(2),)"),
    "deep nesting": "(" * 5000 + "2" + ")" * 5000,
    "more than there is": PLAIN.replace("(2,)", "(3,)"),
    "less than there is": PLAIN.replace("(2,)", "(1,)"),
    "a great deal more": PLAIN.replace("(2,)", "(999999999999, 999999999999, 9999999999)"),
    "a negative length": PLAIN.replace("(2,)", "(-2,)"),
    "many dimensions": PLAIN.replace("(2,)", "(" + "1, " * 40 + "2)"),
    "another key": PLAIN.replace("'shape'", "'size'"),
    "a type that is none": PLAIN.replace("<f8", "<f3"),
    "a unit that is none": PLAIN.replace("<f8", "<M8[xx]"),
    "no header": "",
    "a very long header": PLAIN.replace("(2,)", "(" + "1, " * 20_000 + "2)"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"header|is no type"):
        arrays.from_npy(with_header(HEADERS[name], bytes(16)))


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"PK\x03\x04"])
def test_what_is_no_npy_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|begin|version"):
        arrays.from_npy(data)


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        arrays.from_npy(with_header(PLAIN, bytes(16), b"\x09\x00"))


def test_nothing_is_ever_unpickled() -> None:
    evil = np.array([Evil()], dtype=object)
    for data in (npy(evil, allow_pickle=True), pickle.dumps(Evil())):
        with pytest.raises(ValueError):
            arrays.from_npy(data)
    with pytest.raises(ValueError, match="'a': its header is not that of a plain array"):
        arrays.from_npz(npz(a=evil), LIMIT)
    assert not Evil.ran


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def test_a_bomb_is_refused_by_its_directory() -> None:
    with pytest.raises(ValueError, match="unpacks to 20000128 bytes; too many"):
        arrays.from_npz(npz(a=np.zeros(2_500_000)), LIMIT)


def test_a_bomb_with_a_false_directory_unpacks_to_no_more_than_it_says() -> None:
    whole = npz(a=np.zeros(2_500_000))
    size = struct.pack("<L", 20_000_128)
    with pytest.raises(ValueError):
        arrays.from_npz(whole.replace(size, struct.pack("<L", 1000)), LIMIT)


def test_members_that_overlap_are_refused() -> None:
    """Many names for the same packed bytes (Fifield, A better zip bomb, 2019)."""
    inner = npy(np.random.default_rng(0).normal(size=1000))
    whole = zipped(("a.npy", inner))
    start = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    entry = whole[start:end]
    many = b"".join(entry.replace(b"a.npy", b"%05d" % number) for number in range(100))
    tail = bytearray(whole[end:])
    tail[8:12] = struct.pack("<HH", 100, 100)
    tail[12:16] = struct.pack("<L", len(many))
    with pytest.raises(ValueError, match="its members overlap"):
        arrays.from_npz(whole[:start] + many + bytes(tail), 1 << 40)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_uncommon_method_is_refused(method: int) -> None:
    with pytest.raises(ValueError, match="uncommon method"):
        arrays.from_npz(zipped(("a.npy", npy(np.zeros(3))), method=method), LIMIT)


def test_a_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped(("a.npy", npy(np.zeros(3))), ("a.npy", npy(np.ones(3))))
    with pytest.raises(ValueError, match="'a' is there twice"):
        arrays.from_npz(data, LIMIT)


def test_what_is_not_an_array_in_an_npz_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'evil\.py': it does not begin"):
        arrays.from_npz(zipped(("evil.py", b"print(1)")), LIMIT)


def test_mutated_files_are_refused_or_read_and_nothing_else() -> None:
    chance = random.Random(3)
    whole = npz(**ARRAYS)
    refused = 0
    for _ in range(2000):
        spoilt = bytearray(whole)
        for _ in range(chance.randint(1, 5)):
            # Half of the changes in the directory at the end.
            first = chance.choice((0, len(spoilt) - 700))
            spoilt[chance.randrange(first, len(spoilt))] = chance.randrange(256)
        try:
            arrays.from_npz(bytes(spoilt[: chance.choice((None, None, len(spoilt) // 2))]), LIMIT)
        except ValueError:
            refused += 1
    assert refused > 1000
