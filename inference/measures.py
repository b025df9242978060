"""How well the model of the small application does: requests, times, and answers that came true.

Counts of one process, in memory. What the endpoint's server counts is not this.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

from inference.handler import Answer
from shared.errors import InputError
from shared.predictions import Predictions

REMEMBERED = 10_000
"""Requests whose outcomes can still be told."""


class Measures:
    """Counts; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, Predictions] = OrderedDict()
        self._refused: Counter[str] = Counter()
        self._nanoseconds: Counter[str] = Counter()
        self._requests = self._rows = self._told = 0
        self._score = 0.0
        self._metric = ""

    def answered(self, request_id: str, answer: Answer) -> None:
        """Count one good answer; its outcomes may be told under `request_id`."""
        with self._lock:
            self._requests += 1
            self._rows += rows_of(answer)
            self._nanoseconds.update(answer.nanoseconds._asdict())
            self._waiting[request_id] = answer.predictions
            if len(self._waiting) > REMEMBERED:
                self._waiting.popitem(last=False)

    def refused(self, code: str) -> None:
        """Count one request that was not answered."""
        with self._lock:
            self._refused[code] += 1

    def outcomes(self, request_id: str, truths: Sequence[Any]) -> int:
        """Compare what came true with what was predicted, once for each request.

        Args:
            request_id: of the prediction.
            truths: a label or a number a row; None where it is not known.

        Returns:
            How many were counted.

        Raises:
            InputError: nothing was predicted under this id, or a truth is none of the target.
        """
        with self._lock:
            found = self._waiting.get(request_id)
            if found is None:
                raise InputError(
                    "unknown_request",
                    "No prediction waits for its outcomes under this request id",
                    status=404,
                    cure=f"Outcomes are taken once, for the last {REMEMBERED:,} requests",
                )
            scores = _scores(found, truths)
            del self._waiting[request_id]
            self._told += len(scores)
            self._score += sum(scores)
            self._metric = "accuracy" if found.target.classes else "mean_absolute_error"
            return len(scores)

    def report(self) -> dict[str, Any]:
        """All of it; times are means of a request, in milliseconds."""
        with self._lock:
            each = max(self._requests, 1)
            told = {self._metric: self._score / self._told} if self._told else {}
            return {
                "requests": self._requests,
                "rows": self._rows,
                "refused": dict(self._refused),
                "milliseconds": {
                    stage: round(total / each / 1e6, 4)
                    for stage, total in self._nanoseconds.items()
                },
                "outcomes": self._told,
                **told,
            }


def rows_of(answer: Answer) -> int:
    """Rows of a request."""
    return sum(len(encoded.codes) for _, encoded in answer.parts)


def _scores(found: Predictions, truths: Sequence[Any]) -> list[float]:
    """Of each known truth whether it was predicted, or by how much it was missed."""
    records = found.to_records()
    if len(truths) != len(records):
        raise InputError(
            "wrong_shape",
            f"{len(truths)} outcomes for {len(records)} predictions",
            cure="Send one for each row, null where it is not known",
        )
    scores = []
    for row, (record, truth) in enumerate(zip(records, truths, strict=True)):
        if truth is None:
            continue
        if found.target.classes:
            _known(truth, found.target.classes, row)
            scores.append(float(record["label"] == truth))
        else:
            if isinstance(truth, bool) or not isinstance(truth, int | float):
                raise InputError("wrong_type", "a number is needed", row=row)
            scores.append(abs(record["value"] - truth))
    return scores


def _known(truth: object, classes: Sequence[object], row: int) -> None:
    if not any(truth == each and type(truth) is type(each) for each in classes):
        raise InputError(
            "unknown_class",
            "the outcome is none of the classes",
            row=row,
            cure=f"They are {', '.join(map(str, classes)):.200}",
        )
