"""A small but complete bundle for tests; its network is a function. Needs numpy only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared import bundle, golden
from shared.bundle import Bundle
from shared.schema import Column, Schema, Target
from shared.sources import Source, SourceTable, enrich
from shared.transforms import Encoded, TargetTransform, Transforms
from shared.values import from_texts

SOURCE = Source(
    name="weather",
    keys={"origin": "place"},
    columns=(Column("temp", "numeric"), Column("sky", "category", min_count=1)),
    as_of=("departure", "hour"),
)
SCHEMA = Schema(
    columns=(
        Column("distance", "numeric"),
        Column("origin", "category", min_count=1, nullable=False),
        Column("departure", "datetime"),
        Column("note", "category", feature=False),
    ),
    source_columns=SOURCE.named_columns,
    target=Target("late", "binary", (False, True)),
)

EMPTY_NETWORK = b"\x08\x0a\x3a\x03\x12\x01g"
"""An ONNX file (ir_version 10) whose graph has a name and nothing else."""


def network(encoded: Encoded) -> npt.NDArray[np.float32]:
    """Something that depends on every input."""
    weights = np.linspace(-1, 1, encoded.numeric.shape[1], dtype=np.float32)
    total = encoded.numeric @ weights + encoded.codes.sum(axis=1, dtype=np.float32)
    result: npt.NDArray[np.float32] = (1 / (1 + np.exp(-total / 10))).astype(np.float32)
    return result.reshape(-1, 1)


def fitted() -> tuple[Transforms, SourceTable]:
    table = SourceTable.from_columns(
        SOURCE,
        {"place": from_texts("category", ["JFK", "JFK", "EWR"])},
        {"hour": from_texts("datetime", ["2013-01-01", "2013-01-02", "2013-01-01"])},
        {"temp": np.array([1.5, 2.5, np.nan]), "sky": from_texts("category", ["blue", "", "grey"])},
    )
    rows = [
        {"distance": 100.0 * day, "origin": place, "departure": f"2013-01-{day:02}", "note": None}
        for day in range(1, 20)
        for place in ("JFK", "EWR", "LGA")
    ]
    columns = enrich(SCHEMA.from_records(rows), [table])
    return Transforms.fit(columns, SCHEMA.features), table


def write(directory: Path, parent: str | None = None) -> Bundle:
    """Write the bundle into `directory`/bundle."""
    transforms, table = fitted()
    target_transform = TargetTransform("binary")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.onnx").write_bytes(EMPTY_NETWORK)
    for name in ("model.keras", "inference.py"):
        (directory / name).write_bytes(f"stands for {name}".encode())
    return bundle.write(
        directory / "bundle",
        project="flights",
        schema=SCHEMA,
        transforms=transforms,
        target_transform=target_transform,
        sources=[table],
        golden=golden.make(SCHEMA, transforms, target_transform, [table], network),
        model_files={
            "model.onnx": directory / "model.onnx",
            "model.keras": directory / "model.keras",
            "code/inference.py": directory / "inference.py",
        },
        hyperparameters={"dropout": 0.2, "layers": "auto"},
        metrics={"validation": {"auc": 0.7}, "test": {"auc": 0.66}},
        libraries={"numpy": np.__version__},
        training_job="flights-0123456789ab",
        parent=parent,
    )
