"""Who wins, by how much, and that chance does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from shared.errors import DataError
from shared.retraining import Decision, Retraining
from shared.schema import Target
from shared.transforms import TargetTransform
from training import duel

LATE = Target("late", "binary", (False, True))
FARE = Target("fare", "multiclass", ("first", "second"))
DELAY = Target("delay", "regression")
SETTINGS = Retraining(margin=0.002, confidence=0.95)


def scores(truth: Any, noise: float, seed: int) -> Any:
    """A model's probabilities [n, 1]: the truth and some noise."""
    random = np.random.default_rng(seed)
    return (1 / (1 + np.exp(-(truth - 0.5 + random.normal(0, noise, len(truth))))))[:, None]


def binary(champion: float, challenger: float, rows: int = 1500, **changed: Any) -> Decision:
    """Two models with so much noise of their own."""
    truth = np.random.default_rng(0).integers(0, 2, rows)
    return duel.decide(
        LATE,
        TargetTransform("binary"),
        truth,
        champion=scores(truth, champion, 1),
        challenger=scores(truth, challenger, 2),
        settings=dataclasses.replace(SETTINGS, **changed),
    )


def test_a_clear_win_deploys_and_says_by_how_much_on_how_many_rows() -> None:
    decision = binary(2.0, 1.0)
    assert decision.deploy
    assert decision.metric == "auc"
    assert decision.gain == decision.challenger - decision.champion > 0.1
    for part in (
        "challenger AUC 0.7",
        "against champion 0.6",
        "1,500 held-out new rows",
        "≥ margin 0.002",
    ):
        assert part in decision.words


def test_who_is_no_better_than_always_the_same_answer_does_not_win() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 1500)
    decision = duel.decide(
        LATE,
        TargetTransform("binary"),
        truth,
        champion=1 - scores(truth, 1.0, 1),
        challenger=1 - scores(truth, 3.0, 2),
        settings=SETTINGS,
    )
    assert decision.gain > 0.1
    assert not decision.deploy
    assert "always the same answer would do as well (AUC 0.5)" in decision.words


def test_a_loss_keeps_the_champion() -> None:
    decision = binary(1.0, 2.0)
    assert not decision.deploy
    assert "loses by" in decision.words


def test_a_win_below_the_margin_keeps_the_champion() -> None:
    decision = binary(2.0, 1.0, margin=0.5)
    assert not decision.deploy
    assert "< margin 0.5" in decision.words


def test_a_win_that_chance_may_bring_keeps_the_champion() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 60)
    decided = {
        confidence: duel.decide(
            LATE,
            TargetTransform("binary"),
            truth,
            champion=scores(truth, 1.5, 5),
            challenger=scores(truth, 1.5, 15),
            settings=Retraining(margin=0.0, confidence=confidence),
        )
        for confidence in (0.5, 0.95)
    }
    assert 0 < decided[0.5].gain < decided[0.5].chance
    assert decided[0.5].deploy
    assert not decided[0.95].deploy
    assert "chance alone may do that" in decided[0.95].words


def test_the_chance_of_a_difference_shrinks_with_the_rows_as_a_mean_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, many = binary(2.0, 1.9, rows=500).chance, binary(2.0, 1.9, rows=8000).chance
    assert few / many == pytest.approx(4.0, rel=0.25)
    monkeypatch.setattr(duel, "ENOUGH_ROWS", 1000)
    assert binary(2.0, 1.9, rows=8000).chance == pytest.approx(many, rel=0.25)


def test_the_same_rows_are_always_judged_the_same() -> None:
    assert binary(2.0, 1.9) == binary(2.0, 1.9)


def test_models_that_answer_alike_leave_the_champion_where_it_is() -> None:
    truth = np.arange(100) % 2
    outputs = scores(truth, 1.0, 1)
    decision = duel.decide(
        LATE,
        TargetTransform("binary"),
        truth,
        champion=outputs,
        challenger=outputs,
        settings=Retraining(margin=0.0),
    )
    assert not decision.deploy
    assert "no difference" in decision.words


def test_an_error_is_better_lower_and_won_in_shares_of_the_champions() -> None:
    truth = np.random.default_rng(0).normal(0, 1000, 500)
    decision = duel.decide(
        DELAY,
        TargetTransform("regression", centre=0.0, spread=1000.0),
        truth,
        champion=(truth[:, None] + 100) / 1000,
        challenger=(truth[:, None] + 90) / 1000,
        settings=SETTINGS,
    )
    assert decision.metric == "rmse"
    assert decision.gain == pytest.approx(0.1)
    assert decision.deploy
    assert "wins by 10 % ≥ margin 0.2 %" in decision.words


def test_classes_are_won_by_accuracy() -> None:
    truth = np.arange(200) % 2
    good = np.eye(2)[truth] * 0.8 + 0.1
    decision = duel.decide(
        FARE,
        TargetTransform("multiclass"),
        truth,
        champion=np.full((200, 2), 0.5),
        challenger=good,
        settings=SETTINGS,
    )
    assert (decision.metric, decision.champion, decision.challenger) == ("accuracy", 0.5, 1.0)
    assert decision.deploy


def test_held_out_rows_of_one_class_are_refused() -> None:
    with pytest.raises(DataError, match=r"all 3 new rows held out are of class True.*Bring more"):
        duel.refuse_unjudgeable(LATE, np.array([1, 1, 1]))


@pytest.mark.parametrize(("new", "words"), [(0.6, "forgotten some"), (0.8, "forgotten nothing")])
def test_what_was_forgotten_is_told(new: float, words: str) -> None:
    told = duel.remembered(binary(2.0, 1.0), {"auc": 0.7}, {"auc": new}, 123)
    assert words in told
    assert "123 old test rows" in told
