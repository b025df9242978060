"""Requests of every content type, good and bad, that all containers must answer alike."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from tests.support import bundles
from tests.support.serving import Reply, Server

INFERENCE_ID = "of-the-caller"
ROWS = bundles.rows(20)


@dataclass(frozen=True)
class Asked:
    """One request."""

    name: str
    body: bytes
    content_type: str = "application/json"
    accept: str | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def headers(self) -> dict[str, str]:
        accept = {"Accept": self.accept} if self.accept else {}
        named = {"X-Amzn-SageMaker-Inference-Id": INFERENCE_ID}
        return {"Content-Type": self.content_type, **named, **accept}

    def of(self, server: Server) -> Reply:
        return server.request("POST", "/invocations", self.body, self.headers)


def table(rows: list[dict[str, Any]], *, header: bool) -> bytes:
    """`rows` as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def json_of(value: object) -> bytes:
    return json.dumps(value).encode()


GOOD = [
    Asked("JSON, instances", json_of({"instances": ROWS})),
    Asked("JSON, a list", json_of(ROWS), "application/json; charset=utf-8"),
    Asked("JSON, one object", json_of(bundles.ROW)),
    Asked("JSON, with a byte order mark", b"\xef\xbb\xbf" + json_of(bundles.ROW)),
    Asked("JSON, answered in CSV", json_of(ROWS), accept="text/csv"),
    Asked("JSON, the answer chosen by quality", json_of(ROWS), accept="text/csv;q=0.5, */*;q=0.1"),
    Asked("CSV", table(ROWS, header=False), "text/csv"),
    Asked("CSV with a header", table(ROWS, header=True), "text/csv; charset=utf-8"),
    Asked("CSV, answered in CSV", table(ROWS, header=True), "text/csv", "text/csv"),
]

BAD = [
    Asked("no JSON", b"{'distance': 1}"),
    Asked("no UTF-8", b'{"distance": "\xff"}'),
    Asked("no UTF-8 in CSV", b"\xff\xfe,1", "text/csv"),
    Asked("nothing", b""),
    Asked("no rows", json_of({"instances": []})),
    Asked("an unknown column", json_of({**bundles.ROW, "distanse": 1})),
    Asked("a wrong type", json_of([bundles.ROW, {**bundles.ROW, "distance": "weit «ß»"}])),
    Asked("an unclosed quote", b'"a', "text/csv"),
    Asked("an unknown content type", b"x", "image/png"),
    Asked("a form", b"a=b", "application/x-www-form-urlencoded"),
    Asked("nothing that is acceptable", json_of(bundles.ROW), accept="image/png"),
    Asked("too much", b" " * 6_400_000),
]
