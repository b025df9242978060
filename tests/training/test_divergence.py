"""Training that left the numbers is said so, with the epoch, the place and the cure."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shared.errors import TrainingError
from training import divergence

LOSSES = {"train_loss": 0.5, "val_loss": 0.25}


def variable(path: str, *values: float) -> Any:
    return SimpleNamespace(path=path, numpy=lambda: np.array(values, dtype=np.float32))


def test_finite_numbers_pass_whatever_their_size() -> None:
    counter = SimpleNamespace(path="iteration", numpy=lambda: np.array(7))
    divergence.check(3, {"val_loss": 1e30}, [variable("kernel", 1e38, -1e-38), counter], 0.001)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_none_is_named_with_epoch_and_cure(loss: float) -> None:
    with pytest.raises(TrainingError) as raised:
        divergence.check(3, {**LOSSES, "val_loss": loss}, [variable("kernel", 1.0)], 0.1)
    assert str(raised.value) == (
        f"training diverged in epoch 3: train_loss 0.5, val_loss {loss:g}. "
        f"Lower learning_rate (it was 0.1), or raise l2"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_exploded_is_named_although_the_loss_is_finite(value: float) -> None:
    variables = [variable("hidden_1/kernel", 1.0), variable("embedding_1/embeddings", 0.0, value)]
    with pytest.raises(TrainingError, match=r"epoch 3.*embedding_1/embeddings holds values that"):
        divergence.check(3, LOSSES, variables, 0.1)
