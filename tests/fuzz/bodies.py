"""Good bodies of every content type, and how to spoil them. All chance comes from one generator."""

from __future__ import annotations

import functools
import gzip
import io
import json
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tests.support import bundles, requests

# Members of one name are meant.
warnings.filterwarnings("ignore", message="Duplicate name")


class Body(NamedTuple):
    """What is sent."""

    content_type: str
    data: bytes


Chance = random.Random
Mutator = Callable[[Chance, bytes], bytes]

NUMBERS = (
    "1e400", "-1e400", "1e308", "-0", "-0.0", "1" * 400, "0." + "0" * 400 + "1", "9" * 19,
    "18446744073709551616", "NaN", "Infinity", "-Infinity", "nan", "inf", "1_000", "0x10", "١٢٣",
    "1e-400", "4.9e-324", "00", "+1", ".5", "5.", "1e", "--1", "1,5",
)  # fmt: skip
TEXTS = (
    "", " ", "\x00", "\ufeff", "\u202e", "\ud800".encode("utf-8", "surrogatepass").decode("latin1"),
    "é" * 2000, "a" * 20_000, "💥" * 50, "'; DROP TABLE x; --", "../../etc/passwd", "{{7*7}}",
    "%s%n%x", "\r\nX-Evil: 1", "__class__", "null", "true", "=cmd|' /C calc'!A0", "\u0000" * 10,
)  # fmt: skip
TIMES = (
    "0000-01-01", "10000-01-01", "2013-02-30", "2013-01-01T25:00", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59", "2013-01-01T00:00:00.123456789Z", "2013-01-01 ", "now",
)  # fmt: skip
HUGE = (0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 1 << 62, (1 << 64) - 1, 1 << 40, 100_000, 0)


@functools.cache
def good(count: int, seed: int) -> list[Body]:
    """The same rows in every content type that is read."""
    rows = bundles.rows(count, seed)
    made = requests.bodies(rows, bundles.COLUMNS)
    found = [Body(kind, data) for kind, data in made.values()]
    found.append(Body("application/json", json.dumps(rows[0]).encode()))
    return found


def spoilt(chance: Chance, bodies: list[Body]) -> Body:
    """One of `bodies`, spoilt once or a few times; or something that was never one."""
    kind, data = chance.choice(bodies)
    if chance.random() < 0.03:
        kind = chance.choice(bodies).content_type  # another type than it is
    if chance.random() < 0.02:
        return Body(kind, chance.choice(_bombs()))
    mutators = [*GENERAL, *_special(kind)]
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        data = chance.choice(mutators)(chance, data)
    return Body(kind, data[:8_000_000])


def _special(kind: str) -> list[Mutator]:
    """Mutators that know the format; they are drawn more often than the general ones."""
    if "json" in kind:
        return JSON * 2
    if "csv" in kind:
        return CSV * 2
    if "npy" in kind:
        return NPY * 2
    if "npz" in kind:
        return NPZ * 3
    return TABLES * 3


def _flip(chance: Chance, data: bytes) -> bytes:
    if not data:
        return b"\x00"
    spoilt = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def _overwrite(chance: Chance, data: bytes) -> bytes:
    place = chance.randint(0, len(data))
    return data[:place] + chance.randbytes(chance.randint(1, 32)) + data[place + 8 :]


def _cut(chance: Chance, data: bytes) -> bytes:
    return data[: chance.randint(0, len(data))]


def _behead(chance: Chance, data: bytes) -> bytes:
    return data[chance.randint(0, min(len(data), 64)) :]


def _remove(chance: Chance, data: bytes) -> bytes:
    first, last = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    return data[:first] + data[last:]


def _repeat(chance: Chance, data: bytes) -> bytes:
    first, last = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    part = data[first:last]
    times = max(1, min(chance.choice((2, 10, 1000)), 200_000 // (len(part) + 1)))
    return data[:first] + part * times + data[last:]


def _swap(chance: Chance, data: bytes) -> bytes:
    a, b, c = sorted(chance.randint(0, len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _insert(chance: Chance, data: bytes) -> bytes:
    place = chance.randint(0, len(data))
    return data[:place] + chance.choice(TEXTS).encode("utf-8", "surrogatepass") + data[place:]


def _number(chance: Chance, data: bytes) -> bytes:
    """A little-endian number somewhere becomes a large one."""
    size = chance.choice((2, 4, 8))
    place = chance.randint(0, max(0, len(data) - size))
    value = chance.choice(HUGE) & ((1 << 8 * size) - 1)
    return data[:place] + value.to_bytes(size, "little") + data[place + size :]


def _recode(chance: Chance, data: bytes) -> bytes:
    text = data.decode("latin1")
    return text.encode(chance.choice(("utf-16", "utf-32", "utf-8", "utf-7")), "replace")


GENERAL: list[Mutator] = [
    _flip, _overwrite, _cut, _behead, _remove, _repeat, _swap, _insert, _number, _recode,
]  # fmt: skip


def _in_json(chance: Chance, data: bytes) -> bytes:
    """A value becomes another."""
    values = [
        match.span() for match in re.finditer(rb'"[^"]*"|-?\d[\d.e+-]*|true|null', data[:9000])
    ]
    if not values:
        return data
    first, last = chance.choice(values[:400])
    text = chance.choice((*NUMBERS, *(json.dumps(text) for text in (*TEXTS, *TIMES)), "{}", "[]"))
    return data[:first] + text.encode("utf-8", "surrogatepass") + data[last:]


def _key_twice(chance: Chance, data: bytes) -> bytes:
    keys = re.findall(rb'"[^"]*":', data[:9000])
    if not keys:
        return data
    place = data.find(b"{") + 1
    return data[:place] + chance.choice(keys) + b"1," + data[place:]


def _nest(chance: Chance, data: bytes) -> bytes:
    depth = chance.choice((3, 100, 1000, 1025, 100_000))
    left, right = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"instances":', b"}")))
    return left * depth + data[:2000] + right * chance.choice((depth, depth - 1, 0))


def _wide(count: int) -> str:
    return json.dumps({f"column {number}": number for number in range(count)})


DOCUMENTS = (
    "{}", "[]", "null", "1", '""', '{"instances": {}}', '{"instances": [[]]}', _wide(10),
    '{"instances": [{}]}', '{"instances": [null, 1, "x", [], {}]}', '{"inputs": {"a": 1}}',
    '{"inputs": {}}', '{"columns": [], "data": []}', '{"columns": {}, "data": {}}', _wide(20_000),
    '{"columns": ["distance", "distance"], "data": [[1, 1]]}', '{"instances": [[[[1]]]]}',
    '{"columns": [1, null], "data": [[1, 2]]}', '{"instances": [1], "instances": []}',
    '{"instances": [' + "[]," * 50_000 + "[]]}", '{"inputs": {"distance": [1], "seats": []}}',
    "[" + "0," * 120_000 + "0]", '{"instances": [' + _wide(10_001) + "]}",
)  # fmt: skip


def _strange_document(chance: Chance, data: bytes) -> bytes:
    return chance.choice(DOCUMENTS).encode()


JSON: list[Mutator] = [_in_json, _in_json, _in_json, _key_twice, _nest, _strange_document]


def _cell(chance: Chance, data: bytes) -> bytes:
    cells = re.split(rb"([,\n])", data)
    place = 2 * chance.randrange((len(cells) + 1) // 2)
    text = chance.choice((*NUMBERS, *TEXTS, *TIMES))
    cells[place] = text.encode("utf-8", "surrogatepass")
    return b"".join(cells)


def _quotes(chance: Chance, data: bytes) -> bytes:
    place = chance.randint(0, len(data))
    strange = chance.choice(
        (b'"', b'""', b'"\n', b'","', b"'", b'"' * 999, b"\r", b"\r\n", b"\x00")
    )
    return data[:place] + strange + data[place:]


def _commas(chance: Chance, data: bytes) -> bytes:
    place = chance.randint(0, len(data))
    strange = chance.choice((b",", b"\n", b";", b"\t")) * chance.choice((1, 10, 30_000))
    return data[:place] + strange + data[place:]


CSV: list[Mutator] = [_cell, _cell, _quotes, _quotes, _commas]


def _npy_header(chance: Chance, data: bytes) -> bytes:
    """Another description of the same bytes."""
    kinds = ("'|O'", "'<f8'", "'<U1073741823'", "'<M8[ns]'", "'|V8'", "'|S0'", "'>c16'", "1", "[]",
             "[('distance', '<f8')]", "[('a', '<f8', (1000000,))]", "'<f8' * 10**9")  # fmt: skip
    shapes = ("(3,)", "(-1,)", "(1000000000000, 1000000000000)", "()", "(2, 7)", "[2]", "2",
              "(True,)", "(1.5,)", "(" * 200 + ")" * 200, "(0, 1000000000000)")  # fmt: skip
    order = chance.choice(("False", "True", "None", "[]"))
    header = f"{{'descr': {chance.choice(kinds)}, 'fortran_order': {order}, "
    header += f"'shape': {chance.choice(shapes)}, }}"
    header = header.ljust(chance.choice((117, 20_000))) + "\n"
    version = chance.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header.encode() + data[128:]


ARRAYS = (
    np.zeros((2, 7)), np.zeros(0), np.zeros((0, 7)), np.zeros((3, 0)), np.array(1.0),
    np.full((2, 7), np.nan), np.full((2, 7), np.inf), np.zeros((2, 7), np.complex128),
    np.zeros((1, 20_000)), np.zeros((100_001, 7), np.int8), np.array([["x"] * 7]),
    np.zeros((2, 7), "M8[us]"), np.zeros((2, 7), bool), np.zeros((1, 1, 1, 7)),
    np.array([["\U0010ffff" * 7] * 7]), np.zeros((2, 7), ">i2"), np.full((1, 7), 1 << 62),
)  # fmt: skip


def _strange_array(chance: Chance, data: bytes) -> bytes:
    return requests.npy(chance.choice(ARRAYS))


NPY: list[Mutator] = [_npy_header, _npy_header, _strange_array]


def _repack(chance: Chance, data: bytes) -> bytes:
    """Members renamed, doubled, spoilt, packed otherwise, and checksums that fit again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:
        return data
    file = io.BytesIO()
    method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            draw = chance.random()
            if draw < 0.1:
                continue
            if draw < 0.2:
                name = chance.choice(
                    ("../../evil.npy", ".npy", "a" * 3000, "distance", "x.py", "/x")
                )
            if draw > 0.7:
                content = chance.choice((*NPY, *GENERAL))(chance, content)
            archive.writestr(name, content)
    return file.getvalue()


def _directory(chance: Chance, data: bytes) -> bytes:
    """A byte of the zip's directory, which stands at the end."""
    start = max(data.rfind(b"PK\x01\x02"), 0)
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if len(spoilt) > start:
            spoilt[chance.randrange(start, len(spoilt))] = chance.choice((0, 1, 0x7F, 0xFF, 0x50))
    return bytes(spoilt)


NPZ: list[Mutator] = [_repack, _directory]


def _edges(chance: Chance, data: bytes) -> bytes:
    """Bytes at the beginning and the end, where Parquet and Arrow keep their descriptions."""
    spoilt = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not spoilt:
            break
        near = min(len(spoilt), chance.choice((16, 64, 400, 2000)))
        place = chance.randrange(near)
        place = place if chance.random() < 0.4 else len(spoilt) - 1 - place
        spoilt[place] = chance.choice((spoilt[place] ^ (1 << chance.randrange(8)), 0, 0xFF, 0x7F))
    return bytes(spoilt)


@functools.cache
def _table(name: str, count: int, column: int, packing: str) -> bytes:
    """A table that is sound, but no rows of the model; as Arrow's stream or as Parquet."""
    made = (
        lambda: pa.array([None] * count),
        lambda: pa.array([[1, 2]] * count),
        lambda: pa.array([{"a": 1}] * count),
        lambda: pa.array([1] * count, pa.decimal128(38, 10)),
        lambda: pa.array([b"\xff"] * count),
        lambda: pa.array(["x" * 20_000] * min(count, 3)),
        lambda: pa.array(["x"] * count).dictionary_encode(),
        lambda: pa.array([1 << 62] * count, pa.timestamp("s")),
        lambda: pa.array([float("nan")] * count),
        lambda: pa.array([1] * count, pa.duration("s")),
        lambda: pa.array([1.5] * count, pa.float16()),
        lambda: pa.array([3] * count, pa.date32()),
        lambda: pa.array([(1 << 64) - 1] * count, pa.uint64()),
    )[column]()
    table = pa.table({name: made, "seats": made})
    if packing == "stream":
        return requests.arrow(table)
    try:
        return requests.parquet_of(table, compression=packing)
    except pa.ArrowException:
        return b"PAR1"


def _strange_table(chance: Chance, data: bytes) -> bytes:
    name = chance.choice(("distance", "origin", "stranger"))
    count = chance.choice((0, 1, 3, 100_001))
    return _table(name, count, chance.randrange(13), chance.choice(("stream", "none", "zstd")))


TABLES: list[Mutator] = [_edges, _edges, _edges, _number, _strange_table]


@functools.cache
def _bombs() -> tuple[bytes, ...]:
    """Little that unpacks to much."""
    zeros = pa.table({"distance": np.zeros(2_000_000)})
    return (
        requests.npz({"distance": np.zeros(20_000_000)}, np.savez_compressed),
        requests.parquet_of(zeros, compression="zstd"),
        requests.arrow(zeros, compression="zstd"),
        gzip.compress(bytes(10_000_000)),
    )
