"""Golden rows: synthetic requests, and what training computed for them, to be replayed anywhere.

The rows are made from the schema and the fitted transforms, edge cases included; no training row is
among them. Here: making them and comparing. When they are replayed is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import documents, predictions
from shared.errors import BundleError
from shared.features import Features
from shared.schema import Column, Schema
from shared.sources import SourceTable, enrich
from shared.transforms import Encoded, TargetTransform, Transforms

ROWS = 32
TOLERANCE = 1e-5
UNKNOWN = "a level that was never seen"


@dataclass(frozen=True)
class Golden:
    """Rows and what they become.

    Args:
        records: n JSON objects, as a request has them.
        numeric: float32 [n, D].
        codes: int32 [n, K].
        outputs: raw network outputs, float32 [n, 1 or C].
        predictions: n answers, as `Predictions.to_records` gives them.
    """

    records: tuple[Mapping[str, Any], ...]
    numeric: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]
    outputs: npt.NDArray[np.float32]
    predictions: tuple[Mapping[str, Any], ...]

    def to_json(self) -> str:
        """All of it as JSON text, floats exact."""
        document = {
            "records": self.records,
            "numeric": self.numeric.tolist(),
            "codes": self.codes.tolist(),
            "outputs": self.outputs.tolist(),
            "predictions": self.predictions,
        }
        return documents.dumps(document)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "golden.json") -> Golden:
        """Read what `to_json` wrote.

        Raises:
            BundleError: the text is something else.
        """
        found = documents.decode(
            _Document, documents.loads(text, where, BundleError), where, BundleError
        )
        try:
            return cls(
                found.records,
                _matrix(found.numeric, np.float32),
                _matrix(found.codes, np.int32),
                _matrix(found.outputs, np.float32),
                found.predictions,
            )
        except (ValueError, OverflowError) as exception:
            raise BundleError(f"no matrix: {exception}", where=where) from None


@dataclass(frozen=True)
class _Document:
    records: tuple[Mapping[str, object], ...]
    numeric: tuple[tuple[float, ...], ...]
    codes: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[float, ...], ...]
    predictions: tuple[Mapping[str, object], ...]


def make(
    schema: Schema,
    transforms: Transforms,
    target_transform: TargetTransform,
    sources: Sequence[SourceTable],
    run: Callable[[Encoded], npt.NDArray[np.float32]],
    *,
    features: Features | None = None,
    seed: int = 0,
) -> Golden:
    """Golden rows and what `run`, the network, makes of them.

    A row of which features.py makes no value, such as an overflow, is left out.
    """
    records = golden_records(schema, transforms, sources, seed)
    columns = enrich(schema.from_records(records), sources)
    if features is not None:
        able = features.able(columns)
        records = list(compress(records, able))
        columns = {name: array[able] for name, array in columns.items()}
        columns |= features(columns)
    encoded = transforms.encode(columns)
    outputs = run(encoded)
    answers = predictions.decode(outputs, schema.target, target_transform).to_records()
    return Golden(tuple(records), encoded.numeric, encoded.codes, outputs, tuple(answers))


def golden_records(
    schema: Schema, transforms: Transforms, sources: Sequence[SourceTable], seed: int = 0
) -> list[dict[str, Any]]:
    """ROWS synthetic rows.

    The first is all ordinary, the second all null (where null is allowed), the third all unknown
    or far out of range; the others mix these. The last few bring the sources' columns themselves.
    """
    random = np.random.default_rng(seed)
    makers = {
        column.name: _maker(column, transforms) for column in schema.columns + schema.source_columns
    }
    records = []
    for row in range(ROWS):
        columns = schema.columns + (schema.source_columns if row >= ROWS - 4 else ())
        moods = random.choice(3, size=len(columns), p=(0.8, 0.1, 0.1)) if row > 2 else repeat(row)
        record = {}
        for column, mood in zip(columns, moods, strict=False):
            edge = "null" if mood == 1 and column.nullable else "edge" if mood == 2 else ""
            record[column.name] = None if edge == "null" else makers[column.name](random, edge)
        if row not in (1, 2):
            _found(record, sources, int(random.integers(1 << 30)), schema)
        records.append(record)
    return records


def agree(
    golden: Golden,
    encoded: Encoded,
    outputs: npt.NDArray[np.float32],
    *,
    numeric_names: Sequence[str],
    categories: Sequence[str],
    where: str,
) -> None:
    """Encodings must be equal, outputs within 1e-5 (relative to outputs above 1).

    Raises:
        BundleError: they are not; the message names the first row and column.
    """
    _equal(golden.numeric, encoded.numeric, numeric_names, where)
    _equal(golden.codes, encoded.codes, categories, where)
    if outputs.shape != golden.outputs.shape:
        raise BundleError(
            f"outputs have the shape {outputs.shape}, not {golden.outputs.shape}", where=where
        )
    expected = golden.outputs.astype(np.float64)
    distance = np.abs(outputs - expected) / np.maximum(1.0, np.abs(expected))
    wrong = np.argwhere(~(distance <= TOLERANCE))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise BundleError(
            f"the network gives {outputs[row, column]}, not {golden.outputs[row, column]}",
            where=f"{where}, row {row}, output {column}",
        )


def _equal(expected: Any, actual: Any, names: Sequence[str], where: str) -> None:
    if expected.shape != actual.shape:
        raise BundleError(
            f"encodings have the shape {actual.shape}, not {expected.shape}", where=where
        )
    wrong = np.argwhere(expected.view(np.int32) != actual.view(np.int32))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise BundleError(
            f"encoded as {actual[row, column]}, not {expected[row, column]}",
            where=f"{where}, row {row}, column {names[column]!r}",
        )


def _matrix(rows: tuple[tuple[Any, ...], ...], dtype: Any) -> Any:
    wide = np.array(rows, dtype=np.int64 if dtype is np.int32 else np.float64)
    with np.errstate(over="ignore"):
        matrix = wide.astype(dtype)
    if not np.array_equal(matrix, wide):
        raise ValueError(f"a number does not fit {np.dtype(dtype)}")
    return matrix.reshape(len(rows), len(rows[0]) if rows else 0)


Maker = Callable[[np.random.Generator, str], Any]


def _maker(column: Column, transforms: Transforms) -> Maker:
    """A function of (random, edge) that gives one JSON value of the column, never null."""
    if column.kind == "boolean":
        return lambda random, _: bool(random.integers(2))
    if column.kind == "numeric":
        fitted = {scaling.name: scaling for scaling in transforms.scalings}.get(column.name)
        bounds = (fitted.low, fitted.high) if fitted else (0.0, 1.0)
        return partial(_number, bounds)
    if column.kind == "datetime":
        clocks = {clock.name: clock for clock in transforms.clocks}
        span = (
            (clocks[column.name].first, clocks[column.name].last) if column.name in clocks else None
        )
        return partial(_time, span or (0, 10**15))
    known = {fitted.name: fitted for fitted in transforms.vocabularies}.get(column.name)
    levels = (*known.levels[:50], *known.rare[:5]) if known else ()
    return partial(_level, levels)


def _number(bounds: tuple[float, float], random: np.random.Generator, edge: str) -> float:
    low, high = bounds
    if edge:
        extremes = (low, high, 0.0, -0.0, -1.0, 1e-300, 1e300, -1e300, 123456789012345678)
        return float(extremes[int(random.integers(len(extremes)))])
    low, high = max(low, -1e6), min(high, 1e6)
    return float(random.uniform(low, high)) if low < high else low


def _time(span: tuple[int, int], random: np.random.Generator, edge: str) -> str:
    if edge:
        extremes = ("1969-12-31T23:59:59", "2000-02-29", "2100-03-01T00:00:00+14:00", "0001-01-01")
        return extremes[int(random.integers(len(extremes)))]
    moment = np.datetime64(int(random.integers(span[0], span[1] + 1)), "us")
    return str(moment.astype("datetime64[s]"))


def _level(levels: Sequence[str], random: np.random.Generator, edge: str) -> str:
    if edge or not levels:
        return UNKNOWN
    return levels[int(random.integers(len(levels)))]


def _found(
    record: dict[str, Any], sources: Sequence[SourceTable], pick: int, schema: Schema
) -> None:
    """Give the row keys, and a time, that the sources know; a key of two sources suits the last."""
    kinds = {column.name: column.kind for column in schema.columns}
    for table in sources:
        for key, moment in table.sample([pick]):
            for ours, text in zip(table.source.keys, key, strict=True):
                if record[ours] not in (None, UNKNOWN) or kinds[ours] == "category":
                    record[ours] = _key(text, kinds[ours])
            if moment is not None and table.source.as_of and record[table.source.as_of[0]]:
                time = np.datetime64(moment, "us").astype("datetime64[s]")
                record[table.source.as_of[0]] = str(time)


def _key(text: str, kind: str) -> Any:
    if kind == "category":
        return text
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if np.isfinite(number) else 0.0
