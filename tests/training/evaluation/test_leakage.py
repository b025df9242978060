"""Columns that give the answer away are named with their cure; good strong ones are not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra import project
from shared import tables
from shared.schema import Column, Target, Task
from tests.support import jobs
from training import data, environment
from training.data import Part
from training.evaluation import leakage

ROWS = 4000
TARGETS: dict[Task, Target] = {
    "binary": Target("late", "binary", (False, True)),
    "multiclass": Target("grade", "multiclass", ("a", "b", "c")),
    "regression": Target("price", "regression"),
}


def parts(columns: dict[str, Any], target: Any) -> tuple[Part, Part]:
    rows = Part({name: np.asarray(values) for name, values in columns.items()}, np.asarray(target))
    cut = len(rows) * 3 // 4
    return rows.take(np.arange(cut)), rows.take(np.arange(cut, len(rows)))


def numeric(*names: str) -> list[Column]:
    return [Column(name, "numeric") for name in names]


def found(
    features: list[Column], task: Task, columns: dict[str, Any], target: Any
) -> list[tuple[str, str]]:
    training, validation = parts(columns, target)
    checked = leakage.check(features, TARGETS[task], training, validation)
    return [(one.kind, one.column) for one in checked]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_delay_that_decides_what_is_late_is_caught_and_the_weather_is_not(
    random: np.random.Generator,
) -> None:
    rain, delay = random.random(ROWS), random.normal(5, 20, ROWS)
    late = (delay + 10 * rain > 15).astype(int)
    columns = {"delay": delay + 10 * rain, "rain": rain}
    assert found(numeric("delay", "rain"), "binary", columns, late) == [("leak", "delay")]
    assert found(numeric("rain"), "binary", columns, late) == []


def test_a_warning_names_column_skill_and_cure(random: np.random.Generator) -> None:
    truth = random.integers(0, 2, ROWS)
    checked = leakage.check(
        numeric("copy"), TARGETS["binary"], *parts({"copy": truth * 1.0}, truth)
    )
    assert checked[0].text == (
        "column 'copy' alone predicts 'late' almost perfectly (AUC 1.000). If its value is known "
        "only once the answer is, it gives the answer away: set feature = false for it, or leave "
        "it out"
    )


def test_a_column_far_ahead_of_all_others_is_named_with_the_next_best(
    random: np.random.Generator,
) -> None:
    truth = random.integers(0, 2, ROWS)
    columns = {
        "refund": truth + random.normal(0, 0.6, ROWS),
        "age": truth + random.normal(0, 4, ROWS),
        "size": random.random(ROWS),
    }
    training, validation = parts(columns, truth)
    checked = leakage.check(numeric(*columns), TARGETS["binary"], training, validation)
    assert [one.column for one in checked] == ["refund"]
    assert "far better (AUC 0.8" in checked[0].text
    assert "than any other ('age': AUC 0.5" in checked[0].text


def test_strong_columns_that_go_together_are_no_leak(random: np.random.Generator) -> None:
    carat = random.lognormal(0, 0.5, ROWS)
    columns = {name: carat + random.normal(0, 0.05, ROWS) for name in ("x", "y", "z")}
    columns["carat"] = carat
    price = carat**1.7 * np.exp(random.normal(0, 0.2, ROWS))
    assert found(numeric(*columns), "regression", columns, price) == []


@pytest.mark.parametrize("change", [lambda y: 1.19 * y, np.log1p, lambda y: -(y**3)])
def test_a_target_in_another_unit_is_caught(random: np.random.Generator, change: Any) -> None:
    price = random.lognormal(0, 2, ROWS)
    columns = {"gross": change(price), "size": random.random(ROWS)}
    assert found(numeric(*columns), "regression", columns, price) == [("leak", "gross")]


def test_a_category_with_the_classes_under_other_names_is_caught(
    random: np.random.Generator,
) -> None:
    truth = random.integers(0, 3, ROWS)
    columns = {"remark": np.array(["poor", "fine", None], object)[truth]}
    features = [Column("remark", "category")]
    assert found(features, "multiclass", columns, truth) == [("leak", "remark")]


def test_a_value_that_only_one_class_has_is_caught_by_its_absence(
    random: np.random.Generator,
) -> None:
    truth = random.integers(0, 2, ROWS)
    closed = np.datetime64("2020-01-01", "us") + random.integers(0, 10**12, ROWS)
    columns = {"closed": np.where(truth == 1, closed, np.datetime64("NaT"))}
    features = [Column("closed", "datetime")]
    assert found(features, "binary", columns, truth) == [("leak", "closed")]


def test_levels_that_are_learnt_by_heart_prove_nothing(random: np.random.Generator) -> None:
    truth = random.integers(0, 2, ROWS)
    customers = np.array([f"c{row % 1500}" for row in range(ROWS)], object)
    assert found([Column("customer", "category")], "binary", {"customer": customers}, truth) == []


def test_constant_columns_are_told(random: np.random.Generator) -> None:
    columns = {
        "currency": np.full(ROWS, "EUR", object),
        "version": np.full(ROWS, 2.0),
        "flag": np.where(random.random(ROWS) < 0.5, 1.0, np.nan),
    }
    features = [Column("currency", "category"), *numeric("version", "flag")]
    assert found(features, "binary", columns, random.integers(0, 2, ROWS)) == [
        ("constant", "currency"),
        ("constant", "version"),
    ]


def test_columns_that_name_or_number_the_rows_are_told(random: np.random.Generator) -> None:
    columns = {
        "order": np.array([f"o{row}" for row in range(ROWS)], object),
        "row": random.permutation(ROWS) + 1000.0,
        "amount": np.round(random.lognormal(3, 1, ROWS), 2),
        "year": random.integers(1990, 2020, ROWS).astype(float),
    }
    features = [Column("order", "category"), *numeric("row", "amount", "year")]
    assert found(features, "binary", columns, random.integers(0, 2, ROWS)) == [
        ("unique", "order"),
        ("unique", "row"),
    ]


@pytest.mark.parametrize(
    ("example", "strongest"),
    [("adult", {"relationship"}), ("diamonds", {"carat", "x", "y", "z"})],
)
def test_an_example_as_it_is_shipped_raises_no_alarm(
    tmp_path: Path, example: str, strongest: set[str]
) -> None:
    settings = project.load(jobs.ROOT / "examples" / example)
    base = jobs.tree(tmp_path, tables.read(settings.data.files), settings.problem)
    found = data.read(environment.read(["--base", str(base)]), settings.problem)
    features = found.schema.features
    assert not leakage.check(features, found.schema.target, found.train, found.validation)
    skills = leakage.skill(features, found.schema.target, found.train, found.validation)
    assert next(iter(skills)) in strongest


def test_a_sample_calls_no_level_unique() -> None:
    truth = np.arange(200) % 2
    columns = {"customer": np.array([f"c{row}" for row in range(200)], object)}
    for sampled, kinds in [(False, ["unique"]), (True, [])]:
        checked = leakage.check(
            [Column("customer", "category")],
            TARGETS["binary"],
            *parts(columns, truth),
            sampled=sampled,
        )
        assert [one.kind for one in checked] == kinds


@pytest.mark.parametrize(("rows", "kinds"), [(4000, ["leak"]), (120, [])])
def test_on_few_rows_a_lead_may_be_chance(rows: int, kinds: list[str]) -> None:
    truth = np.arange(rows) // 2 % 2
    ahead = np.where(np.arange(rows) % 10 == 0, 1 - truth, truth)  # AUC 0.9
    columns = {"ahead": ahead * 1.0, "other": np.random.default_rng(0).random(rows)}
    assert [kind for kind, _ in found(numeric(*columns), "binary", columns, truth)] == kinds


def test_fewer_than_twenty_validation_rows_judge_nothing() -> None:
    truth = np.arange(60) % 2
    assert not found(numeric("copy"), "binary", {"copy": truth * 1.0}, truth)
    truth = np.arange(120) % 2
    assert found(numeric("copy"), "binary", {"copy": truth * 1.0}, truth) == [("leak", "copy")]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_few_rows_and_missing_values_are_judged_too(task: Task) -> None:
    random = np.random.default_rng(1)
    target = random.integers(0, 3 if task == "multiclass" else 2, 24)
    columns = {
        "empty_here": np.r_[np.full(18, np.nan), np.ones(6)],
        "noise": np.where(random.random(24) < 0.3, np.nan, random.random(24)),
        "word": np.array([None, "a", "b"], object)[random.integers(0, 3, 24)],
    }
    features = [*numeric("empty_here", "noise"), Column("word", "category")]
    kinds = found(features, task, columns, target.astype(float) if task == "regression" else target)
    assert ("leak", "noise") not in kinds
    assert ("leak", "word") not in kinds
