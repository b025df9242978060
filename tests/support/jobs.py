"""Small real training jobs: a synthetic table, a source, a project, in an /opt/ml-like tree."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shared.feature_rules import Declaration, digest
from shared.hyperparameters import Choice, Range
from shared.problem import Problem, Split, Tuning
from shared.schema import Column, Target, Task
from shared.sources import Source

ROOT = Path(__file__).parents[2]
FRUITS = ("apple", "banana", "cherry")
COLUMNS = (
    Column("weight", "numeric"),
    Column("age", "numeric"),
    Column("fruit", "category"),
    Column("shop", "category", feature=False),
)
SHOPS = Source("shop", keys={"shop": "id"}, columns=(Column("size", "numeric"),))
TARGETS: Mapping[Task, Target] = {
    "binary": Target("sold", "binary"),
    "multiclass": Target("grade", "multiclass"),
    "regression": Target("price", "regression"),
}
SEARCH = Tuning(
    strategy="bayesian",
    trials=2,
    space={
        "learning_rate": Range(0.001, 0.01, scale="log"),
        "dropout": Choice((0.0, 0.2)),
    },
)
FEATURES = b"""\
import numpy as np


def features(columns):
    whole = columns["age"] * columns["shop.size"]
    fruits = columns["fruit"].tolist()
    first = np.array([None if one is None else one[0] for one in fruits], dtype=object)
    weight = np.where(columns["weight"] > 0, columns["weight"], np.nan)
    return {"worn": whole / weight, "abc": first}
"""
MADE = Declaration((Column("worn", "numeric"), Column("abc", "category")), digest(FEATURES))
QUICK = {"units": 16, "layers": 1, "batch_size": 32, "epochs": 3, "learning_rate": 0.01}


def table(rows: int = 600, seed: int = 0) -> pa.Table:
    """Rows whose three targets follow from their inputs, with some noise."""
    random = np.random.default_rng(seed)
    weight, age = random.normal(100, 20, rows), random.integers(0, 30, rows)
    fruit, shop = random.integers(0, 3, rows), random.integers(0, 5, rows)
    worth = weight / 20 - age / 10 + fruit + shop + random.normal(0, 0.3, rows)
    ranks = np.digitize(worth, np.quantile(worth, [1 / 3, 2 / 3]))
    return pa.table(
        {
            "weight": pa.array(weight, mask=random.random(rows) < 0.05),
            "age": age,
            "fruit": [FRUITS[code] for code in fruit],
            "shop": [f"s{code}" for code in shop],
            "day": pa.array(np.arange(rows), pa.timestamp("us")),
            "part": random.choice(["train", "validation", "test"], rows, p=(0.6, 0.2, 0.2)),
            "sold": worth > np.median(worth),
            "grade": [("bad", "fair", "good")[rank] for rank in ranks],
            "price": worth,
        }
    )


def problem(task: Task = "binary", **changes: Any) -> Problem:
    """The problem that goes with `table`."""
    whole = Problem(
        name="fruit",
        columns=COLUMNS,
        target=TARGETS[task],
        split=Split(by="column", column="part"),
        sources=(SHOPS,),
        tuning=Tuning(trials=0),
    )
    return dataclasses.replace(whole, **changes)


def tree(
    base: Path,
    data: pa.Table | None = None,
    project: Problem | None = None,
    hyperparameters: Mapping[str, object] = QUICK,
) -> Path:
    """An /opt/ml-like tree for one job; answers its base."""
    for channel in ("train", "project", "source_shop"):
        (base / "input/data" / channel).mkdir(parents=True)
    (base / "input/config").mkdir(parents=True)
    pq.write_table(table() if data is None else data, base / "input/data/train/fruit.parquet")
    shops = pa.table({"id": [f"s{code}" for code in range(5)], "size": [1.0, 2.0, 3.0, 4.0, None]})
    pq.write_table(shops, base / "input/data/source_shop/shops.parquet")
    text = (project or problem()).to_json()
    (base / "input/data/project/project.json").write_text(text)
    encoded = {name: json.dumps(value) for name, value in hyperparameters.items()}
    (base / "input/config/hyperparameters.json").write_text(json.dumps(encoded))
    return base


def code_archive(path: Path) -> Path:
    """A sourcedir.tar.gz: the two-line train.py, requirements.txt, training/ and shared/."""
    entry = path.with_name("train.py")
    entry.write_text("from training.train import main\n\nmain()\n")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(entry, "train.py")
        archive.add(ROOT / "training/requirements.txt", "requirements.txt")
        for folder in ("training", "shared"):
            for source in sorted((ROOT / folder).rglob("*.py")):
                archive.add(source, source.relative_to(ROOT))
    return path
