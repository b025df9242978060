"""Content types: bytes → the rows of a request, and predictions → bytes. Pure functions.

    decode        a body and its content type → `Request`, which reads itself against a schema
    is_text       whether a content type is one of text
    answer_type   what Accept says → the content type of the answer
    encode        predictions → a body
    encode_each   predictions for several requests → a body for each

Here: the table of all formats, and which of them a header means. Each format has a module of its
own; what headers may say is in `media`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial

from inference.codecs import as_arrays, as_arrow, as_csv, as_json, media
from inference.codecs.request import Request
from shared.errors import InputError
from shared.predictions import Predictions

__all__ = [
    "CSV", "FORMATS", "JSON", "Format", "Request", "answer_type", "decode", "encode",
    "encode_each", "is_text",
]  # fmt: skip

JSON = "application/json"
CSV = "text/csv"
WITH_HEADER = "text/csv; header=present"
"""CSV with a line of names (RFC 4180, section 3); as an answer only to who asks for it."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Read = Callable[[bytes], Request]
Write = Callable[[Predictions, str], bytes]


@dataclass(frozen=True)
class Format:
    """One way to write rows and predictions.

    Args:
        names: the content types that mean it, the usual one first.
        read: bytes (of a text in UTF-8) → rows.
        write: predictions and the model's version → bytes.
        text: it is text, which may come in another charset and with a byte order mark.
        arrow: it needs pyarrow.
    """

    names: tuple[str, ...]
    read: Read
    write: Write
    text: bool = False
    arrow: bool = False


FORMATS = (
    Format((JSON,), as_json.read, as_json.write, text=True),
    Format((CSV,), as_csv.read, as_csv.write, text=True),
    Format(
        (
            "application/jsonlines",
            "application/x-jsonlines",
            "application/jsonl",
            "application/x-ndjson",
        ),
        as_json.read_lines,
        as_json.write_lines,
        text=True,
    ),
    Format(("application/x-npy",), as_arrays.read_npy, as_arrays.write_npy),
    Format(("application/x-npz",), as_arrays.read_npz, as_arrays.write_npz),
    Format(
        ("application/x-parquet", "application/vnd.apache.parquet"),
        as_arrow.read_parquet,
        as_arrow.write_parquet,
        arrow=True,
    ),
    Format(
        ("application/vnd.apache.arrow.stream",),
        as_arrow.read_arrow,
        as_arrow.write_stream,
        arrow=True,
    ),
    Format(
        ("application/vnd.apache.arrow.file",),
        as_arrow.read_arrow,
        as_arrow.write_file,
        arrow=True,
    ),
)
"""What is read and what is answered; among equally wanted answers the first."""

_BY_NAME = {name: one for one in FORMATS for name in one.names}
_HEADERS = {"present": True, "absent": False}


def decode(body: bytes, content_type: str | None) -> Request:
    """What `body` says, read as `content_type` (JSON when there is none).

    Raises:
        InputError: 415 for another content type or charset; 413 when it holds too much; 400 when
            the body is not of its type.
    """
    return _reader(content_type or JSON)(body)


def answer_type(accept: str | None) -> str:
    """The content type to answer with, by the header `accept`.

    The highest quality wins; among equals the more precise range, then the order of `FORMATS`.

    Raises:
        InputError: 406 when nothing acceptable can be produced.
    """
    return JSON if not accept or accept == "*/*" else _negotiated(accept)


def encode(predictions: Predictions, version: str, content_type: str) -> bytes:
    """`predictions` as a body of a content type that `answer_type` gave."""
    if content_type == WITH_HEADER:
        return as_csv.write_with_header(predictions, version)
    return _BY_NAME[content_type].write(predictions, version)


def encode_each(
    predictions: Predictions, parts: Iterable[slice], version: str, content_type: str
) -> list[bytes]:
    """What `encode` makes of each of these parts of the rows."""
    if content_type == JSON:
        return as_json.write_each(predictions, parts, version)
    return [encode(predictions.part(rows), version, content_type) for rows in parts]


def is_text(content_type: str | None) -> bool:
    """Whether a body of this content type is text: as large as it looks, if it is read at all."""
    kind = media.parse(content_type or JSON).kind
    return kind not in _BY_NAME or _BY_NAME[kind].text


@lru_cache(maxsize=64)
def _reader(content_type: str) -> Read:
    asked = media.parse(content_type)
    found = _BY_NAME.get(asked.kind)
    if found is None:
        raise InputError(
            "unsupported_media_type",
            f"The content type {asked.kind!r:.80} is not read here",
            status=415,
            cure=f"Send {_listed()}",
        )
    if found.arrow and not as_arrow.installed():
        raise InputError(
            "unsupported_media_type",
            f"To read {asked.kind} pyarrow is needed, which is not installed here",
            status=415,
            cure=f"Install it in the image, or send {_listed()}",
        )
    read = found.read
    header = _HEADERS.get(asked.parameters.get("header", ""))
    if asked.kind == CSV and header is not None:
        read = partial(as_csv.read, header=header)
    if not found.text:
        return partial(_bytes, read)
    charset = media.charset(asked)
    return partial(_text, read) if charset == "utf-8" else partial(_transcoded, read, charset)


def _transcoded(read: Read, charset: str, body: bytes) -> Request:
    try:
        body = body.decode(charset).encode()
    except UnicodeDecodeError as error:
        raise _not_text(error) from None
    return _text(read, body)


def _text(read: Read, body: bytes) -> Request:
    if body.startswith(_BYTE_ORDER_MARK):
        body = body[len(_BYTE_ORDER_MARK) :]
    if not body or body.isspace():
        raise _empty()
    try:
        return read(body)
    except UnicodeDecodeError as error:
        raise _not_text(error) from None


def _bytes(read: Read, body: bytes) -> Request:
    if not body:
        raise _empty()
    return read(body)


def _empty() -> InputError:
    return InputError("empty_body", "The body is empty", cure="Send at least one row")


def _not_text(error: UnicodeDecodeError) -> InputError:
    where = f"byte {error.start} is 0x{error.object[error.start]:02x}"
    return InputError(
        "wrong_charset",
        f"The body is not text in {error.encoding}: {where}, {error.reason}",
        cure="Send UTF-8, or name the charset in the content type",
    )


@lru_cache(maxsize=64)
def _negotiated(accept: str) -> str:
    ranges = media.accepted(accept)
    wishes = [(media.wish(ranges, name), name, one) for one in FORMATS for name in one.names]
    # Sorting is stable: among equals the order of the table stays.
    for wish, name, one in sorted(wishes, key=lambda entry: entry[0][:2], reverse=True):
        if wish.quality > 0 and not (one.arrow and not as_arrow.installed()):
            present = name == CSV and wish.parameters.get("header") == "present"
            return WITH_HEADER if present else name
    raise InputError(
        "not_acceptable",
        f"{accept!r:.80} cannot be answered",
        status=406,
        cure=f"Accept {_listed()}",
    )


def _listed() -> str:
    """The content types that this server knows."""
    known = [one.names[0] for one in FORMATS if not one.arrow or as_arrow.installed()]
    return " or ".join(known)
