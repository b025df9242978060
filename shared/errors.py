"""The exception tree. Every error a person may see is one of these.

    KitError                  what happened, where, and what to do
    ├── ProjectError          project.toml or the project's settings
    ├── DataError             a table, a file, a row, a column
    ├── InputError            a client's mistake in a request (4xx)
    ├── HyperparameterError   an unknown name or a value out of bounds
    ├── CheckpointError       a checkpoint that cannot be written or trusted
    ├── BundleError           a model bundle that cannot be written or trusted
    ├── StorageError          S3 or the disk
    ├── TrainingError         training cannot go on
    ├── DeploymentError       a step of a deployment failed
    └── LocalCloudError       the local cloud cannot start or be reached

A command prints ``str(error)`` and exits with 1. A training job writes it to the failure file. The
server answers an InputError with its status and everything else with 500.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_MISTAKES = 20
"""So many mistakes of one request are told at most."""


class KitError(Exception):
    """An error written for the person who will read it.

    Args:
        message: what happened, as a sentence without a full stop.
        where: the file, key, row, column or resource concerned.
        cure: what to do about it.
    """

    def __init__(self, message: str, *, where: str | None = None, cure: str | None = None) -> None:
        self.message = message
        self.where = where
        self.cure = cure
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}. {self.cure}" if self.cure else text


class ProjectError(KitError):
    """project.toml, or a setting that comes from it, is wrong."""


class DataError(KitError):
    """A table cannot be read, or holds what it must not."""


class InputError(KitError):
    """A client's mistake in one request.

    Args:
        code: a short stable word for programs, such as ``unknown_column``.
        row: zero-based index of the record in the request.
        column: name of the column.
        status: the HTTP status, between 400 and 499.
        others: further mistakes of the same request, MAX_MISTAKES in all with this one.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        row: int | None = None,
        column: str | None = None,
        status: int = 400,
        cure: str | None = None,
        others: tuple[InputError, ...] = (),
    ) -> None:
        place = [f"row {row}"] if row is not None else []
        if column is not None:
            place.append(f"column {column!r}")
        super().__init__(message, where=", ".join(place) or None, cure=cure)
        self.code = code
        self.row = row
        self.column = column
        self.status = status
        self.others = others


class HyperparameterError(KitError):
    """A hyperparameter is unknown, of the wrong type or out of bounds."""


class CheckpointError(KitError):
    """A checkpoint cannot be written, or none can be trusted."""


class BundleError(KitError):
    """A model bundle cannot be written, or cannot be trusted."""


class StorageError(KitError):
    """S3 or the disk refused, or gave back something else than was stored.

    Args:
        lost: what was asked for is not there or damaged, and will be so the next time; any other
            refusal may pass, and says nothing about the content.
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        cure: str | None = None,
        lost: bool = False,
    ) -> None:
        super().__init__(message, where=where, cure=cure)
        self.lost = lost


class TrainingError(KitError):
    """Training cannot go on."""


class DeploymentError(KitError):
    """A step of a deployment failed."""


class LocalCloudError(KitError):
    """The local cloud cannot start, or cannot be reached."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest of `known`, or lists them all when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}" if names else "None are known"
