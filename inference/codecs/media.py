"""Content types as headers have them: kind, parameters, charset, and what a client accepts most.

Not here: which content types there are (the table in the package itself).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shared.errors import InputError

CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "latin-1": "latin-1",
    "iso-8859-15": "iso8859-15",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
}
"""What a charset parameter may say → Python's name of it."""

_PARAMETER = re.compile(r';\s*([^\s;=]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_RANGE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_QUALITY = re.compile(r"[01](?:\.[0-9]*)?|\.[0-9]+")


class Media(NamedTuple):
    """A media type or range.

    Args:
        kind: such as text/csv, in lower case.
        parameters: by name; names and values in lower case, quotes taken off.
    """

    kind: str
    parameters: Mapping[str, str]


class Wish(NamedTuple):
    """How much a client wants a content type.

    Args:
        quality: 0 (not at all) to 1.
        precision: of the range that says so: 2 the very type, 1 type/*, 0 */*.
        parameters: of that range.
    """

    quality: float
    precision: int
    parameters: Mapping[str, str]


def parse(header: str) -> Media:
    """A content type as it stands in a header; whatever it is, no error."""
    kind, mark, rest = header.partition(";")
    parameters = {
        name.lower(): value.strip(" \t\"'").lower()
        for name, value in _PARAMETER.findall(mark + rest)
    }
    return Media(kind.strip().lower(), parameters)


def charset(media: Media) -> str:
    """The charset of a body, as Python calls it; UTF-8 unless said otherwise.

    Raises:
        InputError: unsupported_charset.
    """
    name = media.parameters.get("charset", "utf-8")
    if name not in CHARSETS:
        raise InputError(
            "unsupported_charset",
            f"The charset {name!r:.80} is not read here",
            status=415,
            cure=f"Send UTF-8; read are {', '.join(CHARSETS)}",
        )
    return CHARSETS[name]


def accepted(accept: str) -> Sequence[tuple[Media, float]]:
    """The ranges of an Accept header, and the quality of each (RFC 9110, section 12.5.1).

    A range whose quality is no number from 0 to 1 counts as not accepted. Java's own client says
    ``*; q=.2`` for ``*/*;q=0.2``, which is understood.
    """
    ranges = []
    for entry in _RANGE.findall(accept):
        media = parse(entry)
        if media.kind == "*":
            media = media._replace(kind="*/*")
        quality = media.parameters.get("q", "1")
        number = float(quality) if _QUALITY.fullmatch(quality) else 0.0
        ranges.append((media, number if number <= 1 else 0.0))
    return ranges


def wish(ranges: Sequence[tuple[Media, float]], kind: str) -> Wish:
    """How much `kind` is wanted: what the most precise range that covers it says."""
    best = Wish(0.0, -1, {})
    names = ("*/*", f"{kind.partition('/')[0]}/*", kind)
    for media, quality in ranges:
        if media.kind in names:
            found = Wish(quality, names.index(media.kind), media.parameters)
            if (found.precision, found.quality) > (best.precision, best.quality):
                best = found
    return best
