"""Going on from a deployed model: the settings of a retraining, and what came of one.

Both travel as JSON: the settings beside project.json in the channel ``project``, the outcome in the
challenger's bundle, where digests seal it. Here: what they hold. Not here: how it is trained and
decided (training/retrain.py), nor who deploys it (infra/commands/retrain.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared import documents
from shared.errors import BundleError, ProjectError

SETTINGS = "retraining.json"
OUTCOME = "retraining.json"


@dataclass(frozen=True)
class Retraining:
    """How a retraining learns, and when its model takes the deployed one's place.

    Args:
        epochs: on the new rows, at most.
        learning_rate_factor: times the learning rate of the deployed model.
        old_share: the share of old rows among the rows learnt from, 0 to less than 1.
        margin: what the challenger must win by: in AUC or accuracy, or for a number as a share of
            the champion's error.
        confidence: that the win is more than chance, 0.5 (any win counts) to less than 1.

    Raises:
        ProjectError: a value is out of bounds.
    """

    epochs: int = 5
    learning_rate_factor: float = 0.3
    old_share: float = 0.8
    margin: float = 0.001
    confidence: float = 0.95

    def __post_init__(self) -> None:
        allowed = {
            "epochs": (1 <= self.epochs <= 10_000, "from 1 to 10000"),
            "learning_rate_factor": (0 < self.learning_rate_factor <= 10, "above 0, 10 at most"),
            "old_share": (0 <= self.old_share < 1, "0 or more and less than 1"),
            "margin": (0 <= self.margin < 1, "0 or more and less than 1"),
            "confidence": (0.5 <= self.confidence < 1, "0.5 or more and less than 1"),
        }
        for name, (fits, wanted) in allowed.items():
            if not fits:
                raise ProjectError(
                    f"{getattr(self, name)} is not allowed; it must be {wanted}",
                    where=f"retraining.{name}",
                )

    def to_json(self) -> str:
        """The settings as JSON text."""
        return documents.dumps(self, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = SETTINGS) -> Retraining:
        """Read what `to_json` wrote; unknown keys are refused.

        Raises:
            ProjectError: the text holds no such settings.
        """
        return documents.decode(cls, documents.loads(text, where), where)


@dataclass(frozen=True)
class Shift:
    """How the new rows of one column differ from what the transforms were fitted on.

    Args:
        column: its name.
        what: "unknown" levels, values "outside" the fitted range, or "missing" values.
        old: the share of old training rows of which it is so.
        new: the share of new rows.
        words: what that means, where it is more than a little.
    """

    column: str
    what: Literal["unknown", "outside", "missing"]
    old: float
    new: float
    words: str | None = None


@dataclass(frozen=True)
class Decision:
    """Whether the challenger takes the champion's place, and why.

    Args:
        metric: the figure that decides, on the new rows held out.
        champion, challenger: its values.
        gain: what the challenger wins by; negative where it loses. For an error a share of the
            champion's.
        chance: the standard error of the gain.
        rows: how many were held out.
        deploy: the decision.
        words: all of it in a sentence.
    """

    metric: str
    champion: float
    challenger: float
    gain: float
    chance: float
    rows: int
    deploy: bool
    words: str


@dataclass(frozen=True)
class Outcome:
    """What came of a retraining.

    Args:
        champion: digest of the bundle that it started from.
        settings: as used.
        rows: how many of each kind.
        scores: of "champion" and "challenger", on "new" and "old" rows that neither learnt from, by
            metric.
        shifts: how the new rows differ, by column.
        decision: who serves.
        memory: how the two compare on old rows, in a sentence.
    """

    champion: str
    settings: Retraining
    rows: Mapping[str, int]
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    shifts: tuple[Shift, ...]
    decision: Decision
    memory: str

    def to_json(self) -> str:
        """The outcome as JSON text."""
        return documents.dumps(self, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = OUTCOME) -> Outcome:
        """Read what `to_json` wrote.

        Raises:
            BundleError: the text is no outcome of a retraining.
        """
        return documents.decode(cls, documents.loads(text, where, BundleError), where, BundleError)
