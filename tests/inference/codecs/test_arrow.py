"""Parquet and Arrow: every type a column may have, and that no file is believed."""

from __future__ import annotations

import datetime
import decimal
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from inference import codecs, limits
from shared.errors import InputError
from shared.schema import Column, Schema, Target
from shared.values import Kind
from tests.support import bundles
from tests.support.requests import arrow, parquet_of, table

PARQUET = "application/x-parquet"
STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
BOTH = pytest.mark.parametrize(("content_type", "write"), [(PARQUET, parquet_of), (STREAM, arrow)])


def schema(kind: Kind) -> Schema:
    return Schema((Column("x", kind),), (), Target("y", "regression"))


def read(body: bytes, content_type: str, kind: Kind = "numeric") -> list[Any]:
    found: list[Any] = codecs.decode(body, content_type).columns(schema(kind))["x"].tolist()
    return found


def refusal(body: bytes, content_type: str, kind: Kind = "numeric") -> InputError:
    with pytest.raises(InputError) as caught:
        read(body, content_type, kind)
    return caught.value


UTC = datetime.UTC
NOON = datetime.datetime(2013, 7, 1, 12)
TYPES: list[tuple[Any, Kind, list[Any]]] = [
    (pa.array([1, None], pa.int8()), "numeric", [1, np.nan]),
    (pa.array([2**63 - 1]), "numeric", [2.0**63]),
    (pa.array([0.5], pa.float16()), "numeric", [0.5]),
    (pa.array([np.nan]), "numeric", [np.nan]),
    (pa.array(["1.5", "", None, "NA"]), "numeric", [1.5, np.nan, np.nan, np.nan]),
    (pa.array([decimal.Decimal("0.1"), None]), "numeric", [0.1, np.nan]),
    (pa.array([decimal.Decimal("123456789012345678.9")]), "numeric", [123456789012345678.9]),
    (pa.array([1.5, 1.5]).dictionary_encode(), "numeric", [1.5, 1.5]),
    (pa.nulls(2), "numeric", [np.nan, np.nan]),
    (pa.array([True, None]), "boolean", [1, np.nan]),
    (pa.array([0, 1]), "boolean", [0, 1]),
    (pa.array(["yes", "FALSE"]), "boolean", [1, 0]),
    (pa.array(["a", None, ""]), "category", ["a", None, None]),
    (pa.array(["a", "b"], pa.large_string()), "category", ["a", "b"]),
    (pa.array(["a", "b"], pa.string_view()), "category", ["a", "b"]),
    (pa.array(["a", "b", None, "a"]).dictionary_encode(), "category", ["a", "b", None, "a"]),
    (pa.array([5, 7]).dictionary_encode(), "category", ["5", "7"]),
    (pa.array([5.0, 0.5]), "category", ["5", "0.5"]),
    (pa.array([True]), "category", ["true"]),
    (pa.array([decimal.Decimal("1.50")]), "category", ["1.5"]),
    (pa.array([NOON, None]), "datetime", [NOON, None]),
    (pa.array([NOON], pa.timestamp("s")), "datetime", [NOON]),
    (pa.array([NOON], pa.timestamp("ns", "America/New_York")), "datetime", [NOON]),
    (pa.array([NOON.date()]), "datetime", [NOON.replace(hour=0)]),
    (pa.array([NOON], pa.date64()), "datetime", [NOON.replace(hour=0)]),
    (pa.array(["2013-07-01T14:00+02:00"]), "datetime", [NOON]),
]


@BOTH
@pytest.mark.parametrize(("cells", "kind", "expected"), TYPES, ids=lambda v: str(v)[:40])
def test_a_column_may_have_any_plain_type(
    cells: Any, kind: Kind, expected: list[Any], content_type: str, write: Any
) -> None:
    found = read(write(pa.table({"x": cells})), content_type, kind)
    if kind in ("numeric", "boolean"):
        assert found == pytest.approx(expected, nan_ok=True, rel=0, abs=0)
    else:
        assert found == expected


@BOTH
@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (pa.array([[1]]), "numeric"),
        (pa.array([{"a": 1}]), "numeric"),
        (pa.array([b"x"]), "category"),
        (pa.array([1]), "datetime"),
        (pa.array([True]), "numeric"),
        (pa.array([NOON]), "numeric"),
        (pa.array([NOON.time()]), "datetime"),
        (pa.array([datetime.timedelta(1)]), "numeric"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_a_column_cannot_be_made_of_is_refused_by_name(
    cells: Any, kind: Kind, content_type: str, write: Any
) -> None:
    error = refusal(write(pa.table({"x": cells})), content_type, kind)
    assert (error.code, error.column, error.row, error.others) == ("wrong_type", "x", None, ())


@BOTH
def test_wrong_values_are_told_by_row(content_type: str, write: Any) -> None:
    cells = pa.array(["1", "two", "3", None, "two", "5e999"])
    for column in (cells, cells.dictionary_encode()):
        error = refusal(write(pa.table({"x": column})), content_type)
        told = [(one.code, one.row) for one in (error, *error.others)]
        assert told == [("wrong_type", 1), ("wrong_type", 4), ("not_finite", 5)]
    error = refusal(write(pa.table({"x": [1.0, np.inf]})), content_type)
    assert (error.code, error.row) == ("not_finite", 1)


@pytest.mark.parametrize("moment", [-(2**62), 2**62, 253_402_300_800, -62_135_596_801])
def test_times_that_no_text_could_say_are_refused(moment: int) -> None:
    body = arrow(pa.table({"x": pa.array([0, moment], pa.int64()).cast(pa.timestamp("s"))}))
    error = refusal(body, STREAM, "datetime")
    assert (error.code, error.row) == ("out_of_range", 1)


@BOTH
def test_what_pandas_writes_for_the_names_of_rows_is_left_out(
    content_type: str, write: Any
) -> None:
    body = write(pa.table({"x": [1], "__index_level_0__": ["first"]}))
    assert read(body, content_type) == [1]


@BOTH
def test_names_of_columns_are_checked(content_type: str, write: Any) -> None:
    error = refusal(write(pa.table({"X": [1], "y": [2]})), content_type)
    assert [(one.code, one.column) for one in (error, *error.others)] == [
        ("unknown_column", "X"),
        ("unknown_column", "y"),
        ("missing_column", "x"),
    ]
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    assert refusal(write(twice), content_type).code == "duplicate_column"


@BOTH
def test_no_rows_and_no_columns_are_refused(content_type: str, write: Any) -> None:
    assert refusal(write(pa.table({"x": pa.array([], pa.float64())})), content_type).code == (
        "no_rows"
    )
    assert refusal(write(pa.table({})), content_type).code in {"wrong_shape", "invalid_parquet"}


@BOTH
def test_too_many_rows_or_columns_are_refused_with_413(
    content_type: str, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ROWS", 3)
    monkeypatch.setattr(limits, "COLUMNS", 2)
    assert refusal(write(pa.table({"x": [1] * 4})), content_type).code == "too_many_rows"
    wide = pa.table({name: [1] for name in "xyz"})
    error = refusal(write(wide), content_type)
    assert (error.code, error.status) == ("too_many_columns", 413)


def test_rows_without_any_bytes_are_counted_before_they_are_made() -> None:
    """A column of nulls takes no room, so a file of some bytes may have rows without number."""
    body = bytearray(arrow(pa.table({"x": pa.nulls(77)})))
    place = body.index((77).to_bytes(8, "little"))
    for start in range(place, len(body) - 8):
        if body[start : start + 8] == (77).to_bytes(8, "little"):
            body[start : start + 8] = (1 << 60).to_bytes(8, "little")
    assert refusal(bytes(body), STREAM).code == "too_many_rows"


@BOTH
@pytest.mark.parametrize("encoded", [False, True])
def test_a_text_that_is_too_long_is_refused_however_often_it_comes(
    encoded: bool, content_type: str, write: Any
) -> None:
    cells = pa.array(["x" * (limits.TEXT_LENGTH + 1)] * 50)
    made = pa.table({"x": cells.dictionary_encode() if encoded else cells})
    error = refusal(write(made), content_type, "category")
    assert (error.code, error.column) == ("text_too_long", "x")


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("writer", [ipc.new_stream, ipc.new_file])
@pytest.mark.parametrize("encoded", [False, True])
def test_an_arrow_bomb_is_not_unpacked(compression: str, writer: Any, encoded: bool) -> None:
    cells = pa.array(["x" * 30_000_000] * 5)
    made = pa.table({"x": pa.DictionaryArray.from_arrays([0], cells) if encoded else cells})
    body = arrow(made, writer, compression)
    assert len(body) < 1_000_000
    error = refusal(body, STREAM, "category")
    assert (error.code, error.status) == ("too_large", 413)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "snappy"])
def test_a_parquet_bomb_is_not_unpacked(compression: str) -> None:
    cells = pa.array(["x" * 30_000_000 + str(number) for number in range(5)])
    body = parquet_of(pa.table({"x": cells}), compression=compression, write_statistics=False)
    error = refusal(body, PARQUET, "category")
    assert (error.code, error.status) == ("too_large", 413)


def varint(number: int, width: int) -> bytes:
    """A number as Thrift writes it, in so many bytes."""
    number <<= 1
    digits = [number >> 7 * place & 127 for place in range(width)]
    return bytes([digit | 128 for digit in digits[:-1]] + digits[-1:])


def test_a_parquet_bomb_whose_footer_lies_is_not_unpacked() -> None:
    cells = pa.array(["x" * 30_000_000 + str(number) for number in range(5)])
    options: dict[str, Any] = {"write_statistics": False, "use_dictionary": False}
    body = parquet_of(pa.table({"x": cells}), compression="zstd", **options)
    footer = parquet.read_metadata(pa.BufferReader(body))
    lies = body
    for size in (
        footer.row_group(0).total_byte_size,
        footer.row_group(0).column(0).total_uncompressed_size,
    ):
        lies = lies.replace(varint(size, 5), varint(1000, 5))
    told = parquet.read_metadata(pa.BufferReader(lies)).row_group(0)
    assert (told.total_byte_size, told.column(0).total_uncompressed_size) == (1000, 1000)
    error = refusal(lies, PARQUET, "category")
    assert (error.code, error.status) == ("too_large", 413)


def test_front_coded_texts_are_refused() -> None:
    """A long text and "the same again" would be as many long texts as there are rows."""
    cells = pa.table({"x": ["x" * 9000] * 9})
    encoded = parquet_of(cells, use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"})
    error = refusal(encoded, PARQUET, "category")
    assert error.code == "invalid_parquet"
    assert "DELTA_BYTE_ARRAY" in error.message


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": True},
        {"use_dictionary": False},
        {"data_page_size": 100, "write_page_index": True, "write_page_checksum": True},
        {"row_group_size": 3, "compression": "brotli"},
    ],
    ids=str,
)
def test_pages_of_any_other_kind_are_read(version: str, options: dict[str, Any]) -> None:
    texts = [f"text {number % 7}" for number in range(1000)][
        : 10 if "row_group_size" in options else None
    ]
    body = parquet_of(pa.table({"x": texts}), data_page_version=version, **options)
    assert read(body, PARQUET, "category") == texts


@pytest.mark.parametrize("content_type", [PARQUET, STREAM, FILE])
@pytest.mark.parametrize("body", [b"x", b"PAR1PAR1", b"ARROW1\0\0", b"\xff" * 100, b"{}" * 50])
def test_what_is_no_such_file_is_refused(content_type: str, body: bytes) -> None:
    assert refusal(body, content_type).code in {"invalid_parquet", "invalid_arrow"}


def mutants(body: bytes, seed: int, count: int) -> list[bytes]:
    """The body with some bytes changed, cut out or put in."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        changed = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(changed))
            match chance.randrange(4):
                case 0:
                    changed[place] ^= 1 << chance.randrange(8)
                case 1:
                    changed[place] = chance.choice([0, 1, 127, 128, 255])
                case 2:
                    changed[place : place + chance.randint(1, 8)] = b""
                case 3:
                    changed[place:place] = chance.randbytes(chance.randint(1, 8))
            changed = changed or bytearray(b"x")
        made.append(bytes(changed))
    return made


@pytest.mark.parametrize("kind", ["Parquet", "Arrow stream", "Arrow stream, lz4", "Arrow file"])
def test_a_damaged_file_is_answered_or_refused_and_never_a_crash(kind: str) -> None:
    rows = table(bundles.rows(20), bundles.COLUMNS)
    rows = rows.append_column("weather.sky", pa.array(["a", "b"] * 10).dictionary_encode())
    body, content_type = {
        "Parquet": (parquet_of(rows), PARQUET),
        "Arrow stream": (arrow(rows), STREAM),
        "Arrow stream, lz4": (arrow(rows, compression="lz4"), STREAM),
        "Arrow file": (arrow(rows, ipc.new_file), FILE),
    }[kind]
    known = Schema(
        bundles.COLUMNS, bundles.WEATHER.named_columns, Target("late", "binary", (False, True))
    )
    refused = []
    for mutant in mutants(body, seed=1, count=600):
        try:
            codecs.decode(mutant, content_type).columns(known)
        except InputError as error:
            refused.append(str(error))
    assert 0 < len(refused) < 600
    assert all(text.encode() for text in refused)
