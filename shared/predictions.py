"""The network's outputs → answers in the target's own labels and units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import BundleError
from shared.schema import Target
from shared.transforms import TargetTransform

_NOTHING = np.empty(0)
_NO_CHOICE = np.empty(0, dtype=np.int64)


@dataclass(eq=False)
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

    def __len__(self) -> int:
        return len(self.values if self.target.task == "regression" else self.choice)

    def to_records(self) -> list[dict[str, Any]]:
        """One JSON object a row.

        binary ``{"label", "score", "scores": {label: probability}}``, the score being the
        probability of classes[1]; multiclass the same, the score being that of the label;
        regression ``{"value"}``.
        """
        return self._records

    def part(self, rows: slice) -> Predictions:
        """Those of some of the rows."""
        return Predictions(self.target, self.values[rows], self.choice[rows], self.scores[rows])

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        if self.target.task == "regression":
            return [{"value": value} for value in self.values.tolist()]
        classes, names = self.target.classes, self.target.class_names
        labels = [classes[index] for index in self.choice.tolist()]
        if self.target.task == "binary":
            negative, positive = names
            scores = self.scores[:, 0].tolist()
            return [
                {"label": label, "score": score, "scores": {negative: 1 - score, positive: score}}
                for label, score in zip(labels, scores, strict=True)
            ]
        return [
            {"label": label, "score": max(row), "scores": dict(zip(names, row, strict=True))}
            for label, row in zip(labels, self.scores.tolist(), strict=True)
        ]

    def to_columns(self) -> dict[str, npt.NDArray[Any]]:
        """The same column by column: label, score, and ``scores.<class>`` of each; or value.

        Labels are bool, int64 or objects of str; all else is float64.
        """
        if self.target.task == "regression":
            return {"value": self.values}
        scores, classes = self.scores, self.target.classes
        score = scores[:, 0] if self.target.task == "binary" else scores.max(axis=1)
        if self.target.task == "binary":
            scores = np.column_stack([1 - score, score])
        texts = any(isinstance(label, str) for label in classes)
        labels = np.array(self.target.class_names if texts else classes, object if texts else None)
        columns = {"label": labels[self.choice], "score": score}
        for place, name in enumerate(self.target.class_names):
            columns[f"scores.{name}"] = scores[:, place]
        return columns


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
    if target.task == "regression":
        values = target_transform.decode(scores)
        return Predictions(target, values, _NO_CHOICE, _NOTHING)
    if target.task == "binary":
        choice = (scores[:, 0] >= target.threshold).astype(np.int64)
    else:
        choice = np.argmax(scores, axis=1).astype(np.int64)
    return Predictions(target, _NOTHING, choice, scores)
