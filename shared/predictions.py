"""The network's outputs → answers in the target's own labels and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import BundleError
from shared.schema import Target
from shared.transforms import TargetTransform
from shared.values import text_of


@dataclass(frozen=True)
class Predictions:
    """Answers for n rows.

    Args:
        target: tells the task and the labels.
        values: regression: float64 [n] in the target's unit; else empty.
        choice: classes: int64 [n], index of the label answered; else empty.
        scores: binary: float64 [n, 1], probability of classes[1]; multiclass: float64 [n, C].
    """

    target: Target
    values: npt.NDArray[np.float64]
    choice: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]

    def to_records(self) -> list[dict[str, Any]]:
        """One JSON object a row.

        binary ``{"label", "score"}``, the score being the probability of classes[1]; multiclass
        ``{"label", "score", "scores": {label: probability}}``; regression ``{"value"}``.
        """
        if self.target.task == "regression":
            return [{"value": value} for value in self.values.tolist()]
        classes = self.target.classes
        labels = [classes[index] for index in self.choice.tolist()]
        if self.target.task == "binary":
            scores = self.scores[:, 0].tolist()
            return [
                {"label": label, "score": score}
                for label, score in zip(labels, scores, strict=True)
            ]
        names = [text_of(label) for label in classes]
        return [
            {"label": label, "score": max(row), "scores": dict(zip(names, row, strict=True))}
            for label, row in zip(labels, self.scores.tolist(), strict=True)
        ]


def decode(
    outputs: npt.NDArray[Any], target: Target, target_transform: TargetTransform
) -> Predictions:
    """Raw network outputs → predictions.

    Args:
        outputs: binary [n, 1], probability of classes[1]; multiclass [n, C]; regression [n, 1], the
            scaled target.
        target: with its classes.
        target_transform: as fitted in training.

    Raises:
        BundleError: the outputs have another shape, or are not finite.
    """
    width = len(target.classes) if target.task == "multiclass" else 1
    if outputs.ndim != 2 or outputs.shape[1] != width:
        raise BundleError(
            f"the network's outputs have the shape {outputs.shape}, not [n, {width}]",
            where=f"target {target.name!r}",
        )
    scores: npt.NDArray[np.float64] = outputs.astype(np.float64)
    finite = np.isfinite(scores)
    if np.count_nonzero(finite) < finite.size:
        row = int(np.argmax(~finite.all(axis=1)))
        raise BundleError(f"the network's output for row {row} is not finite", where="the model")
    none = np.empty(0)
    if target.task == "regression":
        values = target_transform.decode(scores)
        return Predictions(target, values, none.astype(np.int64), none)
    if target.task == "binary":
        choice = (scores[:, 0] >= target.threshold).astype(np.int64)
    else:
        choice = np.argmax(scores, axis=1).astype(np.int64)
    return Predictions(target, none, choice, scores)
