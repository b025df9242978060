"""Random columns, data and tables for the property tests; needs numpy and hypothesis only."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from shared import values
from shared.schema import PARTS, Column
from shared.values import Columns, Kind

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, 1e300, -1e300, 0.1, 1e-9, 12345.678]),
    st.integers(-1000, 1000).map(float),
)
TEXTS = st.one_of(
    st.sampled_from(["a", "b", "c", "d", "é", "\ud800", "x\0", " "]), st.text(min_size=1)
)
TIMES = st.one_of(
    st.integers(-(10**14), 4 * 10**15),
    st.sampled_from([0, -1, 951782400000000, 4107542400000000, -62135596800000000]),
)
ZONES = st.sampled_from([None, "UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])


@st.composite
def columns(draw: st.DrawFn, name: str, kind: Kind | None = None) -> Column:
    kind = kind or draw(st.sampled_from(["numeric", "category", "boolean", "datetime"]))
    return Column(
        name,
        kind,
        impute=draw(st.sampled_from(["median", "mean", "zero"])),
        clip=draw(st.sampled_from([None, (0.001, 0.999), (0.1, 0.8)])),
        scale=draw(st.sampled_from(["standard", "robust", "quantile"])),
        log=draw(st.sampled_from(["auto", False])),
        max_levels=draw(st.integers(1, 5)),
        min_count=draw(st.integers(1, 3)),
        parts=tuple(draw(st.lists(st.sampled_from(PARTS), min_size=1, unique=True))),
        timezone=draw(ZONES) if kind == "datetime" else None,
    )


@st.composite
def data(draw: st.DrawFn, kind: Kind, rows: int) -> Any:
    """A canonical array with some values missing, but not all."""
    items: st.SearchStrategy[Any] = {
        "numeric": NUMBERS,
        "category": TEXTS,
        "boolean": st.sampled_from([0.0, 1.0]),
        "datetime": TIMES.map(lambda moment: np.datetime64(moment, "us")),
    }[kind]
    missing: Any = values.missing(kind)
    cells = draw(st.lists(st.one_of(items, items, st.just(missing)), min_size=rows, max_size=rows))
    cells[draw(st.integers(0, rows - 1))] = draw(items)
    array = np.empty(rows, dtype=values.dtype(kind))
    array[:] = cells
    return array


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], Columns]:
    """Features, and canonical arrays for them."""
    rows = draw(st.integers(1, 30))
    features = [draw(columns(f"column {i}")) for i in range(draw(st.integers(1, 5)))]
    return features, {column.name: draw(data(column.kind, rows)) for column in features}


@st.composite
def tables_twice(draw: st.DrawFn) -> tuple[list[Column], Columns, Columns]:
    """Features, arrays for them, and other arrays for them."""
    features, first = draw(tables())
    rows = draw(st.integers(1, 10))
    return features, first, {column.name: draw(data(column.kind, rows)) for column in features}
