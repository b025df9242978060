"""A problem is whole, or refused with the key that is wrong."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from shared.errors import HyperparameterError, ProjectError
from shared.hyperparameters import Choice, Range
from shared.problem import Problem, Split, Tuning
from shared.schema import Column, Target, Task
from shared.sources import Source

WEATHER = Source(
    name="weather",
    keys={"origin": "origin"},
    columns=(Column("temp", "numeric"),),
    as_of=("departure", "hour"),
    tolerance=7200,
)
PROBLEM = Problem(
    name="flights",
    columns=(
        Column("origin", "category"),
        Column("flag", "boolean"),
        Column("departure", "datetime"),
    ),
    target=Target("late", "binary"),
    split=Split(by="time", time="departure", validation_from="2013-09-16", test_from="2013-11-01"),
    sources=(WEATHER,),
    tuning=Tuning(
        trials=4,
        space={"learning_rate": Range(1e-4, 1e-2, "log"), "dropout": Choice((0.0, 0.2))},
    ),
)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_only_a_binary_target_has_a_threshold_to_choose(task: Task) -> None:
    columns = (Column("distance", "numeric"),)
    with pytest.raises(ProjectError, match=f"a {task} target has no threshold"):
        Problem("p", columns, Target("late", task), threshold_rule="f1")
    with pytest.raises(ProjectError, match=f"a {task} target has no threshold"):
        Problem("p", columns, Target("late", task, threshold=0.3))
    chosen = Problem("p", columns, Target("late", "binary"), threshold_rule="f1")
    assert Problem.from_json(chosen.to_json()) == chosen


def test_a_problem_read_back_from_json_is_the_same() -> None:
    assert Problem.from_json(PROBLEM.to_json()) == PROBLEM


def test_sources_columns_are_named_after_their_source() -> None:
    schema = PROBLEM.schema(Target("late", "binary", (False, True)))
    assert [column.name for column in schema.source_columns] == ["weather.temp"]


def test_an_unknown_key_is_refused_and_the_nearest_named() -> None:
    document = json.loads(PROBLEM.to_json())
    document["split"]["validation_form"] = "2013-09-16"
    with pytest.raises(ProjectError, match=r"project.json.split.*Did you mean 'validation_from'"):
        Problem.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"sources": (dataclasses.replace(WEATHER, keys={"orgin": "x"}),)},
            "Did you mean 'origin'",
        ),
        (
            {"sources": (dataclasses.replace(WEATHER, keys={"flag": "x"}),)},
            "is boolean, but must be",
        ),
        ({"sources": (dataclasses.replace(WEATHER, as_of=("origin", "h")),)}, "must be datetime"),
        ({"sources": (WEATHER, WEATHER)}, "two columns have this name"),
        ({"target": Target("origin", "binary")}, "the target cannot be an input"),
        ({"split": Split("time", "origin", "2013-01-01", "2014-01-01")}, "must be datetime"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProjectError, match=words):
        dataclasses.replace(PROBLEM, **changes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "time", "time": "t"}, "a split by time needs 'validation_from'"),
        ({"by": "column"}, "a split by column needs 'column'"),
        ({"validation": 0.0}, "split, validation: 0.0 is not a share"),
        ({"validation": 0.5, "test": 0.5}, "leave no rows"),
        ({"seed": -1}, "split, seed: the seed -1 is negative"),
        (
            {"by": "time", "time": "t", "validation_from": "2014-01-01", "test_from": "2013-01-01"},
            "validation_from must be before test_from",
        ),
        (
            {"by": "time", "time": "t", "validation_from": "soon", "test_from": "2013-01-01"},
            "'soon'",
        ),
    ],
)
def test_a_split_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ProjectError, match=words):
        Split(**options)


LISTS = {"dropout": Choice((0.0, 0.2)), "layers": Choice((1, 2, 3))}
LEARNING_RATE = {"learning_rate": Range(1e-4, 1e-2)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trials": -1}, "tuning.trials: trials must be 0 or more"),
        ({"folds": 0}, "tuning.folds: folds must be 1 or more"),
        ({"seed": -1}, "tuning.seed: the seed -1 is negative"),
        ({"parallel": 0}, "tuning.parallel: parallel must be .auto., or 1 or more"),
        ({"space": {"drop_out": Choice((0.1,))}}, "Did you mean 'dropout'"),
        (
            {"strategy": "manual", "candidates": ({"drop_out": 0.1},)},
            "Did you mean 'dropout'",
        ),
        ({"strategy": "manual", "candidates": ({"dropout": 2.0},)}, "not between 0 and 0.95"),
        ({"strategy": "manual"}, "tuning.candidates: .* needs values to try"),
        (
            {"strategy": "manual", "candidates": ({},), "space": LISTS},
            "tuning.space: .* has no space",
        ),
        ({"strategy": "grid", "candidates": ({},)}, 'belong to strategy "manual", not "grid"'),
        (
            {"strategy": "grid", "space": LISTS | LEARNING_RATE},
            "tuning.space.learning_rate: .* a range has no last value. Write a list",
        ),
        (
            {"strategy": "grid", "space": {"layers": Range(1, 3, integer=True)}},
            "tuning.space.layers: .* a range has no last value",
        ),
        (
            {
                "strategy": "grid",
                "space": {n: Choice(tuple(i / 200 for i in range(101))) for n in ("l2", "dropout")},
            },
            "that makes 10,201 trials; 10,000 are the most",
        ),
        ({"trials": 10_001, "space": {"l2": Range(0, 1)}}, "that makes 10,001 trials"),
        (
            {"strategy": "hyperband", "space": {"epochs": Choice((5, 10))}},
            "tuning.space.epochs: hyperband itself decides",
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises((ProjectError, HyperparameterError), match=words):
        Tuning(**options)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"trials": 7, "space": LEARNING_RATE}, 7),
        ({"trials": 7}, 0),
        ({"trials": 0, "space": LISTS}, 0),
        ({"strategy": "grid", "space": LISTS}, 6),
        ({"strategy": "grid"}, 0),
        ({"strategy": "manual", "candidates": ({"dropout": 0.1}, {})}, 2),
        ({"strategy": "hyperband", "trials": 9, "space": LEARNING_RATE}, 9),
    ],
)
def test_the_number_of_trials_is_known_beforehand(options: dict[str, Any], count: int) -> None:
    assert Tuning(**options).count == count


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "../x"}, "begins with a letter"),
        ({"keys": {}}, "one key or more"),
        ({"columns": ()}, "one column or more"),
        ({"tolerance": -1.0}, "a tolerance is 0 or more seconds"),
        ({"as_of": None}, "needs as_of"),
    ],
)
def test_a_source_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ProjectError, match=words):
        dataclasses.replace(WEATHER, **options)
