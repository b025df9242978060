"""The same rows as a request body of every content type, written by the usual libraries."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc, parquet

from shared.schema import Column

Row = Mapping[str, Any]

_DTYPES = {"numeric": np.float64, "boolean": np.float64, "datetime": "datetime64[us]"}
_TYPES = {
    "numeric": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "datetime": pa.timestamp("us"),
}


def bodies(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, tuple[str, bytes]]:
    """What is sent → content type and body.

    Args:
        rows: values as JSON has them; None is missing.
        columns: in the order of the schema.
    """
    names = [column.name for column in columns]
    lists = [[row[name] for name in names] for row in rows]
    split = {"columns": names[::-1], "index": [*range(len(rows))], "data": [r[::-1] for r in lists]}
    by_column = {name: [row[name] for row in rows] for name in names}
    found: dict[str, tuple[str, bytes]] = {
        f"JSON, {form}": ("application/json", json.dumps(document).encode())
        for form, document in {
            "instances": {"instances": list(rows)},
            "lists": {"instances": lists},
            "a list": list(rows),
            "split by pandas": split,
            "inputs": {"inputs": by_column, "signature_name": "serving_default"},
        }.items()
    }
    found["JSON Lines"] = "application/jsonlines", _lines(rows)
    found["JSON Lines, lists"] = "application/x-ndjson", _lines(lists)
    text = _csv([names, *lists])
    for charset in ("utf-8", "utf-16"):
        found[f"CSV, {charset}"] = f"text/csv; charset={charset}", text.encode(charset)
    found["CSV, quoted"] = "text/csv", _csv([names, *lists], quoting=csv.QUOTE_ALL).encode()
    found["CSV, no header"] = "text/csv; header=absent", _csv(lists).encode()
    found["CSV, BOM and CRLF"] = "text/csv", text.replace("\n", "\r\n").encode("utf-8-sig")
    found["NPY"] = "application/x-npy", npy(structured(rows, columns))
    arrays = {column.name: array(rows, column) for column in columns}
    found["NPZ"] = "application/x-npz", npz(arrays)
    found["NPZ, compressed"] = "application/x-npz", npz(arrays, np.savez_compressed)
    made = table(rows, columns)
    for compression in ("snappy", "zstd", "none"):
        body = parquet_of(made, compression=compression)
        found[f"Parquet, {compression}"] = "application/x-parquet", body
    stream, file = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
    found["Arrow stream"] = stream, arrow(made)
    found["Arrow stream, zstd"] = stream, arrow(made, compression="zstd")
    found["Arrow file"] = file, arrow(made, ipc.new_file)
    found["Arrow file, lz4"] = file, arrow(made, ipc.new_file, compression="lz4")
    return found


def array(rows: Sequence[Row], column: Column) -> Any:
    """One column of `rows` as numpy has it."""
    cells = [row[column.name] for row in rows]
    if column.kind == "category":
        return np.array(["" if cell is None else cell for cell in cells])
    return np.array(cells, dtype=_DTYPES[column.kind])


def structured(rows: Sequence[Row], columns: Sequence[Column]) -> Any:
    """`rows` as one array of named fields."""
    arrays = {column.name: array(rows, column) for column in columns}
    made = np.empty(len(rows), dtype=[(name, array.dtype) for name, array in arrays.items()])
    for name, cells in arrays.items():
        made[name] = cells
    return made


def table(rows: Sequence[Row], columns: Sequence[Column]) -> pa.Table:
    """`rows` as an Arrow table, typed as one would expect."""
    cells = {}
    for column in columns:
        values = array(rows, column) if column.kind == "datetime" else None
        listed = [row[column.name] for row in rows]
        if column.kind == "category":
            # As CSV, Arrow knows one missing text.
            listed = [cell or None for cell in listed]
        if column.kind == "numeric":
            listed = [None if cell is None else float(cell) for cell in listed]
        cells[column.name] = pa.array(listed if values is None else values, _TYPES[column.kind])
    return pa.table(cells)


def npy(made: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, made, allow_pickle=False)
    return file.getvalue()


def npz(arrays: Mapping[str, Any], save: Any = np.savez) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def parquet_of(made: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(made, file, **options)
    return file.getvalue()


def arrow(made: pa.Table, writer: Any = ipc.new_stream, compression: str | None = None) -> bytes:
    file = io.BytesIO()
    options = ipc.IpcWriteOptions(compression=compression)
    with writer(file, made.schema, options=options) as sink:
        sink.write_table(made)
    return file.getvalue()


def _lines(rows: Sequence[Any]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def _csv(rows: Sequence[Sequence[Any]], **options: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", **options).writerows(rows)
    return text.getvalue()
