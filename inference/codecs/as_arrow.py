"""Parquet and Arrow: bytes → columns, and predictions → tables, where pyarrow is installed.

Arrow trusts what a file says of its sizes, so these are looked at before anything is unpacked
(those of Parquet in pages.py), and offsets and indices before anything is read by them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from inference import limits
from inference.codecs import pages
from inference.codecs.request import Table
from shared import tables
from shared.errors import InputError
from shared.predictions import Predictions

if TYPE_CHECKING:
    import pyarrow

_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the names of the rows, which say nothing here."""

_FILE = b"ARROW1\0\0"
_THRIFT = 1 << 20
_DICTIONARY, _BATCH = "dictionary", "record batch"


def installed() -> bool:
    """Whether pyarrow is here; a server can do without."""
    return importlib.util.find_spec("pyarrow") is not None


def read_parquet(body: bytes) -> Table:
    """The columns of a Parquet file.

    Raises:
        InputError: invalid_parquet, wrong_type, text_too_long, too_many_rows, too_many_columns,
            too_large.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        bounds = {"thrift_string_size_limit": _THRIFT, "thrift_container_size_limit": _THRIFT}
        source = pyarrow.BufferReader(body)
        footer = parquet.ParquetFile(source, **bounds).metadata
        limits.check_rows(footer.num_rows)
        limits.check_columns(footer.num_columns)
        if pages.unpacked(body) > limits.UNPACKED_BYTES:
            raise limits.unpacks_too_large()
        schema = footer.schema.to_arrow_schema()
        _check_types(schema)
        # Texts stay in their dictionary: a long one in each row would else be copied to each.
        texts = [field.name for field in schema if tables.is_text(field.type)]
        file = parquet.ParquetFile(source, metadata=footer, read_dictionary=texts, **bounds)
        table = file.read(use_threads=False)
    except InputError:
        raise
    except Exception as error:
        raise _invalid("invalid_parquet", "Parquet", error) from None
    return _read(table, "invalid_parquet", "Parquet")


def read_arrow(body: bytes) -> Table:
    """The columns of an Arrow stream, or of an Arrow file, which is a stream between two marks.

    Raises:
        InputError: invalid_arrow, wrong_type, text_too_long, too_many_rows, too_many_columns,
            too_large.
    """
    import pyarrow
    from pyarrow import ipc

    stream = pyarrow.py_buffer(body)
    if body.startswith(_FILE):
        stream = stream.slice(len(_FILE))
    try:
        _check_sizes(ipc.MessageReader.open_stream(stream))
        with ipc.open_stream(stream, options=ipc.IpcReadOptions(use_threads=False)) as reader:
            limits.check_columns(len(reader.schema))
            _check_types(reader.schema)
            table = reader.read_all()
    except InputError:
        raise
    except Exception as error:
        raise _invalid("invalid_arrow", "Arrow", error) from None
    return _read(table, "invalid_arrow", "Arrow")


def write_parquet(predictions: Predictions, version: str) -> bytes:
    """The columns label, score, ``scores.<class>`` of each, or value; the version is metadata."""
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(_table(predictions, version), sink)
    return bytes(sink.getvalue())


def write_stream(predictions: Predictions, version: str) -> bytes:
    """As `write_parquet`, an Arrow stream."""
    from pyarrow import ipc

    return _written(predictions, version, ipc.new_stream)


def write_file(predictions: Predictions, version: str) -> bytes:
    """As `write_parquet`, an Arrow file."""
    from pyarrow import ipc

    return _written(predictions, version, ipc.new_file)


def _written(predictions: Predictions, version: str, writer: Callable[..., Any]) -> bytes:
    import pyarrow

    table = _table(predictions, version)
    sink = pyarrow.BufferOutputStream()
    with writer(sink, table.schema) as file:
        file.write_table(table)
    return bytes(sink.getvalue())


def _table(predictions: Predictions, version: str) -> pyarrow.Table:
    import pyarrow

    return pyarrow.table(predictions.to_columns(), metadata={"model_version": version})


def _read(table: pyarrow.Table, code: str, what: str) -> Table:
    """The table as a request, once nothing in it leads astray."""
    try:
        table.validate(full=True)
        limits.check_rows(table.num_rows)
        names, columns = [], []
        for name, column in zip(table.column_names, table.columns, strict=True):
            if not _INDEX.fullmatch(name):
                _check_texts(name, column)
                names.append(name)
                columns.append(column)
    except InputError:
        raise
    except Exception as error:
        raise _invalid(code, what, error) from None
    if not columns:
        raise InputError("wrong_shape", "The table has no columns", cure="Send the model's")
    # Lengths were checked where they are cheap to know.
    return Table(names, columns, tables.array_of, short=True)


def _check_types(schema: pyarrow.Schema) -> None:
    """Refuse what is nested, before its depth or length can cost anything."""
    from pyarrow import types

    for field in schema:
        type_ = field.type
        if types.is_dictionary(type_):
            type_ = type_.value_type
        plain = types.is_primitive(type_) or types.is_decimal(type_) or types.is_null(type_)
        if not (plain or tables.is_text(type_)):
            raise InputError(
                "wrong_type",
                f"a column cannot be made of the Arrow type {type_}"[:200],
                column=field.name[:100],
                cure="Send numbers, text, booleans, times or dictionaries of them",
            )


def _check_texts(name: str, column: pyarrow.ChunkedArray) -> None:
    """Refuse texts that are too long; of a dictionary each is looked at once."""
    import pyarrow
    from pyarrow import compute, types

    for chunk in column.chunks:
        texts = chunk.dictionary if types.is_dictionary(chunk.type) else chunk
        if tables.is_text(texts.type):
            texts = texts.cast(pyarrow.large_string())
            longest = compute.max(compute.utf8_length(texts)).as_py()
            if longest is not None and longest > limits.TEXT_LENGTH:
                raise limits.text_too_long(column=name[:100])


def _check_sizes(messages: Any) -> None:
    """Refuse more rows, or larger buffers, than a request may have, by what the messages say.

    The buffers of a message, its length and its compression stand in a flatbuffer (the tables
    Message, RecordBatch and DictionaryBatch of Arrow's format/Message.fbs), which pyarrow has
    checked but does not show.
    """
    rows, unpacked = {_DICTIONARY: 0, _BATCH: 0}, 0
    for message in _all(messages):
        if message.type not in rows:
            continue
        data = memoryview(message.metadata)
        body = memoryview(message.body)
        batch = _child(data, _number(data, 0, "I"), 2)
        if message.type == _DICTIONARY:
            batch = _child(data, batch, 1)
        length = _field(data, batch, 0)
        rows[message.type] += _number(data, length, "q") if length else 0
        limits.check_rows(rows[message.type])
        if not _field(data, batch, 3):
            continue
        vector = _child(data, batch, 2)
        for place in range(_number(data, vector, "I")):
            start, size = struct.unpack_from("<qq", data, vector + 4 + 16 * place)
            if size >= 8:
                # A compressed buffer begins with the size that it unpacks to.
                unpacked += max(0, _number(body, start, "q"))
                if unpacked > limits.UNPACKED_BYTES:
                    raise limits.unpacks_too_large()


def _all(messages: Any) -> Iterator[Any]:
    with contextlib.suppress(StopIteration):
        while True:
            yield messages.read_next_message()


def _number(data: memoryview, place: int, code: str) -> int:
    number: int = struct.unpack_from(f"<{code}", data, place)[0]
    return number


def _field(data: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table stands; 0 if it does not."""
    fields = table - _number(data, table, "i")
    if 4 + 2 * number >= _number(data, fields, "H"):
        return 0
    offset = _number(data, fields + 4 + 2 * number, "H")
    return table + offset if offset else 0


def _child(data: memoryview, table: int, number: int) -> int:
    """Where the table or vector stands that a field refers to."""
    place = _field(data, table, number)
    return place + _number(data, place, "I")


def _invalid(code: str, what: str, error: Exception) -> InputError:
    reason = str(error).strip().partition("\n")[0][:200]
    return InputError(code, f"The body is not {what}: {reason}", cure="Write it with pyarrow")
