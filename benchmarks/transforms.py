"""Encoding a million rows, and one, beside pandas and scikit-learn: `make bench-transforms`.

Both sides do the same job on the same 30 columns, already in memory as each likes them best (numpy
arrays, a DataFrame): impute with an indicator, clip to quantiles, logarithm where skewed,
standardize; code categories with rare, unknown and missing slots; hour and weekday as points on a
circle. The best of three runs counts on each side.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from benchmarks.figures import Figure, report
from shared.schema import Column
from shared.transforms import Transforms
from shared.values import Array

ROWS = 1_000_000
FITTED = 100_000
PLAIN, SKEWED, CATEGORIES, TIMES = 14, 6, 8, 2
CLIP = (0.001, 0.999)


def data() -> dict[str, Array]:
    """30 columns; one cell in twenty of every other column is missing."""
    random = np.random.default_rng(0)
    columns: dict[str, Array] = {}
    for i in range(PLAIN):
        columns[f"plain{i}"] = random.normal(size=ROWS)
    for i in range(SKEWED):
        columns[f"skewed{i}"] = random.lognormal(size=ROWS)
    for i in range(CATEGORIES):
        levels = np.array([f"level {n}" for n in range(10 * 2**i)], dtype=object)
        columns[f"category{i}"] = levels[random.integers(0, len(levels), ROWS)]
    for i in range(TIMES):
        moments = 1_356_998_400_000_000 + random.integers(0, 31_536_000_000_000, ROWS)
        columns[f"time{i}"] = moments.astype("datetime64[us]")
    for array in list(columns.values())[::2]:
        missing = random.random(ROWS) < 0.05
        array[missing] = {"O": None, "M": np.datetime64("NaT")}.get(array.dtype.kind, np.nan)
    return columns


def ours(columns: dict[str, Array]) -> Transforms:
    """The kit's transforms."""
    kinds = {"plain": "numeric", "skewed": "numeric", "category": "category", "time": "datetime"}
    features = [Column(name, kinds[name.rstrip("0123456789")], clip=CLIP) for name in columns]  # type: ignore[arg-type]
    return Transforms.fit({n: array[:FITTED] for n, array in columns.items()}, features)


class Clip(FunctionTransformer):  # type: ignore[misc]
    """Clip to fitted quantiles."""

    def fit(self, x: Any, y: Any = None) -> Clip:
        """Find the quantiles."""
        self.low_, self.high_ = np.nanquantile(x, CLIP, axis=0)
        self.func = lambda values: np.clip(values, self.low_, self.high_)
        return self


def circles(frame: Any) -> Any:
    """Hour and weekday of each time as sine and cosine, 0 where missing, and an indicator."""
    found = []
    for name in frame.columns:
        times = frame[name].dt
        for part, period in ((times.hour, 24), (times.day_of_week, 7)):
            angle = part.to_numpy(dtype=float) * (2 * np.pi / period)
            found += [np.sin(angle), np.cos(angle)]
        found.append(frame[name].isna().to_numpy(dtype=float))
    return np.nan_to_num(np.column_stack(found)).astype(np.float32)


def theirs(frame: Any) -> Any:
    """The same job for scikit-learn."""
    names = {
        kind: [n for n in frame if n.startswith(kind)]
        for kind in ("plain", "skewed", "category", "time")
    }
    impute = SimpleImputer(strategy="median", add_indicator=True)
    logarithm = FunctionTransformer(np.log1p)
    levels = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-2,
        min_frequency=5,
        max_categories=200,
        dtype=np.float32,
    )
    pipeline = ColumnTransformer(
        [
            ("plain", make_pipeline(Clip(), impute, StandardScaler()), names["plain"]),
            ("skewed", make_pipeline(Clip(), logarithm, impute, StandardScaler()), names["skewed"]),
            ("category", levels, names["category"]),
            ("time", FunctionTransformer(circles), names["time"]),
        ]
    )
    return pipeline.fit(frame.iloc[:FITTED])


def seconds(action: Callable[[], object], repeats: int) -> float:
    """The best of three: seconds for one of `repeats` calls."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for _ in range(repeats):
            action()
        best = min(best, (time.perf_counter() - started) / repeats)
    return best


def main() -> int:
    """Measure, print, and say by the exit code whether every must is met."""
    columns = data()
    frame = pd.DataFrame(columns)
    kit, baseline = ours(columns), theirs(frame)
    many = seconds(lambda: kit.encode(columns), 1)
    many_baseline = seconds(lambda: baseline.transform(frame), 1)
    one, one_frame = {name: array[:1] for name, array in columns.items()}, frame.iloc[:1]
    single = seconds(lambda: kit.encode(one), 2000)
    single_baseline = seconds(lambda: baseline.transform(one_frame), 50)
    print(f"{ROWS:,} x {len(columns)}: {many:.2f} s, pandas and scikit-learn {many_baseline:.2f} s")
    print(f"one row: {single * 1e6:.0f} us, pandas and scikit-learn {single_baseline * 1e6:.0f} us")
    return report(
        [
            Figure("a million rows: times faster", many_baseline / many, "x", ">=", 1, 3),
            Figure("one row: times faster", single_baseline / single, "x", ">=", 10, 100),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
