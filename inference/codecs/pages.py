"""What the pages of a Parquet file unpack to, by their own headers.

Parquet's footer may say anything of sizes; the pages are what is unpacked. Footer and headers are
structs of Thrift's compact protocol (FileMetaData and PageHeader in parquet-format's
parquet.thrift); of them only places, sizes and encodings are read here. The rest is pyarrow's
business, whose own view of a column in a damaged footer may end the process.
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_PAGES = 20_000
"""A page usually has a megabyte, or 20,000 values."""

_MAX_DEPTH, _MAX_ITEMS = 16, 100_000
_MARK = b"PAR1"
_ROW_GROUPS, _COLUMNS, _META_DATA = 4, 1, 3
_SIZE, _FIRST_DATA, _FIRST_DICTIONARY = 7, 9, 11
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)
_UNPACKED, _PACKED = 2, 3
_ENCODING = {5: 2, 8: 4}
"""Where data_page_header and data_page_header_v2 have the encoding of the values."""

_FRONT_CODED = 7
"""DELTA_BYTE_ARRAY, in which a few bytes may stand for texts of any length."""


def unpacked(body: bytes) -> int:
    """The bytes that all pages of a file unpack to.

    Raises:
        ValueError: footer or headers make no sense, or texts are front-coded.
    """
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    if body[-4:] != _MARK or footer < 0:
        raise ValueError("it does not end as one")
    total = pages = 0
    for start, end in _columns(_Reader(body, footer)):
        for size in _pages(body, start, end):
            total += size
            pages += 1
            if pages > MAX_PAGES:
                raise ValueError("there are too many pages")
    return total


def _columns(reader: _Reader) -> Iterator[tuple[int, int]]:
    """Where the pages of each column of each row group begin and end."""
    for field, kind in reader.fields():
        if (field, kind) != (_ROW_GROUPS, _LIST):
            reader.skip(kind)
            continue
        for _ in range(reader.items(_STRUCT)):
            for inner, inner_kind in reader.fields():
                if (inner, inner_kind) != (_COLUMNS, _LIST):
                    reader.skip(inner_kind)
                    continue
                for _ in range(reader.items(_STRUCT)):
                    yield from _column(reader)


def _column(reader: _Reader) -> Iterator[tuple[int, int]]:
    for field, kind in reader.fields():
        if (field, kind) != (_META_DATA, _STRUCT):
            reader.skip(kind)
            continue
        numbers: dict[int, int] = {}
        for inner, inner_kind in reader.fields():
            if inner_kind in _INTEGERS:
                numbers[inner] = reader.integer()
            else:
                reader.skip(inner_kind)
        firsts = (numbers.get(_FIRST_DATA, 0), numbers.get(_FIRST_DICTIONARY, 0))
        start = min((first for first in firsts if first > 0), default=0)
        yield start, start + numbers.get(_SIZE, 0)


def _pages(body: bytes, start: int, end: int) -> Iterator[int]:
    """What each page of a column unpacks to."""
    while start < end:
        reader = _Reader(body, start)
        sizes = {_UNPACKED: 0, _PACKED: 0}
        for field, kind in reader.fields():
            if field in sizes and kind in _INTEGERS:
                sizes[field] = max(0, reader.integer())
            elif field in _ENCODING and kind == _STRUCT:
                _check_encoding(reader, _ENCODING[field])
            else:
                reader.skip(kind)
        yield sizes[_UNPACKED]
        start = reader.place + sizes[_PACKED]


def _check_encoding(reader: _Reader, wanted: int) -> None:
    for field, kind in reader.fields():
        if field == wanted and kind in _INTEGERS:
            if reader.integer() == _FRONT_CODED:
                raise ValueError("the encoding DELTA_BYTE_ARRAY is not read here")
        else:
            reader.skip(kind)


class _Reader:
    """Thrift's compact protocol.

    Args:
        data: what is read.
        place: where the next byte is.

    Attributes:
        kind: of the values of the list that was met last.
    """

    def __init__(self, data: bytes, place: int) -> None:
        self.data = data
        self.place = place
        self.kind = _STOP

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; the caller reads or skips its value.

        Writers write them in order; out of it, one might come twice, and readers differ.
        """
        number = 0
        while (head := self._byte()) & 15 != _STOP:
            last = number
            number = last + (head >> 4) if head >> 4 else self.integer()
            if number <= last:
                raise ValueError("its fields are out of order")
            yield number, head & 15

    def items(self, kind: int | None = None) -> int:
        """How many values a list has, which come next; of `kind`."""
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self._varint()
        if size > _MAX_ITEMS or (kind is not None and head & 15 != kind):
            raise ValueError("a list in it makes no sense")
        self.kind = head & 15
        return size

    def integer(self) -> int:
        """A number of any width."""
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Read a value of a type and forget it."""
        if depth > _MAX_DEPTH:
            raise ValueError("a header is nested too deep")
        if kind in _INTEGERS:
            self._varint()
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind == _BINARY:
            size = self._varint()
            self.place += size
        elif kind in (_LIST, _SET):
            size = self.items()
            # In a list a boolean has a byte of its own.
            inner = _BYTE if self.kind in (_TRUE, _FALSE) else self.kind
            for _ in range(size):
                self.skip(inner, depth + 1)
        elif kind in (_BYTE, _DOUBLE):
            self.place += 1 if kind == _BYTE else 8
        elif kind not in (_TRUE, _FALSE):
            raise ValueError("a header makes no sense")

    def _byte(self) -> int:
        if self.place >= len(self.data):
            raise ValueError("a header is cut short")
        self.place += 1
        return self.data[self.place - 1]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 63:
                raise ValueError("a header makes no sense")
