"""NPY and NPZ: what is read, and that nothing is unpickled, believed or unpacked without end."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from inference import codecs, limits
from shared.errors import InputError
from shared.schema import Column, Schema, Target
from tests.support.requests import npy, npz

NPY, NPZ = "application/x-npy", "application/x-npz"
SCHEMA = Schema(
    (Column("age", "numeric"), Column("job", "category")), (), Target("income", "regression")
)
NUMBERS = Schema(
    tuple(Column(name, "numeric") for name in ("a", "b", "c")), (), Target("y", "regression")
)


def read(body: bytes, content_type: str = NPY, schema: Schema = SCHEMA) -> dict[str, list[Any]]:
    columns = codecs.decode(body, content_type).columns(schema)
    return {name: array.tolist() for name, array in columns.items()}


def refusal(body: bytes, content_type: str = NPY, schema: Schema = SCHEMA) -> InputError:
    with pytest.raises(InputError) as caught:
        read(body, content_type, schema)
    return caught.value


def header(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """An .npy file with a header of its own."""
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text.encode() + data


TABLE = np.array([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<i2", ">u4", "e"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_matrix_of_any_type_and_order_is_rows_in_the_schemas_order(
    dtype: str, order: Any
) -> None:
    found = read(npy(TABLE.astype(dtype, order=order)), schema=NUMBERS)
    assert found == {"a": [1, 4], "b": [2, 5], "c": [3, 6]}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(version: Any) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, TABLE, version=version, allow_pickle=False)
    assert read(file.getvalue(), schema=NUMBERS)["c"] == [3, 6]


def test_fields_are_taken_by_name() -> None:
    table = np.array([("nurse", 39.0)], dtype=[("job", "U5"), ("age", "<f8")])
    assert read(npy(table)) == {"age": [39], "job": ["nurse"]}


def test_a_matrix_of_text_is_read_like_cells_of_csv() -> None:
    found = read(npy(np.array([["39", "nurse"], ["", "é"]])))
    assert found["age"] == pytest.approx([39, np.nan], nan_ok=True)
    assert found["job"] == ["nurse", "é"]
    assert read(npy(np.array([[b"39", "é".encode()]])))["job"] == ["é"]


def test_an_archive_has_one_array_a_column() -> None:
    arrays = {"job": np.array(["nurse", ""]), "age": np.array([39, 40])}
    for save in (np.savez, np.savez_compressed):
        assert read(npz(arrays, save), NPZ) == {"age": [39, 40], "job": ["nurse", None]}


@pytest.mark.parametrize(
    "array",
    [np.array(5), np.arange(3), np.zeros((2, 3, 1)), np.zeros((1, 2), dtype=[("a", "<f8")])],
    ids=["a number", "a row", "three dimensions", "fields in two dimensions"],
)
def test_an_array_of_another_shape_is_refused(array: Any) -> None:
    error = refusal(npy(array), schema=NUMBERS)
    assert error.code == "wrong_shape"
    assert "[rows, columns]" in str(error)


def test_a_matrix_of_another_width_is_refused_with_the_order() -> None:
    error = refusal(npy(TABLE))
    assert error.code == "wrong_cells"
    assert "The order is age, job" in str(error)


@pytest.mark.parametrize("array", [np.zeros((0, 3)), np.array([], dtype=[("a", "<f8")])])
def test_no_rows_are_refused(array: Any) -> None:
    schema = NUMBERS if array.ndim == 2 else Schema(NUMBERS.columns[:1], (), NUMBERS.target)
    assert refusal(npy(array), schema=schema).code == "no_rows"


class Evil:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        raise AssertionError("unpickled")


@pytest.mark.parametrize(
    "dtype", ["O", "V8", "<f8,O", [("a", "<f8", (3,))], [("a", [("b", "<f8")])]]
)
def test_objects_and_what_else_no_column_is_are_refused(dtype: Any) -> None:
    array = np.zeros(2, dtype)
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    assert refusal(file.getvalue()).code == "invalid_npy"


def test_a_pickle_in_place_of_an_array_is_refused() -> None:
    pickled = b"\x80\x04\x95" + b"x" * 30
    assert refusal(pickled).code == "invalid_npy"
    assert refusal(pickle.dumps([1, 2, 3])).code == "invalid_npy"
    objects = header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2), }", pickled)
    assert refusal(objects).code == "invalid_npy"


HEADERS = [
    "",
    "{}",
    "[]",
    "{'descr': '<f8'}",
    "{'descr': '<f8', 'fortran_order': 0, 'shape': (1, 3), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': [1, 3], }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 3), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 10**9), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 999999999999999999999), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 4), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), 'more': 1}",
    "{'descr': 'float99', 'fortran_order': False, 'shape': (1, 3), }",
    "{'descr': 'T', 'fortran_order': False, 'shape': (1, 3), }",
    "{'descr': 5, 'fortran_order': False, 'shape': (1, 3), }",
    "{'descr': {'a': 1}, 'fortran_order': False, 'shape': (1, 3), }",
    "{'descr': '(2147483647,2147483647)f8', 'fortran_order': False, 'shape': (1, 3), }",
    "__import__('os').abort()",
    "(" * 9000,
    "-" * 9000 + "1",
    "1+" * 4000 + "1",
    "9" * 9000,
    "'\\ud800'",
    "{'descr': '<M8[0s]', 'fortran_order': False, 'shape': (1, 3), }",
    " " * 20_000,
]


@pytest.mark.parametrize("text", HEADERS, ids=lambda text: text[:60])
@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"])
def test_a_header_that_is_none_is_refused(text: str, version: bytes) -> None:
    error = refusal(header(text, b"\0" * 24, version), schema=NUMBERS)
    assert error.code == "invalid_npy"
    assert len(str(error)) < 400


def test_too_many_rows_or_columns_are_refused_with_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROWS", 3)
    monkeypatch.setattr(limits, "COLUMNS", 2)
    archive = npz({name: np.arange(4) for name in "ab"})
    for body, content_type in ((npy(np.zeros((4, 2))), NPY), (archive, NPZ)):
        error = refusal(body, content_type, NUMBERS)
        assert (error.code, error.status) == ("too_many_rows", 413)
    assert refusal(npy(np.zeros((3, 3)))).code == "too_many_columns"
    assert refusal(npy(np.zeros(3, "f8,f8,f8"))).code == "too_many_columns"


EMPTY = [
    ("<f8", f"(0, {10**30})"),
    ("<f8", f"({'0, ' * 70})"),
    ("<U0", "(2, 3)"),
    ("<U0", f"(2, {10**12})"),
    ("|S0", "(2, 3)"),
    ([(name, "<U0") for name in "abc"], "(2,)"),
]


@pytest.mark.parametrize(("descr", "shape"), EMPTY, ids=lambda part: str(part)[:40])
def test_a_header_that_promises_very_much_of_nothing_is_refused_and_no_room_is_made(
    descr: Any, shape: str
) -> None:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    assert refusal(header(text), schema=NUMBERS).code == "invalid_npy"


def test_an_array_of_more_dimensions_than_numpy_has_is_refused() -> None:
    text = f"{{'descr': '<f8', 'fortran_order': True, 'shape': ({'1, ' * 70}), }}"
    assert refusal(header(text, bytes(8)), schema=NUMBERS).code == "invalid_npy"


def test_a_file_cut_short_anywhere_is_refused() -> None:
    whole = npy(TABLE.astype("<f8"))
    for length in range(1, len(whole)):
        assert refusal(whole[:length], schema=NUMBERS).code == "invalid_npy"
    assert refusal(whole + b"x", schema=NUMBERS).code == "invalid_npy"


def test_a_field_with_a_name_that_is_no_text_is_refused_in_words_that_can_be_sent() -> None:
    text = r"{'descr': [('\ud800', '<f8')], 'fortran_order': False, 'shape': (1,), }"
    error = refusal(header(text, b"\0" * 8))
    assert error.code == "unknown_column"
    assert str(error).encode()


def test_text_with_codes_that_are_no_characters_is_refused() -> None:
    table = np.zeros(2, dtype=[("age", "<f8"), ("job", "<U2")])
    body = npy(table)[:-8] + b"\xff" * 8
    error = refusal(body)
    assert (error.code, error.row, error.column) == ("wrong_charset", 1, "job")


def test_columns_of_different_lengths_are_refused() -> None:
    error = refusal(npz({"age": np.arange(2), "job": np.array(["a"])}), NPZ)
    assert (error.code, error.column) == ("wrong_shape", "job")
    assert refusal(npz({"age": np.zeros((2, 1)), "job": np.array(["a"])}), NPZ).column == "age"


def archive(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, content in members:
            made.writestr(name, content)
    return file.getvalue()


def broken_archives() -> Iterator[tuple[str, bytes]]:
    good = npz({"age": np.arange(2)})
    yield "no archive", b"PK" + b"x" * 50
    yield "cut short", good[: len(good) // 2]
    damaged = len(npy(np.arange(2)))
    yield "damaged", good[:damaged] + bytes([good[damaged] ^ 255]) + good[damaged + 1 :]
    yield "lzma", archive(("age.npy", npy(np.arange(2))), compression=zipfile.ZIP_LZMA)
    yield "no array", archive(("age.npy", b"no array"))
    yield "a folder", archive(("age/", b""))
    flags = good.index(b"PK\1\2") + 8
    yield "encrypted", good[:flags] + b"\1" + good[flags + 1 :]


BROKEN = dict(broken_archives())


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_no_archive_of_arrays_is_refused(body: bytes) -> None:
    assert refusal(body, NPZ).code in {"invalid_npz", "invalid_npy"}


def test_an_archive_with_a_column_twice_is_refused() -> None:
    column = npy(np.array(["1"]))
    with pytest.warns(UserWarning, match="Duplicate name"):
        body = archive(("age.npy", column), ("job.npy", column), ("age.npy", column))
    error = refusal(body, NPZ)
    assert error.code == "invalid_npz"
    assert "'age' is there twice" in error.message


def test_an_empty_archive_has_no_rows() -> None:
    assert refusal(archive(), NPZ).code == "no_rows"


def test_a_bomb_is_not_unpacked() -> None:
    body = archive(*((f"{number}.npy", bytes(limits.UNPACKED_BYTES // 5)) for number in range(6)))
    assert len(body) < 1_000_000
    error = refusal(body, NPZ)
    assert (error.code, error.status) == ("too_large", 413)


def test_an_archive_of_very_many_files_is_not_opened() -> None:
    body = archive(("a", b"")) + b"PK\1\2" * (limits.COLUMNS + 2)
    assert refusal(body, NPZ).code == "too_many_columns"


def test_text_that_is_too_long_is_refused_by_row_and_column() -> None:
    texts = np.array(["a", "x" * (limits.TEXT_LENGTH + 1)])
    error = refusal(npz({"age": np.arange(2), "job": texts}, np.savez_compressed), NPZ)
    assert (error.code, error.row, error.column) == ("text_too_long", 1, "job")
