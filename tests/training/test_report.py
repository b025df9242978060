"""The report says what was found, escapes it, and needs nothing else."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.hyperparameters import Hyperparameters
from shared.predictions import Predictions
from shared.schema import Column, Target, Task
from training import report
from training.evaluation import calibration, curves, diagnose, model_quality, slices
from training.evaluation.permutation import Importance
from training.outcome import Assessment
from training.report import charts, figures
from training.report.tables import text
from training.tuning import Trial

ROWS = 600
SETTINGS = Hyperparameters(epochs=10, l2=1e-4, dropout=0.2, units=64)
OVERFIT = [
    {"train_loss": t, "val_loss": v, "val_auc": 1 - v}
    for t, v in [(0.6, 0.62), (0.5, 0.55), (0.4, 0.6), (0.3, 0.7)]
]
TRIALS = [
    Trial(0, {"dropout": 0.2, "activation": "relu"}, "finished", ((0.5, 0.7), (0.4, 0.5))),
    Trial(1, {"dropout": 0.4, "activation": "relu"}, "finished", ((0.6, 0.6), (0.5, 0.5))),
    Trial(2, {"dropout": 0.4, "activation": "<x>"}, "failed", (), "the loss is <not> finite"),
]
VOID = {"meta", "polyline", "circle", "rect", "line"}


class Page(HTMLParser):
    """Checks that what is opened is closed, and gathers tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def assessment(task: Task = "binary") -> Assessment:
    """What an arbitrary network of a task may come to, over 600 rows."""
    random = np.random.default_rng(0)
    classes: dict[Task, tuple[Any, ...]] = {
        "binary": (False, True),
        "multiclass": ("<a>", "b", "c"),
        "regression": (),
    }
    target = Target("late", task, classes[task])
    none = np.empty(0)
    if task == "regression":
        truth: Any = random.normal(10, 3, ROWS)
        answer = Predictions(target, truth + random.normal(size=ROWS), none.astype(int), none)
    else:
        truth = random.integers(0, len(target.classes), ROWS)
        choice = np.where(random.random(ROWS) < 0.7, truth, 0)
        score = np.clip(0.3 * choice + random.random(ROWS) / 2, 0, 1)[:, None]
        answer = Predictions(target, none, choice, score)
    shops = np.array(["north & south", "east"], object)[random.integers(0, 2, ROWS)]
    scores = {"auc": 0.71234, "pr_auc": 0.4, "calibration_error": 0.01}
    scores |= {"accuracy": 0.8, "rmse": 2.5}
    binary = task == "binary"
    return Assessment(
        task=task,
        classes=tuple(map(str, target.classes)),
        threshold=0.3 if binary else None,
        threshold_rule="f1" if binary else None,
        scores={"validation": scores, "test": scores},
        baseline={"test": {"auc": 0.5, "accuracy": 0.4, "rmse": 3.0}},
        reliability=calibration.reliability(truth, answer.scores[:, 0]) if binary else (),
        roc=curves.roc(truth, answer.scores[:, 0]) if binary else (),
        precision_recall=curves.precision_recall(truth, answer.scores[:, 0]) if binary else (),
        confusion=(
            curves.confusion(truth, answer.choice, len(target.classes)) if target.classes else ()
        ),
        residuals=None if target.classes else curves.residuals(truth, answer.values),
        slices=slices.find([Column("shop", "category")], {"shop": shops}, truth, answer),
        importance=[Importance("size", 0.2, 0.01), Importance("shop.*", -0.001, 0.002)],
        quality=model_quality.statistics(answer, truth),
        constraints=model_quality.constraints(answer, truth),
    )


def content(task: Task = "binary", **changes: Any) -> report.Content:
    whole = report.Content(
        title="fruit & more",
        facts={"rows": "10 training", "weights": 12345},
        assessment=assessment(task),
        cautions=["Scores on 5 test rows say little.", "Column '<id>' is unique."],
        history=OVERFIT,
        diagnosis=diagnose(OVERFIT, SETTINGS, 10),
        trials=TRIALS,
        importance={"dropout": 0.75, "activation": 0.25},
        hyperparameters={"dropout": 0.2, "units": "auto"},
        resolved={"units": 64},
    )
    return dataclasses.replace(whole, **changes)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_page_is_whole_and_needs_nothing_else(task: Task) -> None:
    page = report.html(content(task))
    parsed = Page(page)
    assert not re.search(r"<script|https?:|src=|@import|url\(", page)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "object"}
    assert len(page) < 200_000


def test_every_chart_says_what_it_shows() -> None:
    charts = [found for tag, found in Page(report.html(content())).tags if tag == "svg"]
    assert len(charts) == 9
    assert all(found["role"] == "img" and found["aria-label"] for found in charts)
    assert len({found["aria-label"] for found in charts}) == 9


def test_every_link_leads_to_a_section() -> None:
    tags = Page(report.html(content())).tags
    there = {found["id"] for tag, found in tags if tag == "section"}
    assert {(found["href"] or "")[1:] for tag, found in tags if tag == "a"} == there


def test_what_was_found_stands_on_the_page() -> None:
    page = report.html(content())
    assert "<title>fruit &amp; more: training report</title>" in page
    assert "<b>0.71234</b>auc on the test rows" in page
    assert "<b>0.3</b>threshold, chosen for f1" in page
    assert "<p>Scores on 5 test rows say little.</p>" in page
    assert "over-fits from epoch 3 on" in page
    assert ">over-fits from epoch 3</text>" in page
    assert '<td>test, always the same answer</td><td class="n">0.5</td>' in page
    assert '<td class="n">0.45</td><td class="n">0.05</td>' in page
    assert "size: 0.20000 ± 0.01000" in page
    assert '<th scope="row">units</th><td>auto: 64</td>' in page
    assert '<th scope="row">weights</th><td>12,345</td>' in page


def test_the_best_trial_is_marked_and_a_failed_one_says_why() -> None:
    page = report.html(content())
    rows = re.findall(r'<tr class="best"><td class="n">(\d+)</td>', page)
    assert rows == ["1"]
    assert "Trial 3 failed: the loss is &lt;not&gt; finite" in page


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_names_from_the_data_are_text_and_never_markup(task: Task) -> None:
    hostile = "<img src=x onerror=alert(1)>\"'&"
    found = assessment(task)
    page = report.html(
        content(
            task,
            title=hostile,
            facts={hostile: hostile},
            cautions=[hostile],
            trials=[Trial(n, {hostile: hostile}, "finished", ((0.1 + n,),)) for n in range(3)]
            + [Trial(3, {}, "failed", (), hostile)],
            importance={hostile: 1.0},
            hyperparameters={hostile: hostile},
            assessment=dataclasses.replace(
                found,
                classes=(hostile, *found.classes[1:]),
                slices=[dataclasses.replace(found.slices[0], column=hostile, level=hostile)],
                importance=[Importance(hostile, 0.1, 0.1)],
            ),
        )
    )
    assert not any(tag == "img" for tag, _ in Page(page).tags)
    assert "onerror=alert(1)>" not in page.replace("onerror=alert(1)&gt;", "")


def test_a_search_of_many_trials_stays_readable() -> None:
    trials = [
        Trial(n, {"dropout": n / 10_000, "units": 2 ** (n % 8)}, "finished", ((1 / (n + 1),),))
        for n in range(10_000)
    ]
    page = report.html(content(trials=trials))
    assert len(page) < 1_000_000
    assert "The best 200 of 10000 trials" in page


def test_without_a_search_it_says_so() -> None:
    page = report.html(content(trials=[], importance={}))
    assert "Nothing was searched" in page


def test_one_epoch_and_one_class_make_a_page() -> None:
    found = dataclasses.replace(
        assessment(),
        scores={"validation": {}, "test": {"calibration_error": 0.0}},
        roc=(),
        precision_recall=(),
        importance=(),
        slices=(),
    )
    history = [{"train_loss": 0.5, "val_loss": 0.5}]
    page = report.html(
        content(assessment=found, history=history, diagnosis=diagnose(history, SETTINGS, 10))
    )
    Page(page)
    assert "all of one class" in page


def test_each_document_has_its_own_file(tmp_path: Path) -> None:
    report.write(tmp_path, content())
    read = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert read["figures.json"]["assessment"]["scores"]["test"]["auc"] == 0.71234
    assert "quality" not in read["figures.json"]["assessment"]
    assert len(read["trials.json"]) == 3
    assert "binary_classification_metrics" in read["metrics.json"]
    assert "binary_classification_constraints" in read["constraints.json"]
    assert (tmp_path / "report.html").read_text() == report.html(content())


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.31, 0.36, [0.31, 0.32, 0.33, 0.34, 0.35, 0.36]),
        (-1000, 5000, [-1000, 0, 1000, 2000, 3000, 4000, 5000]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_epochs_have_whole_ticks() -> None:
    assert charts.ticks(1, 3, whole=True) == [1, 2, 3]
    assert len(charts.ticks(1, 400, whole=True)) <= 9


def test_a_trial_far_off_lies_on_the_edge_and_the_others_stay_apart() -> None:
    trials = [Trial(n, {}, "finished", ((loss,),)) for n, loss in enumerate([0.5, 0.4, 1e9, 0.45])]
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', figures.best_so_far(trials))]
    assert heights[2] == min(heights)
    assert heights[1] - heights[0] > 30


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12345, "12,345"), (0.123456, "0.12346"), (float("inf"), "–"), (True, "true"), (None, "")],
)
def test_values_are_written_for_people(value: object, shown: str) -> None:
    assert text(value) == shown
