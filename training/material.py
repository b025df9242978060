"""The rows of a retraining: new ones, and old ones against forgetting.

All have the deployed model's columns, those of its source tables and its features.py included.
Here: reading both, splitting the new ones by the project's own rule, drawing old ones. Not here:
what is done with them (retrain.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared import arrivals, tables, values
from shared.arrivals import Arrivals
from shared.bundle import Bundle
from shared.errors import DataError, ProjectError
from shared.features import complete_table
from shared.problem import Problem, Split
from shared.schema import Column
from shared.values import Columns
from training import data, duel, streaming
from training.data import LEAST_ROWS, Data, Part
from training.environment import Environment

NEW = "new"
SPLITS = ("training", "test")


@dataclass(frozen=True)
class Material:
    """The rows of a retraining.

    Args:
        parts: of the new rows: training, validation and test.
        old: of the project's data: training and test, 200,000 rows of each at most.
        rehearsed: the old training rows that are learnt again.
        dropped: how many new rows had no target.
    """

    parts: Mapping[str, Part]
    old: Mapping[str, Part]
    rehearsed: Part
    dropped: int

    @property
    def new(self) -> Columns:
        """The columns of all new rows."""
        return _joined(*(part.columns for part in self.parts.values()))

    @property
    def counts(self) -> str:
        """How many rows there are of each kind, in words."""
        new = ", ".join(f"{len(part):,} {name}" for name, part in self.parts.items())
        dropped = f"; {self.dropped:,} without a target dropped" if self.dropped else ""
        return f"of the new rows: {new}{dropped}; {len(self.rehearsed):,} old rows learnt again"

    def data(self, deployed: Bundle) -> Data:
        """What the challenger learns from and is measured on, as any training has it."""
        new, old = self.parts["training"], self.rehearsed
        together = np.concatenate([new.target, old.target])
        training = Part(_joined(new.columns, old.columns), together)
        parts = {**self.parts, "training": training}
        return Data(
            deployed.schema, parts, deployed.sources, self.dropped, features=deployed.features
        )


def read(
    job: Environment, problem: Problem, deployed: Bundle, *, old_share: float, seed: int
) -> Material:
    """The new rows and the old ones, each split before anything else.

    Args:
        job: with the channels `new` and `train`.
        problem: its split is obeyed.
        deployed: the model that goes on learning.
        old_share: the share of old rows among those learnt from, as far as there are so many.
        seed: of their choice.

    Raises:
        DataError: rows are missing, are too few, or are not what the model was made for.
    """
    schema = deployed.schema
    arrived = arrivals.read(job.channel(NEW), schema, "the new rows")
    parts = _parts(arrived, deployed, split_new(arrived, problem.split))
    for name, part in parts.items():
        if len(part) < LEAST_ROWS[name]:
            raise DataError(
                f"{len(arrived)} new rows leave {len(part)} for {name}; {LEAST_ROWS[name]} or more "
                "are needed",
                where="the new rows",
                cure="Bring more rows",
            )
    duel.refuse_unjudgeable(schema.target, parts["test"].target)
    old = _old(job.table("train"), problem.split, deployed)
    count = round(len(parts["training"]) * old_share / (1.0 - old_share))
    drawn = np.random.Generator(np.random.Philox(key=seed)).permutation(len(old["training"]))
    rehearsed = old["training"].take(np.sort(drawn[:count]))
    return Material(parts, old, rehearsed, arrived.dropped)


def _old(place: Path | str, how: Split, deployed: Bundle) -> dict[str, Part]:
    """Training and test rows of the project's data; of very many those that a stream would keep.

    Only they are ever in memory: the data is read in blocks, first the target and what the split
    needs.
    """
    schema, where = deployed.schema, "the project's data"
    arrivals.require(tables.column_names(place), schema, where)
    needed = {"time": [str(how.time)], "column": [str(how.column)]}.get(how.by, [])
    table = tables.read(place, [schema.target.name, *needed])
    there, answers = arrivals.labelled(table, schema.target, where)
    rows = data.split(table.filter(there), how)
    for name in SPLITS:
        if len(rows[name]) < LEAST_ROWS[name]:
            raise DataError(
                f"the {name} split has {len(rows[name])} rows",
                where=where,
                cure="Move the limits or shares of the split",
            )
    kept = {name: streaming.held(rows[name], how.seed) for name in SPLITS}
    places = np.flatnonzero(there)
    found: dict[str, list[Columns]] = {name: [] for name in SPLITS}
    start = 0
    for block in tables.blocks(place):
        for name, chosen in kept.items():
            at = places[chosen] - start
            at = at[(at >= 0) & (at < block.num_rows)]
            own = tables.to_columns(block.take(at), schema.columns, where)
            found[name].append(_complete(own, deployed, at + start, where))
        start += block.num_rows
    return {name: Part(_joined(*found[name]), answers[kept[name]]) for name in SPLITS}


def split_new(arrived: Arrivals, how: Split) -> dict[str, data.Rows]:
    """The project's own rule for rows that came after its data.

    By time: the last rows are held out, those before them validate. By column: what the column
    says, where there is one. Else at random. The shares are `validation` and `test` of the split.

    Raises:
        DataError: the split's column says nothing or nonsense, or the times are all alike.
    """
    if how.by == "time":
        return data.split(arrived.table, _limits(arrived, how))
    if how.by == "column" and how.column in arrived.table.column_names:
        return data.split(arrived.table, how)
    return data.split(
        arrived.table, Split("random", validation=how.validation, test=how.test, seed=how.seed)
    )


def _limits(arrived: Arrivals, how: Split) -> Split:
    """The same split with limits that lie within the new rows."""
    name = str(how.time)
    if name not in arrived.table.column_names:
        raise DataError("the split needs this column", where=f"the new rows, column {name!r}")
    column = Column(name=name, kind="datetime")
    time = tables.to_columns(arrived.table, [column], "the new rows")[name]
    known = np.sort(time[~values.is_missing(time)])
    last = len(known) - 1
    cuts = [round(len(known) * (1.0 - how.test - kept)) for kept in (how.validation, 0.0)]
    try:
        first, second = (str(known[min(cut, last)]) for cut in cuts)
        return dataclasses.replace(how, validation_from=first, test_from=second)
    except (ValueError, ProjectError):
        raise DataError(
            "too few different times to hold the last rows out",
            where=f"the new rows, column {name!r}",
            cure="Bring rows of more moments",
        ) from None


def _parts(arrived: Arrivals, deployed: Bundle, rows: Mapping[str, data.Rows]) -> dict[str, Part]:
    where = "the new rows that have a target"
    columns = _complete(arrived.columns, deployed, np.arange(len(arrived)), where)
    whole = Part(columns, arrived.target)
    return {name: whole.take(places) for name, places in rows.items()}


def _complete(own: Columns, deployed: Bundle, rows: data.Rows, where: str) -> Columns:
    """With the columns of the deployed model's sources and of its features.py."""
    return complete_table(own, deployed.sources, deployed.features, rows=rows, where=where)


def _joined(*columns: Columns) -> Columns:
    return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
