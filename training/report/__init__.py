"""The report of a training job, and the figures behind it.

    report.html        one page that opens offline
    figures.json       all that the page says
    trials.json        the search
    metrics.json       the scores as SageMaker's Model Registry and Model Monitor read them
    constraints.json   what a monitored model must not fall below, likewise

Here: Content, and writing it. Not here: how the page looks (page.py), nor what is said (outcome.py,
evaluation/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared import documents, files
from training.evaluation.diagnosis import Diagnosis, History
from training.outcome import Assessment
from training.report.page import html
from training.tuning import Trial

__all__ = ["Content", "html", "write"]


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the report says.

    Args:
        title: the project's name.
        facts: what else to state, by name.
        assessment: scores, and all that follows from the answers.
        cautions: what to hold against the data and the scores.
        history: of the final fit.
        diagnosis: of the final fit.
        trials: of the search; none if there was none.
        importance: of the hyperparameters searched, where there are trials enough to tell.
        hyperparameters: of the final fit.
        resolved: what those became that are "auto".
    """

    title: str
    facts: Mapping[str, object]
    assessment: Assessment
    cautions: Sequence[str]
    history: History
    diagnosis: Diagnosis
    trials: Sequence[Trial]
    importance: Mapping[str, float]
    hyperparameters: Mapping[str, object]
    resolved: Mapping[str, object]


def write(folder: Path, content: Content) -> None:
    """Write the report and its documents into a folder, made if need be.

    Raises:
        StorageError: the disk refuses.
    """
    figures = documents.plain(content)
    parts = {
        "figures.json": figures,
        "trials.json": figures.pop("trials"),
        "metrics.json": figures["assessment"].pop("quality"),
        "constraints.json": figures["assessment"].pop("constraints"),
    }
    for name, part in parts.items():
        files.write(folder / name, documents.dumps(part, indent=1).encode())
    files.write(folder / "report.html", html(content).encode())
