"""The quality benchmark trains the examples with 30 trials and judges what comes of it."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import quality
from benchmarks.figures import Figure
from infra.project import Settings


def said(scores: dict[str, float], jobs: list[Settings]) -> Any:
    """Stands for the training job."""

    def train(settings: Settings, note: str) -> dict[str, float]:
        jobs.append(settings)
        return scores

    return train


@pytest.mark.parametrize(
    ("accuracy", "code", "verdict"),
    [(0.873, 0, "goal reached"), (0.87, 0, "must met"), (0.868, 1, "MISSED")],
)
def test_the_figure_stands_among_the_published_ones_and_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    accuracy: float,
    code: int,
    verdict: str,
) -> None:
    scores = {"accuracy": accuracy, "auc": 0.93, "log_loss": 0.27}
    jobs: list[Settings] = []
    monkeypatch.setattr(quality, "train", said(scores, jobs))
    assert quality.main(["adult"]) == code
    out = capsys.readouterr().out
    assert verdict in out
    assert "0.8720  XGBoost, tuned" in out
    assert [job.problem.tuning.trials for job in jobs] == [30]


def test_diamonds_are_split_five_times_and_each_split_searches_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[Settings] = []
    monkeypatch.setattr(quality, "train", said({"rmse": 520.0, "mae": 250.0}, jobs))
    (figure,) = quality.diamonds()
    assert [job.problem.split.seed for job in jobs] == [0, 1, 2, 3, 4]
    assert all(job.problem.split.test == 0.2 and job.problem.tuning.trials == 30 for job in jobs)
    assert figure.value == pytest.approx(520 / 3989.44, rel=1e-4)
    assert "sd 0.0000" in figure.name


def test_ours_is_sorted_in_where_less_is_better_too() -> None:
    figure = Figure("error", 0.134, "", "<=", 0.137, 0.1335)
    published = [
        {"method": "good", "score": 0.1335, "source": "a page"},
        {"method": "worse", "score": 0.15, "source": "a page"},
    ]
    lines = quality.beside(figure, published).splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["good", "this", "worse"]


def test_a_name_that_is_not_measured_is_refused() -> None:
    with pytest.raises(SystemExit, match="there is no iris"):
        quality.main(["iris"])
