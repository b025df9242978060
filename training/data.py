"""Channels → training, validation and test rows, split before anything is fitted.

Here: reading the channels, dropping rows without a target, finding the classes, the split, the
join with the sources, and the refusal of data that cannot be learnt from. Not here: how a table is
read (shared/tables.py), joined (shared/sources.py) or encoded (shared/transforms.py), nor how data
larger than memory is gone through (streaming.py).

Rows whose target is missing are dropped and counted, never guessed: a flight that was cancelled has
no arrival to predict, and in real tables such rows are common.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared import purity, tables, values
from shared.errors import DataError, ProjectError, nearest
from shared.feature_rules import FILE, digest
from shared.features import Features, complete_table
from shared.inferring import infer_target
from shared.problem import Problem, Split
from shared.schema import Column, Schema, Target
from shared.sources import SourceTable
from shared.transforms import Transforms
from shared.values import Columns
from training import streaming
from training.environment import SOURCE_PREFIX, Environment
from training.streaming import Stream

if TYPE_CHECKING:
    import pyarrow

LEAST_ROWS = {"training": 20, "validation": 2, "test": 2}
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Rows of one split: own and source columns, and the target [n].

    The target is int64 class numbers, or float64 in its own unit for regression.
    """

    columns: Columns
    target: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: Rows) -> Part:
        """The rows at these places."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Part(columns, self.target[rows])


@dataclass(frozen=True)
class Data:
    """What a job learns from.

    Args:
        schema: with the target's classes, as found.
        parts: training, validation and test; no row is in two.
            Where the data is streamed, those of its rows that are kept in memory: of each split a
            sample, where it is large.
        tables: the sources, ready to travel in the bundle.
        dropped: how many rows had no target.
        stream: where all training rows come from, if they do not fit into memory.
        transforms: as fitted on all training rows, if they are streamed.
        features: what makes some of the columns, if the project has it.
    """

    schema: Schema
    parts: Mapping[str, Part]
    tables: tuple[SourceTable, ...]
    dropped: int
    stream: Stream | None = None
    transforms: Transforms | None = None
    features: Features | None = None

    @property
    def train(self) -> Part:
        """The rows that everything is fitted on."""
        return self.parts["training"]

    @property
    def validation(self) -> Part:
        """The rows to stop and choose by."""
        return self.parts["validation"]

    @property
    def counts(self) -> str:
        """How many rows each split has, and how many were dropped, in words."""
        kept = {name: len(part) for name, part in self.parts.items()}
        rows = self.stream.rows if self.stream else kept
        text = ", ".join(f"{count:,} {name}" for name, count in rows.items())
        if self.dropped:
            text += f"; {self.dropped:,} without a target dropped"
        if self.stream:
            scored = " and ".join(f"{kept[name]:,} {name}" for name in ("validation", "test"))
            text += f"; streamed from disk, scored on {scored} rows"
        return text


def read(environment: Environment, problem: Problem) -> Data:
    """Read the channels and split.

    Raises:
        DataError: a channel or file is missing or unreadable, the target or the split's column is
            not there, a split is empty or too small, or the training rows hold one class only.
        ProjectError: features.py is not there, or wrong.
    """
    place = environment.table("train")
    if "train" in environment.sharded and len(environment.hosts) > 1:
        raise DataError(
            "each instance has only its own files, but all have to know all rows",
            where="channel 'train'",
            cure="Set S3DataDistributionType = FullyReplicated",
        )
    names, target, how = tables.column_names(place), problem.target, problem.split
    _require(names, target.name, "the target is not a column of the data")
    needed = [str(name) for name in {"time": [how.time], "column": [how.column]}.get(how.by, [])]
    for name in needed:
        _require(names, name, "the split needs this column")
    schema = problem.schema(target)
    features = _features(environment, problem, schema)
    width = len(names) + len(schema.source_columns) + len(schema.made_columns)
    streamed = streaming.wanted(tables.cells(place) // len(names) * width, environment.memory)
    table = tables.read(place, [target.name, *needed] if streamed else None)
    # Before rows are dropped, so that a mistake is counted as the file counts it.
    own = {} if streamed else tables.to_columns(table, problem.columns, "train")
    if target.task != "regression" and not target.classes:
        target = dataclasses.replace(
            infer_target(table, target.name, target.task), threshold=target.threshold
        )
    labelled = _labelled(table, target)
    table = table.filter(labelled)
    answers = tables.target_values(table, target)
    rows = split(table, how)
    _check(rows, answers, target, how)
    looked_up = tuple(
        SourceTable.build(source, tables.read(environment.table(SOURCE_PREFIX + source.name)))
        for source in problem.sources
    )
    dropped = int(np.count_nonzero(~labelled))
    found = Data(problem.schema(target), {}, looked_up, dropped, features=features)
    if streamed:
        del table
        return _streamed(found, problem, place, labelled=labelled, answers=answers, rows=rows)
    numbers = np.flatnonzero(labelled)
    columns = complete_table(
        {name: a[numbers] for name, a in own.items()},
        looked_up,
        features,
        rows=numbers,
        where="train",
    )
    if features is not None:
        purity.prove(features, columns, found.schema, numbers)
    parts = {
        name: Part({column: array[places] for column, array in columns.items()}, answers[places])
        for name, places in rows.items()
    }
    return dataclasses.replace(found, parts=parts)


def _streamed(
    found: Data,
    problem: Problem,
    location: Path | str,
    *,
    labelled: npt.NDArray[np.bool_],
    answers: npt.NDArray[Any],
    rows: Mapping[str, Rows],
) -> Data:
    """The same where the data does not fit into memory: rows kept, transforms fitted."""
    uses = np.zeros(len(labelled), dtype=np.uint8)
    places = np.flatnonzero(labelled)
    kept = {name: streaming.held(rows[name], problem.split.seed) for name in rows}
    uses[places[rows["training"]]] = streaming.LEARN
    for name, chosen in kept.items():
        uses[places[chosen]] |= streaming.KEEP[name]
    stream = Stream(
        location,
        problem.columns,
        found.tables,
        uses,
        answers[np.sort(rows["training"])],
        {name: len(chosen) for name, chosen in rows.items()},
        found.features,
    )
    transforms, columns = stream.survey(found.schema)
    parts = {name: Part(columns[name], answers[chosen]) for name, chosen in kept.items()}
    return dataclasses.replace(found, parts=parts, stream=stream, transforms=transforms)


def _features(job: Environment, problem: Problem, schema: Schema) -> Features | None:
    """The project's features.py, which came with the code.

    Raises:
        ProjectError: it is not there, is another than the project's, or is wrong.
    """
    if problem.features is None:
        return None
    try:
        source = job.features.read_bytes()
    except OSError as error:
        raise ProjectError(
            f"cannot be read: {error.strerror}",
            where=str(job.features),
            cure=f"By hand: --features path/to/{FILE}",
        ) from None
    if digest(source) != problem.features.sha256:
        raise ProjectError(
            "is another than project.json speaks of",
            where=str(job.features),
            cure=f"Bring code and project.json of one project, and of one state of its {FILE}",
        )
    return Features(source, schema)


def split(table: pyarrow.Table, how: Split) -> dict[str, Rows]:
    """Places of the training, validation and test rows: ascending; by time, in the order of time.

    Raises:
        DataError: the split's column is not there, or a row of it says nothing or nonsense.
    """
    if how.by == "time":
        return _by_time(table, how)
    if how.by == "column":
        return _by_column(table, how)
    order = _shuffled(np.arange(table.num_rows), how.seed)
    test = round(how.test * len(order))
    validation = test + round(how.validation * len(order))
    return {
        "training": np.sort(order[validation:]),
        "validation": np.sort(order[test:validation]),
        "test": np.sort(order[:test]),
    }


def folds(found: Data, how: Split, count: int) -> list[Data]:
    """The folds of a cross-validation, each with training and validation rows of its own.

    Split at random: the training and validation rows are dealt out at random, each class evenly;
    every row validates once. Split by column: so are the training rows; those that the column sets
    apart stay apart. Split by time: windows that expand. The training and validation rows in the
    order of time make count + 1 blocks; each but the first validates once, after a training on all
    blocks before it and on none after.

    Raises:
        DataError: a fold has too few rows, or the data is streamed.
    """
    if found.stream:
        raise DataError(
            "folds need all rows in memory, and these do not fit",
            where=f"tuning, folds = {count}",
            cure="Set folds = 1 (with so many rows it ranks trials as well), or take an instance "
            "with more memory",
        )
    rows = found.train
    if how.by != "column":
        rows = _together(found.train, found.validation)
    places = np.arange(len(rows))
    if how.by == "time":
        blocks = np.array_split(places, count + 1)
        cuts = [(np.concatenate(blocks[:i]), blocks[i]) for i in range(1, count + 1)]
    else:
        order = _shuffled(places, how.seed)
        if found.schema.target.task != "regression":
            order = order[np.argsort(rows.target[order], kind="stable")]
        fold_of = np.empty(len(rows), dtype=np.int64)
        fold_of[order] = places % count
        cuts = [(places[fold_of != fold], places[fold_of == fold]) for fold in range(count)]
    least = LEAST_ROWS["training"], LEAST_ROWS["validation"]
    for training, validation in cuts:
        if len(training) < least[0] or len(validation) < least[1]:
            raise DataError(
                f"a fold has {len(training)} rows to train on and {len(validation)} to validate "
                f"on; {least[0]} and {least[1]} or more are needed",
                where=f"tuning, folds = {count}",
                cure="Use fewer folds, or bring more rows",
            )
    return [
        dataclasses.replace(
            found, parts={"training": rows.take(training), "validation": rows.take(validation)}
        )
        for training, validation in cuts
    ]


def _together(first: Part, second: Part) -> Part:
    columns = {
        name: np.concatenate([values, second.columns[name]])
        for name, values in first.columns.items()
    }
    return Part(columns, np.concatenate([first.target, second.target]))


def _by_time(table: pyarrow.Table, how: Split) -> dict[str, Rows]:
    name = str(how.time)
    time = _column(table, Column(name=name, kind="datetime"))
    absent = int(values.is_missing(time).sum())
    if absent:
        raise DataError(
            f"{absent} rows have no time, so they belong to no split",
            where=f"train, column {name!r}",
            cure="Remove them, or split at random or by a column",
        )
    limits = [how.validation_from or "", how.test_from or ""]
    validation_from, test_from = values.from_texts("datetime", limits)
    order = np.argsort(time, kind="stable")
    time = time[order]
    return {
        "training": order[time < validation_from],
        "validation": order[(time >= validation_from) & (time < test_from)],
        "test": order[time >= test_from],
    }


def _by_column(table: pyarrow.Table, how: Split) -> dict[str, Rows]:
    name = str(how.column)
    says = _column(table, Column(name=name, kind="category"))
    words = {"train": "training", "validation": "validation", "test": "test"}
    odd = sorted({str(value) for value in set(says.tolist()) - words.keys()})
    if odd:
        raise DataError(
            f"it holds {', '.join(odd[:5])}, but says only train, validation or test",
            where=f"train, column {name!r}",
        )
    rows = {ours: np.flatnonzero(says == theirs) for theirs, ours in words.items()}
    if not len(rows["validation"]):
        order = _shuffled(rows["training"], how.seed)
        share = round(how.validation * len(order))
        rows["training"], rows["validation"] = np.sort(order[share:]), np.sort(order[:share])
    return rows


def _shuffled(rows: Rows, seed: int) -> Rows:
    return np.random.Generator(np.random.Philox(key=seed)).permutation(rows)


def _column(table: pyarrow.Table, column: Column) -> npt.NDArray[Any]:
    return tables.to_columns(table, [column], "train")[column.name]


def _labelled(table: pyarrow.Table, target: Target) -> npt.NDArray[np.bool_]:
    """Which rows have a target."""
    column = Column(name=target.name, kind=tables.target_kind(target))
    absent = values.is_missing(tables.to_columns(table, [column], "train")[target.name])
    if absent.all():
        raise DataError("no row has a target", where=f"train, column {target.name!r}")
    return ~absent


def _require(names: Sequence[str], name: str, message: str) -> None:
    if name not in names:
        raise DataError(message, where=f"train, column {name!r}", cure=nearest(name, names))


def _check(rows: dict[str, Rows], answers: npt.NDArray[Any], target: Target, how: Split) -> None:
    for name, places in rows.items():
        if len(places) < LEAST_ROWS[name]:
            raise DataError(
                f"the {name} split has {len(places)} rows; {LEAST_ROWS[name]} or more are needed",
                where=f"the split by {how.by}",
                cure="Move its limits or shares, or bring more rows",
            )
    if target.task == "regression":
        if np.ptp(answers[rows["training"]]) == 0:
            raise DataError(
                "all training rows have the same value", where=f"target {target.name!r}"
            )
        return
    counts = np.bincount(answers[rows["training"]], minlength=len(target.classes))
    if np.count_nonzero(counts) == 1:
        only = target.classes[int(np.argmax(counts))]
        raise DataError(
            f"all training rows are of one class, {only!r}: there is nothing to learn",
            where=f"target {target.name!r}",
            cure="Check the target and the limits of the split",
        )
    _refuse_unlearnt(counts, target.classes, target.name)


def _refuse_unlearnt(counts: npt.NDArray[np.int64], classes: Sequence[object], name: str) -> None:
    unlearnt = [repr(label) for label, count in zip(classes, counts, strict=True) if not count]
    if unlearnt:
        raise DataError(
            f"no training row is of class {', '.join(unlearnt[:5])}",
            where=f"target {name!r}",
            cure="Move the limits of the split, or remove the rows of these classes",
        )
