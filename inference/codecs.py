"""Content types: bytes → a raw request, and predictions → bytes. Pure functions.

A raw request is what the bytes say and no more: records of a JSON body, or the text cells of a CSV
body. Whether the columns and values are the model's is for `shared.schema` to judge.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson

from shared.errors import InputError
from shared.predictions import Predictions

JSON = "application/json"
CSV = "text/csv"
ANSWERS = (JSON, CSV)
"""What can be answered, the preferred first."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}


@dataclass(frozen=True, slots=True)
class Records:
    """Rows of a JSON body, each an object of values by column name."""

    rows: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows of a CSV body, as text; the first may be a header."""

    rows: Sequence[Sequence[str]]

    def split(self, known: Collection[str]) -> tuple[Sequence[str] | None, Sequence[Sequence[str]]]:
        """The header, or None, and the rows below it.

        The first row is a header when at least half of its cells are names of `known` columns: one
        misspelt name then is an unknown column, and not a row of values.
        """
        first = self.rows[0]
        if 2 * sum(cell in known for cell in first) >= len(first):
            return first, self.rows[1:]
        return None, self.rows


Request = Records | Cells


def decode(body: bytes, content_type: str | None) -> Request:
    """What `body` says, read as `content_type` (JSON when there is none).

    Raises:
        InputError: 415 for another content type or charset; 400 when the body is not of its type.
    """
    parse = _parser(content_type or JSON)
    if body.startswith(_BYTE_ORDER_MARK):
        body = body[len(_BYTE_ORDER_MARK) :]
    if not body or body.isspace():
        raise InputError("empty_body", "The body is empty", cure="Send at least one row")
    return parse(body)


def answer_type(accept: str | None) -> str:
    """The content type to answer with, by the header `accept` (RFC 9110, section 12.5.1).

    The highest quality wins; among equals the more specific range, then JSON before CSV.

    Raises:
        InputError: 406 when nothing acceptable can be produced.
    """
    return JSON if not accept or accept == "*/*" else _negotiate(accept)


def encode(predictions: Predictions, version: str, content_type: str) -> bytes:
    """`predictions` as a body of `content_type`, one of `ANSWERS`.

    JSON carries every score and the model's version. CSV has one line per row and no header:
    label and score, or the value.
    """
    records = predictions.to_records()
    if content_type == CSV:
        text = io.StringIO()
        columns = [name for name in records[0] if name != "scores"]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([_text(record[name]) for name in columns] for record in records)
        return text.getvalue().encode()
    return orjson.dumps({"predictions": records, "model_version": version})


def _text(value: object) -> object:
    """A label as JSON would write it: true and not True."""
    return str(value).lower() if isinstance(value, bool) else value


@lru_cache(maxsize=64)
def _parser(content_type: str) -> Callable[[bytes], Request]:
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip(" \t\"'").lower() not in _CHARSETS:
            raise InputError(
                "unsupported_charset",
                f"The charset {value.strip()!r:.80} is not read here",
                status=415,
                cure="Send UTF-8",
            )
    parsers: dict[str, Callable[[bytes], Request]] = {JSON: _parse_json, CSV: _parse_csv}
    if kind not in parsers:
        raise InputError(
            "unsupported_media_type",
            f"The content type {kind!r:.80} is not read here",
            status=415,
            cure=f"Send {' or '.join(parsers)}",
        )
    return parsers[kind]


def _parse_json(body: bytes) -> Records:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(
            "invalid_json",
            f"The body is not JSON: {error}",
            cure='Send {"instances": [{…}, …]}, an object or a list of objects, in UTF-8',
        ) from None
    if isinstance(document, dict):
        if "instances" not in document:
            return Records([document])
        if len(document) > 1:
            other = next(name for name in document if name != "instances")
            raise InputError(
                "unknown_key",
                f"Beside 'instances' stands {other!r:.80}, which means nothing here",
                cure="Leave it out",
            )
        document = document["instances"]
    if not isinstance(document, list):
        raise InputError(
            "wrong_shape",
            f"The body is {_json_name(document)}, not rows",
            cure='Send {"instances": [{…}, …]}, an object or a list of objects',
        )
    return Records(document)


def _parse_csv(body: bytes) -> Cells:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            "not_utf8",
            f"The body is not UTF-8 text: byte {error.start} is 0x{body[error.start]:02x}",
            cure="Send UTF-8",
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        # An empty line is no row: files often end with one.
        return Cells([row for row in reader if row])
    except csv.Error as error:
        raise InputError(
            "invalid_csv",
            f"The body is not CSV: {error}, line {reader.line_num}",
            cure="Quote cells that hold commas, quotes or line ends, and double the quotes in them",
        ) from None


def _json_name(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


@lru_cache(maxsize=64)
def _negotiate(accept: str) -> str:
    ranges: dict[str, float] = {}
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        ranges[kind] = quality if 0 <= quality <= 1 else 0.0

    def wish(kind: str) -> tuple[float, int]:
        candidates = (kind, f"{kind.partition('/')[0]}/*", "*/*")
        for generality, candidate in enumerate(candidates):
            if candidate in ranges:
                return ranges[candidate], -generality
        return 0.0, 0

    best = max(ANSWERS, key=wish)
    if wish(best)[0] > 0:
        return best
    raise InputError(
        "not_acceptable",
        f"{accept!r:.80} cannot be answered",
        status=406,
        cure=f"Accept {' or '.join(ANSWERS)}",
    )
