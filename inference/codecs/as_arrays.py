"""NPY and NPZ: bytes → arrays, and predictions → arrays. Nothing is ever unpickled.

Here: which shapes are rows. Not here: the files themselves (shared.numpy_files), nor which dtypes a
column accepts (shared.arrays).
"""

from __future__ import annotations

import io
import zipfile

import numpy as np

from inference import limits
from inference.codecs.request import Table, no_rows
from shared import numpy_files
from shared.arrays import from_array
from shared.errors import InputError
from shared.predictions import Predictions
from shared.values import Array


def read_npy(body: bytes) -> Table:
    """Rows of an array: [rows, columns] in the order of the schema, or [rows] of named fields.

    Raises:
        InputError: invalid_npy, wrong_shape, no_rows, too_many_rows, too_many_columns.
    """
    try:
        array = numpy_files.from_npy(body, fields=True)
    except ValueError as error:
        raise InputError(
            "invalid_npy", f"The body is no NPY: {error}", cure="Write it with numpy.save"
        ) from None
    if array.ndim:
        limits.check_rows(len(array))
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
        InputError: invalid_npz, wrong_shape, no_rows, too_many_rows, too_many_columns, too_large.
    """
    # Each entry of the directory begins so; zipfile would make objects of them all.
    limits.check_columns(body.count(b"PK\x01\x02") - 1)
    try:
        arrays = numpy_files.from_npz(body, limits.UNPACKED_BYTES)
    except numpy_files.TooLargeError:
        raise limits.unpacks_too_large() from None
    except ValueError as error:
        raise InputError(
            "invalid_npz", f"The body is no NPZ: {error}", cure="Write it with numpy.savez"
        ) from None
    if not arrays:
        raise no_rows()
    first = next(iter(arrays.values()))
    for name, array in arrays.items():
        if array.ndim != 1:
            message = f"one array [rows] is needed, not one of the shape {array.shape}"
            raise InputError("wrong_shape", message, column=name[:100])
        if len(array) != len(first):
            message = f"the column has {len(array)} values, the first one {len(first)}"
            raise InputError("wrong_shape", message, column=name[:100])
    limits.check_rows(len(first))
    return Table(list(arrays), list(arrays.values()), from_array)


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
