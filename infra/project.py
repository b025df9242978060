"""project.toml → typed, frozen settings. All mistakes of a file are told at once.

    read      the file alone: keys, types, durations; no data is looked at
    load      the same, checked against the data it names; columns inferred where none are written

The sections of the file are pydantic models in sections.py. What training is told too (columns,
split, search space, hyperparameters) is checked by shared's own rules, so that both sides refuse
the same things.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from infra import instances, modes, rollout
from infra.channels import local_files
from infra.mistakes import Mistakes, not_toml
from infra.sections import Aws, EndpointSection, ProjectFile, Table
from infra.tuning import refusals
from infra.units import share
from shared import documents, feature_rules, hyperparameters
from shared.errors import HyperparameterError, ProjectError, nearest
from shared.feature_rules import Declaration
from shared.hyperparameters import Choice, Hyperparameters, Range
from shared.problem import LISTED, Problem, Split, Tuning
from shared.retraining import Retraining
from shared.schema import Column, Target
from shared.sources import Source

if TYPE_CHECKING:
    from shared.inferring import Inference

FILE = "project.toml"
_COLUMN_KEYS = frozenset(Column.__dataclass_fields__) - {"name"}
_SPLIT_KEYS = {
    "time": {"by", "time", "validation_from", "test_from"},
    "random": {"by", "validation", "test", "seed"},
    "column": {"by", "column", "validation", "seed"},
}


@dataclass(frozen=True)
class Location:
    """Where a table lies: files of this machine, or an s3:// prefix."""

    text: str
    files: tuple[Path, ...] = ()

    @property
    def remote(self) -> bool:
        """Whether it is in S3."""
        return self.text.startswith("s3://")


@dataclass(frozen=True)
class Training:
    """Where and how long the training job runs. Seconds."""

    instance: str
    instance_count: int
    spot: bool
    max_runtime: int


@dataclass(frozen=True)
class Settings:
    """A project, checked against its data.

    Attributes:
        path: the project file.
        data: the table to learn from.
        sources: the tables to be looked up, by name.
        problem: what the training job is told.
        warm_start: tuning jobs with whose results the service's search begins.
        features: the project's features.py, if it has one.
        require_approval: whether a version serves only when somebody has approved it.
    """

    path: Path
    name: str
    data: Location
    sources: Mapping[str, Location]
    problem: Problem
    hyperparameters: Hyperparameters
    training: Training
    retraining: Retraining
    endpoint: EndpointSection
    aws: Aws
    warm_start: tuple[str, ...] = ()
    features: bytes | None = None
    require_approval: bool = False

    def encoded_hyperparameters(self) -> dict[str, str]:
        """The hyperparameters as a training job takes them: JSON texts."""
        return hyperparameters.encode(self.hyperparameters)

    def metrics(self) -> tuple[tuple[str, str], ...]:
        """Names and regular expressions of what SageMaker reads from the log."""
        return tuple((one["Name"], one["Regex"]) for one in hyperparameters.metric_definitions())


def find(project: str | Path) -> Path:
    """The project file that a directory, or the file itself, stands for.

    Raises:
        ProjectError: there is none.
    """
    path = Path(project)
    file = path / FILE if path.is_dir() else path
    if file.is_file():
        return file
    known = sorted(str(found.parent) for found in Path().glob(f"*/*/{FILE}"))
    raise ProjectError(
        "there is no project file here",
        where=str(file),
        cure=f"{nearest(str(path), known)}\nTo make one: make init DATA=table.csv LABEL=column",
    )


def read(project: str | Path) -> ProjectFile:
    """Read the file without looking at any data.

    Raises:
        ProjectError: it is not TOML, or has mistakes; all of them are told.
    """
    path = find(project)
    return _parse(path, Mistakes(str(path)))[0]


def load(project: str | Path) -> Settings:
    """Read the file and check it against the data it names.

    Raises:
        ProjectError: mistakes in the file; all of them are told.
    """
    path = find(project)
    mistakes = Mistakes(str(path))
    file, raw = _parse(path, mistakes)
    return _Checked(path, file, raw, mistakes).settings()


def _parse(path: Path, mistakes: Mistakes) -> tuple[ProjectFile, Table]:
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise not_toml(error, text, str(path)) from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"is not TOML: {error}", where=str(path)) from None
    except OSError as error:
        raise ProjectError(f"cannot be read: {error.strerror}", where=str(path)) from None
    try:
        return ProjectFile.model_validate(raw), raw
    except ValidationError as error:
        mistakes.add_invalid(ProjectFile, error, raw)
    mistakes.raise_if_any()
    raise AssertionError("pydantic refused the file without saying why")


class _Checked:
    """Checks a parsed file against its data and makes the settings."""

    def __init__(self, path: Path, file: ProjectFile, raw: Table, mistakes: Mistakes) -> None:
        self._path = path
        self._file = file
        self._mistakes = mistakes
        self._tables: dict[str, Any] = {}
        self._data = self._location("data.source", file.data.source)
        self._sources = {
            name: self._location(f"sources.{name}.table", section.table)
            for name, section in file.sources.items()
        }

    def settings(self) -> Settings:
        file = self._file
        columns, target = self._columns_and_target()
        split = self._split()
        sources = tuple(self._source(name) for name in file.sources)
        made = self._features()
        tuning = self._tuning()
        knobs = self._hyperparameters()
        self._check_instances(tuning, knobs)
        for refused in (
            *rollout.refusals(file.endpoint),
            *modes.refusals(file.endpoint, file.aws),
            *instances.refusals(
                {"training": file.training.instance, "endpoint": file.endpoint.instance}
            ),
        ):
            self._mistakes.add(refused.where or "endpoint", refused.message, refused.cure)
        self._check_network()
        self._mistakes.raise_if_any()
        assert target is not None
        assert split is not None
        threshold = file.training.threshold
        with self._mistakes.noted("data"):
            problem = Problem(
                name=file.name,
                columns=columns,
                target=target,
                split=split,
                sources=tuple(source for source in sources if source),
                tuning=tuning,
                threshold_rule=threshold if isinstance(threshold, str) else None,
                features=made[1] if made else None,
                container=file.endpoint.container,
            )
        self._mistakes.raise_if_any()
        return Settings(
            path=self._path,
            name=file.name,
            data=self._data,
            sources=self._sources,
            problem=problem,
            hyperparameters=knobs,
            training=Training(
                file.training.instance,
                file.training.instance_count,
                file.training.spot,
                round(file.training.max_runtime),
            ),
            retraining=Retraining(**file.retraining.model_dump()),
            endpoint=file.endpoint,
            aws=file.aws,
            warm_start=tuple(file.tuning.warm_start) if file.tuning else (),
            features=made[0] if made else None,
            require_approval=file.deploy.require_approval,
        )

    def _location(self, key: str, text: str) -> Location:
        if text.startswith("s3://"):
            return Location(text)
        with self._mistakes.noted(key):
            return Location(text, local_files(text, self._path.parent))
        return Location(text)

    def _table(self, key: str, location: Location) -> Any:
        """The table at a location, or None where it is in S3 or cannot be read."""
        if location.files and location.text not in self._tables:
            from shared import tables

            self._tables[location.text] = None
            with self._mistakes.noted(key):
                self._tables[location.text] = tables.read(location.files)
        return self._tables.get(location.text)

    def _names(self, key: str, location: Location) -> list[str] | None:
        table = self._table(key, location)
        return None if table is None else list(table.column_names)

    def _columns_and_target(self) -> tuple[tuple[Column, ...], Target | None]:
        data = self._file.data
        inferred = self._inferred() if data.columns is None or data.task is None else None
        columns = inferred.columns if inferred else ()
        if data.columns is not None:
            columns = self._columns("data.columns", data.columns)
        task = data.task or (inferred.target.task if inferred else None)
        names = self._names("data.source", self._data)
        if names is not None:
            if data.target not in names:
                self._unknown("data.target", data.target, names, self._data)
            for column in columns:
                if column.name not in names:
                    self._unknown(f"data.columns.{column.name}", column.name, names, self._data)
            self._check_split_column(names)
        threshold = self._file.training.threshold
        fixed = 0.5 if isinstance(threshold, str) else threshold
        return columns, Target(data.target, task, threshold=fixed) if task else None

    def _inferred(self) -> Inference | None:
        if self._data.remote:
            key = "data.columns" if self._file.data.columns is None else "data.task"
            self._mistakes.add(
                key, "is missing", "For data in S3 it must be written: nothing is inferred there."
            )
            return None
        table = self._table("data.source", self._data)
        data = self._file.data
        if table is None or data.target not in table.column_names:
            return None
        from shared.inferring import infer

        with self._mistakes.noted("data"):
            return infer(table, data.target, data.task)
        return None

    def _columns(self, key: str, tables: Mapping[str, Table]) -> tuple[Column, ...]:
        found = []
        for name, options in tables.items():
            place = f"{key}.{name}"
            if "name" in options:
                self._mistakes.add(f"{place}.name", "the key before the = is the name already")
                continue
            unknown = [option for option in options if option not in _COLUMN_KEYS]
            for option in unknown:
                self._mistakes.add(
                    f"{place}.{option}", "unknown key", nearest(option, _COLUMN_KEYS)
                )
            if unknown:
                continue
            with self._mistakes.noted(place):
                found.append(documents.decode(Column, {"name": name, **options}, place))
        return tuple(found)

    def _split(self) -> Split | None:
        data = self._file.data
        table: Table = dict(data.split) if data.split is not None else {"by": "random"}
        by = table.get("by", "random")
        if by == "time":
            table["time"] = table.get("time", data.time)
        with self._mistakes.noted("data.split"):
            for name in ("validation", "test"):
                if name in table:
                    table[name] = self._share(f"data.split.{name}", table[name])
            for name, value in table.items():
                if isinstance(value, date):
                    table[name] = value.isoformat()
                if (
                    by in _SPLIT_KEYS
                    and name in Split.__dataclass_fields__
                    and (name not in _SPLIT_KEYS[by])
                ):
                    raise ProjectError(
                        f'means nothing to a split by "{by}"',
                        where=f"data.split.{name}",
                        cure=f"Known there: {', '.join(sorted(_SPLIT_KEYS[by]))}",
                    )
            return documents.decode(Split, table, "data.split")
        return None

    def _share(self, key: str, value: object) -> float:
        try:
            return share(value)
        except ValueError:
            raise ProjectError(
                f'{documents.show(value)} is not allowed; it must be a share such as 0.1 or "10%"',
                where=key,
            ) from None

    def _check_split_column(self, names: list[str]) -> None:
        split = self._file.data.split or {}
        for key in ("time", "column"):
            name = split.get(key)
            if isinstance(name, str) and name not in names:
                self._unknown(f"data.split.{key}", name, names, self._data)
        if self._file.data.time and self._file.data.time not in names:
            self._unknown("data.time", self._file.data.time, names, self._data)

    def _source(self, name: str) -> Source | None:
        section, key = self._file.sources[name], f"sources.{name}"
        if not name.isidentifier() or not name.isascii() or name != name.lower() or len(name) > 40:
            self._mistakes.add(
                key, "a source's name must be lower-case letters, digits and underscores"
            )
            return None
        columns = self._columns(f"{key}.columns", section.columns)
        as_of = None
        if section.as_of is not None:
            if len(section.as_of) != 1:
                self._mistakes.add(
                    f"{key}.as_of", "one pair is needed: our datetime column = its datetime column"
                )
                return None
            as_of = next(iter(section.as_of.items()))
        names = self._names(f"{key}.table", self._sources[name])
        if names is not None:
            wanted = {f"{key}.keys.{ours}": its for ours, its in section.keys.items()}
            wanted |= {f"{key}.columns.{column.name}": column.name for column in columns}
            if as_of:
                wanted[f"{key}.as_of.{as_of[0]}"] = as_of[1]
            for place, its in wanted.items():
                if its not in names:
                    self._unknown(place, its, names, self._sources[name])
        with self._mistakes.noted(key):
            return Source(
                name=name,
                keys=section.keys,
                as_of=as_of,
                tolerance=section.tolerance,
                columns=columns,
            )
        return None

    def _features(self) -> tuple[bytes, Declaration] | None:
        """The project's features.py, read and not run, and what it makes."""
        section, path = self._file.features, self._path.parent / feature_rules.FILE
        try:
            source = path.read_bytes()
        except FileNotFoundError:
            if section:
                self._mistakes.add("features.columns", f"there is no {path} to make them")
            return None
        except OSError as error:
            self._mistakes.add("features", f"{path} cannot be read: {error.strerror}")
            return None
        if section is None:
            self._mistakes.add(
                "features.columns",
                f"is missing: {path} is there, and what it makes has to be declared",
                'For example: [features.columns] and below it: ratio = { kind = "numeric" }',
            )
            return None
        try:
            feature_rules.check(source)
        except ProjectError as error:
            self._mistakes.add(str(error.where), error.message, error.cure)
        columns = self._columns("features.columns", section.columns)
        with self._mistakes.noted("features.columns"):
            return source, Declaration(columns, feature_rules.digest(source))
        return None

    def _tuning(self) -> Tuning:
        section = self._file.tuning
        if section is None:
            return Tuning(trials=0)
        space: dict[str, Range | Choice] = {}
        for name, entry in section.space.items():
            key = f"tuning.space.{name}"
            with self._mistakes.noted(key):
                dimension = self._dimension(key, entry)
                hyperparameters.check_space({name: dimension})
                space[name] = dimension
        candidates: list[Table] = []
        for number, candidate in enumerate(section.candidates, start=1):
            candidates.append({})
            for name, value in candidate.items():
                with self._mistakes.noted(f"tuning.candidates, number {number}, {name}"):
                    hyperparameters.check_space({name: Choice((value,))})
                    candidates[-1][name] = value
        listed = section.strategy in LISTED
        if listed and section.trials is not None:
            self._mistakes.add(
                "tuning.trials",
                f'strategy "{section.strategy}" tries all that is listed; leave the key out',
            )
        if section.strategy != "manual" and section.trials != 0 and not section.space:
            self._mistakes.add(
                "tuning.space",
                f'is missing; strategy "{section.strategy}" needs hyperparameters to search',
                "For example: dropout = [0.0, 0.2, 0.4]",
            )
        with self._mistakes.noted("tuning"):
            tuning = Tuning(
                strategy=section.strategy,
                trials=Tuning.trials if section.trials is None else section.trials,
                folds=section.folds,
                where=section.where,
                seed=section.seed,
                parallel=section.parallel,
                candidates=tuple(candidates),
                space=space,
            )
            for refused in refusals(tuning, section.warm_start):
                self._mistakes.add(refused.where or "tuning", refused.message, refused.cure)
            return tuning
        return Tuning(trials=0)

    def _dimension(self, key: str, entry: object) -> Range | Choice:
        if isinstance(entry, list):
            return documents.decode(Choice, {"values": entry}, key)
        if isinstance(entry, dict):
            return documents.decode(Range, entry, key)
        raise ProjectError(
            f"{documents.show(entry)} is not allowed; it must be a list of values or a range "
            'such as { min = 1e-4, max = 1e-2, scale = "log" }',
            where=key,
        )

    def _hyperparameters(self) -> Hyperparameters:
        given = self._file.training.hyperparameters
        good: dict[str, Any] = {}
        for name, value in given.items():
            with self._mistakes.noted(f"training.hyperparameters.{name}"):
                if name not in hyperparameters.NAMES:
                    raise HyperparameterError(
                        "there is no such hyperparameter",
                        cure=nearest(name, hyperparameters.NAMES),
                    )
                Hyperparameters(**{name: value})
                good[name] = value
        return Hyperparameters(**good)

    def _check_instances(self, tuning: Tuning, knobs: Hyperparameters) -> None:
        """What the training job would refuse to do on several instances."""
        count = self._file.training.instance_count
        if count == 1:
            return
        if tuning.where == "job" and tuning.count:
            self._mistakes.add(
                "training.instance_count",
                f"a search inside the job runs on one instance, not on {count}",
                'Write 1, or tuning.where = "service", or tuning.trials = 0',
            )
        if knobs.batch_norm:
            self._mistakes.add(
                "training.hyperparameters.batch_norm",
                f"it works on one instance, not on {count}: each would have its own statistics",
                "Write false, or training.instance_count = 1",
            )

    def _check_network(self) -> None:
        """A VPC takes subnets and security groups, and what is in it must be of one region."""
        aws = self._file.aws
        for key, other in (("subnets", "security_groups"), ("security_groups", "subnets")):
            if getattr(aws, key) and not getattr(aws, other):
                self._mistakes.add(
                    f"aws.{other}",
                    f"is missing: a VPC takes both, and aws.{key} is given",
                    "Name at least one",
                )
        region = aws.kms_key.split(":")[3] if aws.kms_key else None
        if region and aws.region and region != aws.region:
            self._mistakes.add(
                "aws.kms_key", f"is a key of {region}, and the project goes to {aws.region}"
            )

    def _unknown(self, key: str, name: str, names: list[str], location: Location) -> None:
        self._mistakes.add(key, f"{location.text} has no column {name!r}", nearest(name, names))
