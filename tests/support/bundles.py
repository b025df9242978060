"""Small real bundles: fitted transforms, a source table, and a random network made with onnx.

No TensorFlow: the network is random numbers, in the graph that training writes.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa

from shared import bundle as bundles
from shared import golden
from shared.features import Features, complete
from shared.hyperparameters import embedding_width
from shared.schema import Column, Schema, Target, Task
from shared.sources import Source, SourceTable
from shared.transforms import Encoded, TargetTransform, Transforms
from training import graph

COLUMNS = (
    Column("distance", "numeric"),
    Column("seats", "numeric", scale="quantile"),
    Column("price", "numeric", log=True),
    Column("night", "boolean"),
    Column("carrier", "category"),
    Column("origin", "category", nullable=False),
    Column("departure", "datetime", timezone="America/New_York"),
)
WEATHER = Source(
    "weather",
    keys={"origin": "origin"},
    columns=(Column("temp", "numeric"), Column("sky", "category", min_count=1)),
    as_of=("departure", "hour"),
    tolerance=7200,
)
TARGETS: dict[Task, Target] = {
    "binary": Target("late", "binary", (False, True)),
    "multiclass": Target("fare", "multiclass", ("economy", "first", "second")),
    "regression": Target("delay", "regression"),
}
ROW: dict[str, Any] = {
    "distance": 1400.5,
    "seats": 180,
    "price": None,
    "night": True,
    "carrier": "UA",
    "origin": "JFK",
    "departure": "2013-07-01T15:30:00",
}
"""One good row of a request."""


MADE = (Column("area", "numeric"), Column("wet", "boolean"))
FEATURES = """\
import numpy as np


def features(columns):
    first = [np.nan if c is None else float(c.encode("ascii")[0]) for c in columns["carrier"]]
    wet = [sky == "rain" for sky in columns["weather.sky"]]
    return {"area": columns["distance"] ** 2 + np.array(first), "wet": np.array(wet)}
"""
"""Makes MADE. It fails for a carrier that is not ASCII, and overflows for a great distance."""


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Good rows of a request, one value in ten missing where it may be."""
    random = np.random.default_rng(seed)
    hours = random.integers(0, 24 * 365, count)
    made: list[dict[str, Any]] = [
        {
            "distance": float(random.normal(1000, 400)),
            "seats": int(random.integers(2, 400)),
            "price": float(random.lognormal(4, 1)),
            "night": bool(random.integers(2)),
            "carrier": str(random.choice(["UA", "AA", "B6", "DL"])),
            "origin": str(random.choice(["JFK", "LGA", "EWR"])),
            "departure": str(np.datetime64("2013-01-01T00:00:00") + np.timedelta64(hour, "h")),
        }
        for hour in hours.tolist()
    ]
    for row in made:
        for column in COLUMNS:
            if column.nullable and random.random() < 0.1:
                row[column.name] = None
    return made


def build(
    directory: Path,
    task: Task = "binary",
    *,
    columns: Sequence[Column] = COLUMNS,
    training_rows: Sequence[dict[str, Any]] | None = None,
    source: bool = True,
    widths: Sequence[int] = (64,),
    members: int = 1,
    features: str | None = None,
) -> Path:
    """Write a bundle that serves `task`; the same arguments give the same bytes.

    Args:
        directory: where it goes.
        task: what is answered.
        columns: what a request brings.
        training_rows: what the transforms are fitted on; `rows` unless given.
        source: whether the weather is looked up.
        widths: neurons of each hidden layer.
        members: of an ensemble, which share them out.
        features: a features.py that makes MADE.
    """
    target = TARGETS[task]
    tables = [weather()] if source else []
    found = tuple(column for table in tables for column in table.source.named_columns)
    schema = Schema(tuple(columns), found, target, MADE if features else ())
    code = Features(features.encode(), schema) if features else None
    training = complete(schema.from_records(training_rows or rows(500)), tables, code)
    transforms = Transforms.fit(training, schema.features)
    delays = np.random.default_rng(1).normal(10, 5, 100)
    target_transform = TargetTransform.fit(delays, target)
    directory.mkdir(parents=True, exist_ok=True)
    model = directory.parent / f"{directory.name}.onnx"
    outputs = len(target.classes) if task == "multiclass" else 1
    network(model, transforms, [*widths, outputs], task, members)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    inputs = {given.name for given in session.get_inputs()}

    def run(encoded: Encoded) -> npt.NDArray[np.float32]:
        feed = {"numeric": encoded.numeric, "codes": encoded.codes}
        return np.asarray(session.run(["output"], {name: feed[name] for name in inputs})[0])

    written = bundles.write(
        directory,
        project="flights",
        schema=schema,
        transforms=transforms,
        target_transform=target_transform,
        sources=tables,
        golden=golden.make(schema, transforms, target_transform, tables, run, features=code),
        model_files={bundles.MODEL: model},
        hyperparameters={},
        metrics={},
        libraries={},
        features=code,
    )
    model.unlink()
    return written.path


def copy(bundle: Path, to: Path) -> Path:
    """A bundle to spoil."""
    return Path(shutil.copytree(bundle, to))


def weather() -> SourceTable:
    """Hourly weather of three airports in 2013."""
    hours = np.arange("2013-01-01", "2014-01-01", dtype="datetime64[h]").astype("datetime64[us]")
    random = np.random.default_rng(2)
    origins = ["JFK", "LGA", "EWR"]
    table = pa.table(
        {
            "origin": np.repeat(origins, len(hours)).tolist(),
            "hour": pa.array(np.tile(hours, len(origins))),
            "temp": random.normal(15, 8, len(hours) * len(origins)),
            "sky": random.choice(["clear", "rain"], len(hours) * len(origins)).tolist(),
        }
    )
    return SourceTable.build(WEATHER, table)


def network(
    path: Path, transforms: Transforms, widths: Sequence[int], task: Task, members: int = 1
) -> None:
    """A random network for what `transforms` encode, as an ONNX file.

    Categories are embedded; then come dense layers of the given `widths`, the outputs last.
    """
    random = np.random.default_rng(3)

    def drawn(*shape: int) -> npt.NDArray[np.float64]:
        return random.normal(size=shape) / np.sqrt(shape[-2] if len(shape) > 1 else shape[0])

    def layer(parts: int, reads: int, neurons: int, activation: str) -> graph.Layer:
        return graph.Layer(drawn(parts, reads, neurons), drawn(parts * neurons), activation)

    tables = tuple(drawn(levels, embedding_width(levels)) for _, levels in transforms.categories)
    width = len(transforms.numeric_names) + sum(table.shape[1] for table in tables)
    first, *others, outputs = widths
    final = {"binary": "sigmoid", "multiclass": "softmax", "regression": "linear"}[task]
    layers = [layer(1, width, first, "relu")]
    for before, following in itertools.pairwise([first, *others]):
        layers.append(layer(members, before // members, following // members, "relu"))
    layers.append(layer(1, widths[-2], outputs, final))
    made = graph.Network(len(transforms.numeric_names), (), tables, tuple(layers))
    path.write_bytes(graph.write(made))
