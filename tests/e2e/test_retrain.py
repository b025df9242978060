"""A small model is deployed, learns from new rows, wins, and stays until its project changes."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tests.e2e.house import House, Said
from tests.support import jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
FRUIT = "PROJECT=projects/fruit"
TOML = """\
name = "fruit"

[data]
source = "fruit.csv"
target = "sold"
task   = "binary"
split  = { by = "time", time = "day", validation_from = "1970-01-01T00:00:00.000200Z", test_from = "1970-01-01T00:00:00.000240Z" }

[data.columns]
weight = { kind = "numeric" }
age    = { kind = "numeric" }
fruit  = { kind = "category" }
shop   = { kind = "category" }

[features.columns]
per_year = { kind = "numeric" }

[training]
hyperparameters = { units = 16, layers = 1, batch_size = 32, epochs = 2 }

[retraining]
epochs = 3
learning_rate_factor = 1.0
"""  # noqa: E501
FEATURES = """\
import numpy as np


def features(columns):
    return {"per_year": columns["weight"] / np.maximum(columns["age"], 1)}
"""


def rows(count: int, seed: int, after: int = 0) -> pa.Table:
    """Rows of the small problem, one a microsecond."""
    table = jobs.table(count, seed).drop_columns(["part", "grade", "price"])
    days = pa.array(range(after, after + count), pa.timestamp("us"))
    return table.set_column(table.column_names.index("day"), "day", days)


@pytest.fixture(scope="module")
def project(house: House) -> Path:
    folder = house.folder / "projects/fruit"
    folder.mkdir(parents=True)
    (folder / "project.toml").write_text(TOML)
    (folder / "features.py").write_text(FEATURES)
    csv.write_csv(rows(300, seed=5), folder / "fruit.csv")
    pq.write_table(rows(1500, seed=1, after=300), folder / "new.parquet")
    return folder


@pytest.fixture(scope="module")
def retrained(project: Path, house: House) -> Said:
    first = house.make("retrain", FRUIT, "DATA=projects/fruit/new.parquet")
    assert first.code != 0
    assert "nothing is deployed that could go on learning" in first.err
    deployed = house.make("deploy", FRUIT)
    assert deployed.code == 0, deployed.err
    return house.make("retrain", FRUIT, "DATA=projects/fruit/new.parquet")


def test_the_model_goes_on_wins_and_is_deployed(retrained: Said) -> None:
    assert retrained.code == 0, retrained.err
    for shown in (
        "go on from bundle",
        "epoch 3",
        "AUC",
        "held-out new rows; wins by",
        "update endpoint",
    ):
        assert shown in retrained.out, shown
    assert ": deployed" in retrained.out
    assert "fruit: the new model serves and is verified" in retrained.out


def test_the_last_of_the_new_rows_were_held_out(retrained: Said) -> None:
    assert "of the new rows: 1,050 training, 150 validation, 300 test" in retrained.out


def test_the_same_command_again_changes_nothing(retrained: Said, house: House) -> None:
    again = house.make("retrain", FRUIT, "DATA=projects/fruit/new.parquet")
    assert again.code == 0, again.err
    assert "create" not in again.out
    assert "fruit: the new model serves and is verified" in again.out


def test_deploy_and_plan_keep_it_and_status_names_its_parent(retrained: Said, house: House) -> None:
    assert house.make("plan", FRUIT).out.rstrip().endswith("No changes.")
    assert "No changes: fruit is InService" in house.make("deploy", FRUIT).out
    status = house.make("status", FRUIT).out
    assert "retrained" in status
    assert "from fruit-" in status


def test_its_features_were_kept_and_another_features_py_is_another_model(
    retrained: Said, project: Path, house: House
) -> None:
    [kept] = (house.folder / "build/fruit/challenger").rglob("features.py")
    assert kept.read_text() == FEATURES
    file = project / "features.py"
    file.write_text(FEATURES.replace("1)", "2)"))
    assert re.search("create +training job", house.make("plan", FRUIT).out)
    file.write_text(FEATURES.replace("np.max", "np.mux"))
    said = house.make("plan", FRUIT)
    assert said.code != 0
    assert "features.py, line 5, row 0: AttributeError" in said.err
    file.write_text(FEATURES)


def test_it_answers_and_is_destroyed(retrained: Said, house: House) -> None:
    assert '"label"' in house.make("invoke", FRUIT).out
    assert house.make("destroy", FRUIT).code == 0
