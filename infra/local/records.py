"""Records of a batch transform job: a file cut into requests, and answers put together again.

Nothing here talks to anybody. The developer guide says how requests are filled and how input and
output are joined. Where it is silent: a record of ``SplitType`` Line is what lies between two
line feeds, blank or not, and is sent with its line feed when there are several in a request;
``AssembleWith`` Line adds a line feed after an answer only where the answer has none.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.local import json_paths
from infra.local.json_paths import Path

MEGABYTE = 1 << 20
CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
WHOLE = json_paths.parse("$")
FORMATS = (CSV, JSON, JSON_LINES)
TOO_MUCH = "Too much data for max payload size"


class RecordError(Exception):
    """A file's content cannot be processed; the text is what the job's log says."""


@dataclass(frozen=True)
class Request:
    """One request to the model.

    Attributes:
        records: of the input, without line feeds, as they are in the file.
        body: what is sent.
    """

    records: Sequence[bytes]
    body: bytes


@dataclass(frozen=True)
class Plan:
    """How the files of a job are processed.

    Attributes:
        by_line: SplitType Line; otherwise a file is one record.
        single: BatchStrategy SingleRecord.
        most: bytes of a request, or None for no limit.
        lines_out: AssembleWith Line.
        media: of the input, without parameters and in small letters.
        select: InputFilter.
        keep: OutputFilter.
        join: JoinSource is Input.
    """

    by_line: bool
    single: bool
    most: int | None
    lines_out: bool
    media: str = ""
    select: Path = WHOLE
    keep: Path = WHOLE
    join: bool = False

    @property
    def processes(self) -> bool:
        """Whether records are looked into at all."""
        return self.join or not (self.select.whole and self.keep.whole)

    def requests(self, lines: Iterable[bytes]) -> Iterator[Request]:
        """The requests that a file becomes, from its lines with their line feeds.

        Raises:
            RecordError: a record is larger than a request may be, or InputFilter does not fit it.
        """
        records: list[bytes] = []
        parts: list[bytes] = []
        size = 0
        feed = b"" if self.single or not self.by_line else b"\n"
        for record in self._records(lines):
            part = self._selected(record) + feed
            if self.most is not None and len(part) > self.most:
                raise RecordError(TOO_MUCH)
            full = self.most is not None and size + len(part) > self.most
            if records and (self.single or full):
                yield Request(records, b"".join(parts))
                records, parts, size = [], [], 0
            records.append(record)
            parts.append(part)
            size += len(part)
        if records:
            yield Request(records, b"".join(parts))

    def _records(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        if self.by_line:
            for line in lines:
                yield line.removesuffix(b"\n")
            return
        whole = bytearray()
        for line in lines:
            whole += line
            if self.most is not None and self.select.whole and len(whole) > self.most:
                raise RecordError(TOO_MUCH)
        yield bytes(whole)

    def _selected(self, record: bytes) -> bytes:
        if self.select.whole:
            return record
        return self._written(_apply(self.select, self._read(record)))

    def answer(self, request: Request, content: bytes) -> bytes:
        """What a request's answer adds to the output file.

        Raises:
            RecordError: the answer does not fit the records, or OutputFilter does not fit it.
        """
        if not self.processes:
            return _ended(content) if self.lines_out else content
        answers = [content] if not self.by_line or len(request.records) == 1 else _lines(content)
        if len(answers) != len(request.records):
            raise RecordError(
                "Fail to join data: mismatched line count between the input and the output"
            )
        rows = [
            self._row(record, answer.removesuffix(b"\n"))
            for record, answer in zip(request.records, answers, strict=True)
        ]
        return b"".join(map(_ended, rows) if self.lines_out else rows)

    def _row(self, record: bytes, answer: bytes) -> bytes:
        """What stands in the output for one record and its answer."""
        if self.keep.whole and not self.join:
            return answer
        if self.keep.whole and self.media == CSV:
            return record.removesuffix(b"\r") + b"," + answer
        value = self._read(answer)
        if self.join:
            value = self._merged(self._read(record), value)
        return self._written(_apply(self.keep, value))

    def _merged(self, record: Any, answer: Any) -> Any:
        if self.media == CSV:
            return [*record, *answer]
        if isinstance(record, Mapping):
            return {**record, "SageMakerOutput": answer}
        return {"SageMakerInput": record, "SageMakerOutput": answer}

    def _read(self, record: bytes) -> Any:
        """A record as JSON has it: a row of CSV is an array of texts."""
        try:
            text = record.decode()
            if self.media != CSV:
                return json.loads(text)
            rows = list(csv.reader([text.removesuffix("\r")], strict=True))
            return rows[0] if rows else []
        except (ValueError, csv.Error) as error:
            raise RecordError(f"Failed to parse a record as {self.media}: {error}") from None

    def _written(self, value: Any) -> bytes:
        if self.media != CSV:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value if isinstance(value, list) else [value])
        return line.getvalue().encode()


def media(content_type: str | None) -> str:
    """A content type without its parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


def relative(key: str, prefix: str) -> str:
    """A key as it is below a prefix, or below the folder of a prefix that names no folder."""
    folder = prefix.rstrip("/") + "/" if prefix else ""
    base = folder if key.startswith(folder) else prefix[: prefix.rfind("/") + 1]
    return key[len(base) :]


def manifest(content: bytes) -> list[tuple[str, str]]:
    """The objects of a manifest file, as pairs of the prefix's URI and the rest.

    Raises:
        RecordError: it is not a manifest.
    """
    try:
        entries = json.loads(content)
        prefix = entries[0]["prefix"]
        assert isinstance(prefix, str)
        assert all(isinstance(each, str) for each in entries[1:])
    except (ValueError, LookupError, TypeError, AssertionError):
        raise RecordError(
            'The manifest is not a JSON array of {"prefix": "s3://…"} and relative keys.'
        ) from None
    return [(prefix, each) for each in entries[1:]]


def _apply(path: Path, value: Any) -> Any:
    try:
        return path.select(value)
    except json_paths.AbsentError as error:
        raise RecordError(f"Fail to apply a filter: {error}") from None


def _ended(content: bytes) -> bytes:
    return content if content.endswith(b"\n") else content + b"\n"


def _lines(content: bytes) -> list[bytes]:
    return io.BytesIO(content).readlines()
