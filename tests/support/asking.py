"""Requests of every content type, good and bad, that all containers must answer alike."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import bundles
from tests.support.serving import Reply, Server

CSV = "text/csv"
INFERENCE_ID = "of-the-caller"
ROWS = bundles.rows(20)


@dataclass(frozen=True)
class Asked:
    """One request."""

    name: str
    body: bytes
    content_type: str = "application/json"
    accept: str | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def headers(self) -> dict[str, str]:
        accept = {"Accept": self.accept} if self.accept else {}
        named = {"X-Amzn-SageMaker-Inference-Id": INFERENCE_ID}
        return {"Content-Type": self.content_type, **named, **accept}

    def of(self, server: Server) -> Reply:
        return server.request("POST", "/invocations", self.body, self.headers)


def table(rows: list[dict[str, Any]], *, header: bool) -> bytes:
    """`rows` as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def json_of(value: object) -> bytes:
    return json.dumps(value).encode()


def lines_of(rows: Sequence[object]) -> bytes:
    """`rows` as JSON Lines."""
    return b"\n".join(map(json_of, rows)) + b"\n"


def columns() -> dict[str, list[Any]]:
    """`ROWS` by column."""
    return {name: [row[name] for row in ROWS] for name in ROWS[0]}


def npy() -> bytes:
    """`ROWS` as an array of fields of text, which says all that CSV says."""
    texts = [tuple("" if value is None else str(value) for value in row.values()) for row in ROWS]
    file = io.BytesIO()
    np.save(file, np.array(texts, [(name, "U30") for name in ROWS[0]]), allow_pickle=False)
    return file.getvalue()


def npz() -> bytes:
    """`ROWS` as one array of text for each column."""
    file = io.BytesIO()
    texts = {
        name: np.array(["" if value is None else str(value) for value in values])
        for name, values in columns().items()
    }
    np.savez_compressed(file, **texts)
    return file.getvalue()


def parquet() -> bytes:
    """`ROWS` as Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns()), sink)
    return bytes(sink.getvalue())


def arrow(new: Callable[..., Any]) -> bytes:
    """`ROWS` as Arrow, written by `new`."""
    found, sink = pa.table(columns()), pa.BufferOutputStream()
    with new(sink, found.schema) as writer:
        writer.write_table(found)
    return bytes(sink.getvalue())


LINES, NPY, NPZ = "application/jsonlines", "application/x-npy", "application/x-npz"
PARQUET, ARROW = "application/x-parquet", "application/vnd.apache.arrow"

GOOD = [
    Asked("JSON, instances", json_of({"instances": ROWS})),
    Asked("JSON, a list", json_of(ROWS), "application/json; charset=utf-8"),
    Asked("JSON, one object", json_of(bundles.ROW)),
    Asked("JSON, lists in order", json_of({"instances": [list(row.values()) for row in ROWS]})),
    Asked(
        "JSON, columns and data",
        json_of({"columns": list(ROWS[0]), "data": [list(row.values()) for row in ROWS]}),
    ),
    Asked("JSON, with a byte order mark", b"\xef\xbb\xbf" + json_of(bundles.ROW)),
    Asked("JSON, answered in CSV", json_of(ROWS), accept=CSV),
    Asked("JSON, the answer chosen by quality", json_of(ROWS), accept="text/csv;q=0.5, */*;q=0.1"),
    Asked("JSON Lines", lines_of(ROWS), LINES),
    Asked("JSON Lines, answered so", lines_of(ROWS), LINES, LINES),
    Asked("CSV", table(ROWS, header=False), CSV),
    Asked("CSV with a header", table(ROWS, header=True), f"{CSV}; charset=utf-8"),
    Asked("CSV, answered in CSV", table(ROWS, header=True), CSV, CSV),
    Asked(
        "CSV in UTF-16",
        table(ROWS, header=True).decode().encode("utf-16"),
        f"{CSV}; charset=utf-16",
    ),
    Asked("NPY", npy(), NPY),
    Asked("NPY, answered so", npy(), NPY, NPY),
    Asked("NPZ", npz(), NPZ),
    Asked("NPZ, answered so", npz(), NPZ, NPZ),
    Asked("Parquet", parquet(), PARQUET),
    Asked("Parquet, answered so", parquet(), PARQUET, PARQUET),
    Asked("an Arrow stream", arrow(pa.ipc.new_stream), f"{ARROW}.stream"),
    Asked(
        "an Arrow stream, answered so",
        arrow(pa.ipc.new_stream),
        f"{ARROW}.stream",
        f"{ARROW}.stream",
    ),
    Asked("an Arrow file", arrow(pa.ipc.new_file), f"{ARROW}.file"),
    Asked("an Arrow file, answered so", arrow(pa.ipc.new_file), f"{ARROW}.file", f"{ARROW}.file"),
]

BAD = [
    Asked("no JSON", b"{'distance': 1}"),
    Asked("no UTF-8", b'{"distance": "\xff"}'),
    Asked("no UTF-8 in CSV", b"\xff\xfe,1", CSV),
    Asked("nothing", b""),
    Asked("no rows", json_of({"instances": []})),
    Asked("an unknown column", json_of({**bundles.ROW, "distanse": 1})),
    Asked("a wrong type", json_of([bundles.ROW, {**bundles.ROW, "distance": "weit «ß»"}])),
    Asked("several mistakes", json_of([{**bundles.ROW, "distance": "far"}] * 3)),
    Asked("an unclosed quote", b'"a', CSV),
    Asked("a line that is no JSON", lines_of(ROWS) + b"{", LINES),
    Asked("half an array", npy()[:-7], NPY),
    Asked("half a table", parquet()[:-7], PARQUET),
    Asked("an unknown content type", b"x", "image/png"),
    Asked("a form", b"a=b", "application/x-www-form-urlencoded"),
    Asked("nothing that is acceptable", json_of(bundles.ROW), accept="image/png"),
    Asked("too much", b" " * 6_400_000),
]
