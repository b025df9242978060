"""JSON and JSON Lines: bytes → rows, and predictions → bytes.

Of a key that an object has twice the last counts, as with most parsers. NaN, infinities, lone
surrogates and anything but UTF-8 are not JSON and refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from inference import limits
from inference.codecs.request import Lists, Records, Request, Table, no_rows
from shared import mistakes, values
from shared.errors import MAX_MISTAKES, InputError
from shared.predictions import Predictions

_FORMS = 'Send {"instances": [{…}, …]}, an object, or a list of objects or of lists'
_NEST = 1024
"""So deep orjson goes; the values of a row are plain, so that a request needs four levels."""


def read(body: bytes) -> Request:
    """The rows of a JSON document: one object, a list of rows, or an object that holds rows.

    ``{"instances": […]}`` has them row by row, ``{"inputs": {…}}`` column by column (both as
    TensorFlow Serving has them), ``{"columns": […], "data": […]}`` as pandas splits a table.

    Raises:
        InputError: invalid_json, too_deep, wrong_shape, unknown_key, no_rows, too_many_rows,
            too_many_columns.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid(error) from None
    short = len(body) <= limits.TEXT_LENGTH
    if type(document) is dict:
        if "instances" in document:
            return _rows(_only(document, "instances"), short)
        if "data" in document and "columns" in document:
            return _split(document, short)
        if type(document.get("inputs")) is dict:
            return _inputs(_only(document, "inputs"), short)
        return Records([document], short)
    return _rows(document, short)


def read_lines(body: bytes) -> Request:
    """The rows of JSON Lines: on each line an object, or a list in the order of the schema.

    Raises:
        InputError: invalid_json, with the row, too_deep, too_many_rows.
    """
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    limits.check_rows(len(lines))
    try:
        rows = list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        raise mistakes.first_of(_invalid_lines(lines)) from None
    return _rows(rows, len(body) <= limits.TEXT_LENGTH)


def write(predictions: Predictions, version: str) -> bytes:
    """``{"predictions": […], "model_version": "…"}``."""
    return _document(predictions.to_records(), version)


def write_each(predictions: Predictions, parts: Iterable[slice], version: str) -> list[bytes]:
    """What `write` makes of each of these parts of the rows."""
    records = predictions.to_records()
    return [_document(records[rows], version) for rows in parts]


def write_lines(predictions: Predictions, version: str) -> bytes:
    """One prediction a line, each with the model's version: lines are often parted."""
    lines = [
        orjson.dumps({**record, "model_version": version}, option=orjson.OPT_APPEND_NEWLINE)
        for record in predictions.to_records()
    ]
    return b"".join(lines)


def _document(records: Sequence[Mapping[str, Any]], version: str) -> bytes:
    return orjson.dumps({"predictions": records, "model_version": version})


def _rows(rows: object, short: bool) -> Request:
    if type(rows) is not list:
        raise _shape(f"The body is {_name(rows)}, not rows")
    limits.check_rows(len(rows))
    if rows and type(rows[0]) is list:
        return Lists(rows, None, short)
    return Records(rows, short)


def _split(document: Mapping[str, Any], short: bool) -> Request:
    for key in document:
        # pandas adds the names of the rows, which say nothing here.
        if key not in ("columns", "data", "index"):
            raise _stranger(key, "columns")
    names, rows = document["columns"], document["data"]
    if type(names) is not list or not all(type(name) is str for name in names):
        raise _shape("'columns' is not a list of names")
    if type(rows) is not list:
        raise _shape(f"'data' is {_name(rows)}, not a list of rows")
    limits.check_rows(len(rows))
    limits.check_columns(len(names))
    return Lists(rows, names, short)


def _inputs(inputs: Mapping[str, Any], short: bool) -> Request:
    limits.check_columns(len(inputs))
    cells = list(inputs.values())
    for name, column in inputs.items():
        if type(column) is not list:
            raise InputError(
                "wrong_shape", f"a list of values is needed, not {_name(column)}", column=name[:100]
            )
        if len(column) != len(cells[0]):
            raise InputError(
                "wrong_shape",
                f"the column has {len(column)} values, the first one {len(cells[0])}",
                column=name[:100],
            )
    if not cells:
        raise no_rows()
    limits.check_rows(len(cells[0]))
    return Table(list(inputs), cells, values.from_values, short)


def _only(document: Mapping[str, Any], key: str) -> Any:
    """What stands under `key`, if nothing else does that would mean something."""
    if len(document) == 1:
        return document[key]
    for other, value in document.items():
        if other != key and (other, value) != ("signature_name", "serving_default"):
            raise _stranger(other, key)
    return document[key]


def _stranger(key: str, beside: str) -> InputError:
    return InputError(
        "unknown_key",
        f"Beside {beside!r} stands {key!r:.80}, which means nothing here",
        cure="Leave it out",
    )


def _shape(message: str) -> InputError:
    return InputError("wrong_shape", message, cure=_FORMS)


def _invalid(error: orjson.JSONDecodeError, row: int | None = None) -> InputError:
    if "depth limit" in str(error):
        message = f"The body is nested more than {_NEST} levels deep"
        return InputError("too_deep", message, row=row, cure="A row's values are not nested")
    cure = f"{_FORMS}, in UTF-8" if row is None else "Send one object or list a line, in UTF-8"
    if error.doc[error.pos : error.pos + 10].lstrip("-").startswith(("NaN", "Inf")):
        cure = "JSON has no NaN and no infinity: send null for what is missing"
    what = "The body" if row is None else "The line"
    return InputError("invalid_json", f"{what} is not JSON: {error}", row=row, cure=cure)


def _invalid_lines(lines: list[bytes]) -> list[InputError]:
    found: list[InputError] = []
    for row, line in enumerate(lines):
        try:
            orjson.loads(line)
        except orjson.JSONDecodeError as error:
            found.append(_invalid(error, row))
            if len(found) == MAX_MISTAKES:
                break
    return found


def _name(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
