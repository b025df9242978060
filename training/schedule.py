"""The learning rate of every step, as a function of the epoch and of the validation losses so far.

Nothing is remembered: a run that is resumed computes the rates that it would have had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FALL = 0.3


@dataclass(frozen=True)
class Schedule:
    """constant; cosine, which falls to 0 over the epochs; or plateau.

    plateau multiplies the rate by 0.3 after each half of `patience` epochs (rounded up) that
    brought no better validation loss, so that it falls before patience ends the training.

    Args:
        kind: constant, cosine or plateau.
        highest: the learning rate.
        epochs: at most; the cosine ends there.
        warmup: epochs in which the rate rises from 0 on a line; they may be a fraction.
        patience: epochs without a better validation loss before stopping.
    """

    kind: str
    highest: float
    epochs: int
    warmup: float
    patience: int

    def rates(self, done: int, steps: int, val_losses: Sequence[float]) -> npt.NDArray[np.float32]:
        """The rate of each step of the next epoch: float32 [steps].

        Args:
            done: epochs done.
            steps: of an epoch.
            val_losses: of the epochs done.
        """
        begun = done + np.arange(steps) / steps
        factor = np.ones(steps)
        if self.kind == "cosine":
            left = max(self.epochs - self.warmup, 1.0 / steps)
            share = np.clip((begun - self.warmup) / left, 0.0, 1.0)
            factor = 0.5 * (1.0 + np.cos(math.pi * share))
        elif self.kind == "plateau":
            factor *= FALL ** self._falls(val_losses)
        if self.warmup:
            factor *= np.minimum((begun + 1.0 / steps) / self.warmup, 1.0)
        return (self.highest * factor).astype(np.float32)

    def _falls(self, val_losses: Sequence[float]) -> int:
        falls, waited, best = 0, 0, math.inf
        for loss in val_losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited == math.ceil(self.patience / 2):
                falls, waited = falls + 1, 0
        return falls
