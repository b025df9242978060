"""The page of a search by the service."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infra import history
from infra.importance import importance
from infra.trials import Trial
from shared.hyperparameters import Choice, Range
from shared.problem import Tuning

TRIALS = [
    Trial(1, "finished", {"dropout": "0.1", "activation": "relu"}, 0.5, "job-001", 12.0),
    Trial(2, "failed", {"dropout": "0.2", "activation": "tanh"}, None, "job-002", 1.0, "1 < 2"),
    Trial(3, "finished", {"dropout": "0.4", "activation": "tanh"}, 0.4, "job-003", 9.0),
    Trial(4, "pruned", {"dropout": "0.3", "activation": "gelu"}, 0.9, "job-004", 3.0),
]


def heights(page: str) -> dict[str, float]:
    """Where each trial's point stands, by trial."""
    found = re.findall(r'cy="([\d.]+)"[^>]*><title>trial (\d+)', page)
    return {number: float(height) for height, number in found}


def test_all_trials_stand_in_the_table_and_the_best_is_marked() -> None:
    page = history.html("flights", "random", TRIALS)
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    assert len(rows) == 1 + len(TRIALS)
    (best,) = [row for row in rows if 'class="best"' in row]
    assert "job-003" in best
    assert "2 finished, 1 stopped early, 1 failed" in page


def test_texts_of_others_are_text() -> None:
    assert "1 &lt; 2" in history.html("<b>", "random", TRIALS)
    assert "<b>" not in history.html("<b>", "random", TRIALS)


def test_a_lower_loss_stands_lower_and_a_trial_without_one_nowhere() -> None:
    found = heights(history.html("flights", "random", TRIALS))
    assert set(found) == {"1", "3", "4"}
    assert found["3"] > found["1"] > found["4"]  # an SVG counts from the top


def test_each_trial_with_a_loss_is_a_line_through_its_values() -> None:
    page = history.html("flights", "random", TRIALS)
    values = page.split("Values and losses")[1]
    assert values.count("<polyline") == 3
    assert values.count('stroke-width="3"') == 1
    for name in ("dropout", "activation", "val_loss", "relu", "gelu"):
        assert f">{name}</text>" in values


def test_numbers_of_several_magnitudes_are_spread_by_their_logarithm() -> None:
    low, middle, high = history._heights(["0.0001", "0.001", "0.01"])
    assert middle == pytest.approx((low + high) / 2)
    low, middle, high = history._heights(["1", "2", "3"])
    assert middle == pytest.approx((low + high) / 2)


@pytest.mark.parametrize("trials", [[], TRIALS[:1], TRIALS[1:2], [TRIALS[0]] * 2])
def test_few_trials_make_a_page_all_the_same(trials: list[Trial]) -> None:
    page = history.html("flights", "grid", trials)
    assert page.startswith("<!doctype html>")
    assert "nan" not in page


def test_the_page_needs_nothing_else_and_the_trials_are_there_for_programs(
    tmp_path: Path,
) -> None:
    page = history.write(tmp_path, "flights", Tuning(where="service"), TRIALS).read_text()
    assert not re.search(r"(src|href)=|https?://", page)
    trials = json.loads((tmp_path / "trials.json").read_text())
    assert [trial["loss"] for trial in trials] == [0.5, None, 0.4, 0.9]


def test_a_page_of_the_same_trials_is_not_made_again(tmp_path: Path) -> None:
    tuning = Tuning(where="service")
    page = history.write(tmp_path, "flights", tuning, TRIALS)
    page.write_text("as it was")
    assert history.write(tmp_path, "flights", tuning, TRIALS).read_text() == "as it was"
    assert history.write(tmp_path, "flights", tuning, TRIALS[:1]).read_text() != "as it was"


def searched(count: int) -> list[Trial]:
    """Trials whose losses follow from dropout alone."""
    return [
        Trial(
            number,
            "finished",
            {
                "dropout": f"{number / 100:.4g}",
                "units": str(8 + number % 3),
                "taper": "auto" if number % 2 else "true",
            },
            1.0 - number / 20,
        )
        for number in range(1, count + 1)
    ]


SPACE: dict[str, Range | Choice] = {
    "dropout": Range(0.01, 0.1199, "log"),
    "units": Range(8, 10, integer=True),
    "taper": Choice(("auto", True)),
}


@pytest.mark.slow
def test_what_mattered_is_told_with_the_largest_share_first() -> None:
    shares = importance(SPACE, searched(12))
    assert next(iter(shares)) == "dropout"
    assert shares["dropout"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    page = history.html("flights", "random", searched(12), shares)
    assert "What mattered" in page


def test_of_few_or_equal_trials_nothing_is_said_to_matter() -> None:
    assert importance(SPACE, searched(7)) == {}
    assert importance(SPACE, [searched(1)[0]] * 9) == {}
    assert "What mattered" not in history.html("flights", "random", TRIALS)
