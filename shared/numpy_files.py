"""Arrays in numpy's own files (.npy, .npz) of unknown making: plain ones, within limits, unpickled.

numpy evaluates a file's header as Python and reserves what it claims; zipfile believes its
directory. Here the header is matched, and must claim just the bytes that are there. Here: bytes →
arrays. Not here: what the arrays mean (sources.py), nor writing them, which numpy does.
"""

from __future__ import annotations

import ast
import io
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.documents import show

MAX_MEMBERS = 10_000
MAX_DIMENSIONS = 32
MAX_HEADER = 10_000
"""Bytes of a header; numpy's own limit."""

_MAGIC = b"\x93NUMPY"
_KIND = r"[<>|=]?[biufcSUMm?]\d{0,9}(?:\[(?:[1-9]\d{0,8})?[a-zA-Z]{1,3}\])?"
_FIELD = rf"""\(('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"), '({_KIND})'\)"""
_HEADER = re.compile(
    rf"\{{'descr': (?:'(?P<kind>{_KIND})'|\[(?P<fields>{_FIELD}(?:, {_FIELD})*)\]), "
    r"'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n?"
)


class TooLargeError(ValueError):
    """A file unpacks to more than it may."""


def from_npy(data: bytes, *, fields: bool = False) -> npt.NDArray[Any]:
    """The array in the bytes of a .npy file; it shares their memory and cannot be written to.

    Args:
        data: the file.
        fields: whether it may be of named fields, each plain itself.

    Raises:
        ValueError: the bytes are no such file, claim more or less than they hold, or hold objects
            or, unless they may, fields.
    """
    if data[:6] != _MAGIC:
        raise ValueError("it does not begin as an .npy file does")
    version = data[6:7]
    if version not in (b"\x01", b"\x02", b"\x03"):
        raise ValueError("the version of the .npy format is not known")
    width = 2 if version == b"\x01" else 4
    size = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + size
    header = None
    if size <= MAX_HEADER and start <= len(data):
        text = data[8 + width : start].decode("utf-8" if version == b"\x03" else "latin-1")
        header = _HEADER.fullmatch(text)
    if header is None or (header["fields"] and not fields):
        raise ValueError("its header is not that of a plain array")
    dtype = _dtype(header["fields"] or header["kind"])
    shape = [int(size) for size in header["shape"].replace(" ", "").split(",") if size]
    if len(shape) > MAX_DIMENSIONS or not dtype.itemsize or dtype.hasobject:
        raise ValueError("its header is not that of a plain array")
    count = math.prod(shape)
    if count * dtype.itemsize != len(data) - start:
        raise ValueError(f"{len(data) - start} bytes follow the header, which claims other")
    array = np.frombuffer(data, dtype, count, start)
    return array.reshape(shape, order="F" if header["fortran"] == "True" else "C")


def _dtype(text: str) -> np.dtype[Any]:
    """The type that a header names, or that of the fields that it lists."""
    try:
        if not text.startswith("("):
            return np.dtype(text)
        listed = [found.groups() for found in re.finditer(_FIELD, text)]
        return np.dtype([(ast.literal_eval(name), kind) for name, kind in listed])
    except (TypeError, ValueError, SyntaxError):
        raise ValueError(f"{show(text)} is no type of numbers or text") from None


def from_npz(file: Path | bytes, max_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file by their names.

    Args:
        file: where it is, or its bytes.
        max_bytes: of all arrays, unpacked.

    Raises:
        TooLargeError: it unpacks to more.
        ValueError: it is no such file, holds a name twice, or a member is not what `from_npy`
            reads.
        OSError: the disk refuses.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(file if isinstance(file, Path) else io.BytesIO(file)) as archive:
            members = archive.infolist()
            _check(members, file.stat().st_size if isinstance(file, Path) else len(file), max_bytes)
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in found:
                    raise ValueError(f"{show(name)} is there twice")
                try:
                    found[name] = from_npy(archive.read(member))
                except ValueError as mistake:
                    raise ValueError(f"{show(name)}: {mistake}") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        RuntimeError,  # encrypted, or packed by a method that is not here
        OverflowError,
        AttributeError,  # zipfile itself stumbles over some directories
    ) as exception:
        raise ValueError(f"not a sound .npz: {exception}") from None
    return found


def _check(members: list[zipfile.ZipInfo], size: int, max_bytes: int) -> None:
    """Refuse by the directory alone what would unpack to too much."""
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"there are {len(members)} arrays; too many")
    # Members that overlap unpack the same bytes again and again.
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its members overlap")
    unpacked = sum(member.file_size for member in members)
    if unpacked > max_bytes:
        raise TooLargeError(f"it unpacks to {unpacked} bytes; too many")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is packed by an uncommon method")
