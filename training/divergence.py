"""Noticing that training has left the numbers: a loss or a weight that is not finite any more.

A weight can be infinite and the validation loss still finite (the level of a category that no
validation row has), and so can a moment of the optimizer: it then stops every step. So all of them
are looked at, not the loss alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from shared.errors import TrainingError


def check(
    epoch: int, losses: Mapping[str, float], variables: Iterable[Any], learning_rate: float
) -> None:
    """Look at what an epoch left.

    Args:
        epoch: from 1.
        losses: by name.
        variables: Keras's, of the model and of the optimizer.
        learning_rate: of the last step.

    Raises:
        TrainingError: something is not finite; it says what, where, and what to change.
    """
    broken = (variable for variable in variables if not np.isfinite(variable.numpy()).all())
    first = next(broken, None)
    if first is None and all(map(math.isfinite, losses.values())):
        return
    where = f"; {first.path} holds values that are not finite" if first is not None else ""
    values = ", ".join(f"{name} {value:g}" for name, value in losses.items())
    raise TrainingError(
        f"training diverged in epoch {epoch}: {values}{where}",
        cure=f"Lower learning_rate (it was {learning_rate:g}), or raise l2",
    )
