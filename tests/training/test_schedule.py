"""The learning rate of a step follows from the epoch and from the losses so far, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training.schedule import FALL, Schedule


def schedule(kind: str, **settings: Any) -> Schedule:
    return Schedule(
        kind, **{"highest": 0.001, "epochs": 10, "warmup": 0.0, "patience": 4} | settings
    )


def test_a_constant_rate_is_constant() -> None:
    assert set(schedule("constant").rates(7, 5, [1.0] * 7).tolist()) == {np.float32(0.001)}


def test_a_cosine_falls_from_the_highest_rate_through_its_half_to_nearly_nothing() -> None:
    rates = np.concatenate([schedule("cosine").rates(done, 100, []) for done in range(10)])
    assert rates[0] == np.float32(0.001)
    assert rates[500] == pytest.approx(0.0005)
    assert 0 < rates[-1] < 1e-8
    assert np.all(np.diff(rates) <= 0)


@pytest.mark.parametrize("kind", ["constant", "cosine", "plateau"])
def test_warm_up_rises_on_a_line_over_its_epochs(kind: str) -> None:
    warm = schedule(kind, warmup=0.5)
    rates = np.concatenate([warm.rates(done, 10, [1.0] * done) for done in range(2)])
    assert rates[:5] == pytest.approx(0.001 * np.arange(1, 6) / 5)
    assert rates[5] == pytest.approx(0.001)


@pytest.mark.parametrize("warmup", [0.0, 3.0, 10.0, 50.0])
@pytest.mark.parametrize("done", [0, 9, 10, 30])
def test_no_rate_is_negative_or_above_the_highest(warmup: float, done: int) -> None:
    rates = schedule("cosine", warmup=warmup).rates(done, 7, [])
    assert np.all((rates >= 0) & (rates <= np.float32(0.001)))
    assert rates.dtype == np.float32


@pytest.mark.parametrize(
    ("losses", "falls"),
    [
        ([], 0),
        ([3.0, 2.0, 1.0], 0),
        ([1.0, 2.0], 0),
        ([1.0, 2.0, 1.0], 1),
        ([1.0, 2.0, 2.0, 2.0], 1),
        ([1.0, 2.0, 2.0, 2.0, 2.0], 2),
        ([1.0, 2.0, 0.5, 0.6], 0),
        ([1.0, 2.0, 2.0, 0.5, 0.4], 1),
    ],
)
def test_on_a_plateau_the_rate_falls_after_every_half_of_the_patience(
    losses: list[float], falls: int
) -> None:
    rates = schedule("plateau", patience=4).rates(len(losses), 3, losses)
    assert rates == pytest.approx(0.001 * FALL**falls)


def test_the_rate_falls_at_least_once_before_patience_ends_the_training() -> None:
    for patience in range(2, 9):
        losses = [1.0] * patience
        assert schedule("plateau", patience=patience).rates(patience, 1, losses)[0] < 0.001
