"""NPY and NPZ: bytes → arrays, and predictions → arrays. Nothing is ever unpickled.

numpy's own reader allocates what a header announces before it has seen a byte of it, so the header
is read here, and the data taken where it lies.
"""

from __future__ import annotations

import ast
import io
import math
import zipfile
from typing import Any

import numpy as np

from inference import limits
from inference.codecs.request import Table, no_rows
from shared.arrays import from_array
from shared.errors import InputError
from shared.predictions import Predictions
from shared.values import Array

_MAGIC = b"\x93NUMPY"
_KEYS = {"descr", "fortran_order", "shape"}
_KINDS = "biufMSU"
"""Booleans, numbers, times and text: no objects, nothing nested."""


def read_npy(body: bytes) -> Table:
    """Rows of an array: [rows, columns] in the order of the schema, or [rows] of named fields.

    Raises:
        InputError: invalid_npy, wrong_shape, no_rows, too_many_rows, too_many_columns.
    """
    array = _array(body)
    names = array.dtype.names
    if names is not None and array.ndim == 1:
        limits.check_columns(len(names))
        return Table(names, [array[name] for name in names], from_array)
    if names is not None or array.ndim != 2:
        raise InputError(
            "wrong_shape",
            f"The array has the shape {array.shape}",
            cure="Send [rows, columns] in the order of the schema, or [rows] of named fields",
        )
    limits.check_columns(array.shape[1])
    return Table(None, list(array.T), from_array)


def read_npz(body: bytes) -> Table:
    """Columns of an archive: one array [rows] of each.

    Raises:
        InputError: invalid_npz, invalid_npy, wrong_shape, no_rows, too_many_rows,
            too_many_columns, too_large.
    """
    members = _members(body)
    if not members:
        raise no_rows()
    arrays: list[Array] = []
    for name, content in members:
        array = _array(content, name[:100])
        if array.ndim != 1 or array.dtype.names is not None:
            message = f"one array [rows] is needed, not one of the shape {array.shape}"
            raise InputError("wrong_shape", message, column=name[:100])
        if arrays and len(array) != len(arrays[0]):
            message = f"the column has {len(array)} values, the first one {len(arrays[0])}"
            raise InputError("wrong_shape", message, column=name[:100])
        arrays.append(array)
    return Table([name for name, _ in members], arrays, from_array)


def write_npy(predictions: Predictions, _version: str) -> bytes:
    """An array [rows] of fields: label, score, ``scores.<class>`` of each; or value.

    The version has no place in it.
    """
    columns = {name: _plain(array) for name, array in predictions.to_columns().items()}
    dtype = np.dtype([(name, array.dtype) for name, array in columns.items()])
    table = np.empty(len(predictions), dtype)
    for name, array in columns.items():
        table[name] = array
    file = io.BytesIO()
    np.lib.format.write_array(file, table, allow_pickle=False)
    return file.getvalue()


def write_npz(predictions: Predictions, version: str) -> bytes:
    """One array for each of label, score, ``scores.<class>``; or value; and model_version."""
    columns = {name: _plain(array) for name, array in predictions.to_columns().items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in (*columns.items(), ("model_version", np.array(version))):
            # Not np.savez, which would take a class's name for one of its own arguments.
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return file.getvalue()


def _plain(array: Array) -> Array:
    return array.astype(np.str_) if array.dtype == object else array


def _members(body: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each array of an archive."""
    # Each entry of the directory begins so; zipfile would make objects of them all.
    limits.check_columns(body.count(b"PK\x01\x02") - 1)
    members: list[tuple[str, bytes]] = []
    left = limits.UNPACKED_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for entry in archive.infolist():
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise _not_npz("it is compressed otherwise than numpy does")
                with archive.open(entry) as file:
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise limits.unpacks_too_large()
                members.append((entry.filename.removesuffix(".npy"), content))
    except InputError:
        raise
    except Exception as error:  # zipfile stumbles over a damaged archive in many ways
        raise _not_npz(f"{error}"[:200]) from None
    return members


def _array(content: bytes, column: str | None = None) -> Array:
    """The array of an .npy file, where it lies.

    Raises:
        InputError: invalid_npy, too_many_rows.
    """
    try:
        start, header = _header(content)
        dtype = np.lib.format.descr_to_dtype(header["descr"])
        shape, fortran = header["shape"], header["fortran_order"]
        if type(fortran) is not bool or type(shape) is not tuple:
            raise ValueError("the header is not one")
        if any(type(size) is not int or size < 0 for size in shape):
            raise ValueError("the shape is not one")
    except Exception as error:  # what a header may hold, Python and numpy refuse in many ways
        raise _not_npy(f"{error}"[:200], column) from None
    fields = [dtype] if dtype.names is None else [dtype[name] for name in dtype.names]
    if any(field.kind not in _KINDS for field in fields):
        raise _not_npy(f"its type is {dtype}"[:200], column, "Send numbers, text, booleans, times")
    if shape:
        limits.check_rows(shape[0])
    size = math.prod(shape) * dtype.itemsize
    if size != len(content) - start:
        announced = f"its header announces {size} bytes of data; there are {len(content) - start}"
        raise _not_npy(announced, column)
    if not size:
        return np.empty(shape, dtype)
    array: Array = np.frombuffer(content, dtype, offset=start)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _header(content: bytes) -> tuple[int, dict[str, Any]]:
    """Where the data begins, and what is said about it before."""
    if content[:6] != _MAGIC or len(content) < 12:
        raise ValueError("it does not begin as one")
    wide = content[6] > 1
    begin = 12 if wide else 10
    length = int.from_bytes(content[8:begin], "little")
    if length > limits.HEADER_BYTES or length > len(content) - begin:
        raise ValueError(f"its header has {length} bytes")
    text = content[begin : begin + length].decode("utf-8" if content[6] > 2 else "latin-1")
    header = ast.literal_eval(text.strip())
    if type(header) is not dict or header.keys() != _KEYS:
        raise ValueError("the header is not one")
    return begin + length, header


def _not_npy(reason: str, column: str | None, cure: str = "Write it with numpy.save") -> InputError:
    return InputError("invalid_npy", f"This is no NPY: {reason}", column=column, cure=cure)


def _not_npz(reason: str) -> InputError:
    return InputError(
        "invalid_npz", f"The body is no NPZ: {reason}", cure="Write it with numpy.savez"
    )
