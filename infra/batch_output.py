"""What became of the rows of a batch, as a file: CSV or JSON Lines, and a list of the bad ones.

Not here: whose answers they are (batch.py), nor where the files go (commands/batch.py).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from infra.batch import Result
from shared.errors import DataError, InputError
from shared.files import atomic
from shared.schema import Target

PREDICTION, ERROR = "prediction", "error"
SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """What came of the rows: how many, how many of them bad, the first of these, and why."""

    rows: int
    failed: int
    first: tuple[str, ...]
    codes: tuple[tuple[str, int], ...]


def write(
    results: Iterable[Result],
    output: Path,
    errors: Path,
    keep: Sequence[str] | None,
    target: Target,
) -> Outcome:
    """Write every row, and the bad ones once more by themselves.

    Args:
        results: in order.
        output: CSV or JSON Lines, by its name's end.
        errors: JSON Lines.
        keep: the columns to carry along; None: all, whichever a row has.
        target: of the model.

    Raises:
        DataError: CSV is asked for, and nobody knows its columns; or one has the name of what is
            added.
    """
    if output.suffix == ".csv" and keep is None:
        raise DataError(
            "CSV needs columns, and JSON Lines may have others in every row",
            where="OUTPUT",
            cure="Name those to carry along, as KEEP=id,carrier, or write .jsonl.",
        )
    codes: Counter[str] = Counter()
    first: list[str] = []
    rows = 0
    with atomic(output) as out, atomic(errors) as bad:
        writer: Csv | JsonLines = (
            Csv(out, keep or (), target) if output.suffix == ".csv" else JsonLines(out, keep)
        )
        for result in results:
            writer.write(result)
            rows += 1
            if result.error:
                codes[result.error.code] += 1
                if len(first) < SHOWN:
                    first.append(_line(result, result.error))
                entry = {"file": result.file, "row": result.row, **told(result.error)}
                bad.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        writer.close()
    return Outcome(rows, sum(codes.values()), tuple(first), tuple(codes.most_common()))


class JsonLines:
    """A row a line: the columns that are carried, and ``prediction`` or ``error``."""

    def __init__(self, file: BinaryIO, keep: Sequence[str] | None) -> None:
        self._file = file
        self._keep = keep

    def write(self, result: Result) -> None:
        """One more row."""
        kept = {
            name: _finite(value)
            for name, value in result.given.items()
            if self._keep is None or name in self._keep
        }
        for name in (PREDICTION, ERROR):
            if name in kept:
                raise _taken(name, result.file)
        outcome: dict[str, Any] = (
            {ERROR: told(result.error)} if result.error else {PREDICTION: result.prediction}
        )
        text = json.dumps({**kept, **outcome}, ensure_ascii=False, default=str)
        self._file.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        """Nothing is held back."""


class Csv:
    """A row a line under a header: the columns that are carried, the prediction's parts, error."""

    def __init__(self, file: BinaryIO, keep: Sequence[str], target: Target) -> None:
        self._text = io.TextIOWrapper(
            file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True
        )
        self._csv = csv.writer(self._text, lineterminator="\n")
        self._keep = keep
        self._parts = [["value"]]
        if target.task != "regression":
            scores = [["scores", name] for name in target.class_names]
            self._parts = [["label"], ["score"], *scores]
        added = [".".join([PREDICTION, *part]) for part in self._parts]
        for name in (*added, ERROR):
            if name in keep:
                raise _taken(name, "the rows")
        self._csv.writerow([*keep, *added, ERROR])

    def write(self, result: Result) -> None:
        """One more row."""
        cells = [_cell(result.given.get(name)) for name in self._keep]
        if result.error:
            answer = [""] * len(self._parts)
        else:
            answer = [_cell(_at(result.prediction, part)) for part in self._parts]
        error = f"{result.error.code}: {_words(result.error)}" if result.error else ""
        self._csv.writerow([*cells, *answer, error])

    def close(self) -> None:
        """Leave the file to who opened it."""
        self._text.flush()
        self._text.detach()


def told(error: InputError) -> dict[str, Any]:
    """A mistake as the server tells it."""
    return {"code": error.code, "message": _words(error), "column": error.column}


def _line(result: Result, error: InputError) -> str:
    column = f", column {error.column!r}" if error.column else ""
    return f"{result.file}, row {result.row}{column}: {error.message}"


def _words(error: InputError) -> str:
    where = f"column {error.column!r}: " if error.column else ""
    return f"{where}{error.message}" + (f". {error.cure}" if error.cure else "")


def _taken(name: str, where: str) -> DataError:
    return DataError(
        f"a column is called {name!r}, as what is added to each row",
        where=where,
        cure="Name the columns to carry along without it: KEEP=id,carrier",
    )


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
