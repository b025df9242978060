"""The service's own search: a tuning job as a value, and what the service would refuse.

A tuning job starts training jobs, its children. Each of them trains and exports with the values
that the service chose, and the bundle of the best is what is served.

    strategy    the service's     with
    random      Random            children that fall behind the median are stopped
    bayesian    Bayesian          the same
    grid        Grid              all children run to their end
    hyperband   Hyperband         epochs as its resource; it stops children by itself
    manual      none

Here: the request, pure, and its refusals. Not here: the search inside one job, which is training's;
the calls, which are apply's; what became of the children (trials.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infra.package import combine, digest_of, short
from shared.errors import ProjectError
from shared.hyperparameters import Choice, Range

if TYPE_CHECKING:
    from infra.requests import Request
    from infra.training_job import TrainingJob
    from shared.problem import Tuning

# Of the API itself.
LONGEST_NAME = 32
MOST_HYPERPARAMETERS = 30
MOST_VALUES = 30
MOST_PARENTS = 5
# Quotas of an account, as they are before anybody asks for more.
MOST_JOBS = 750
MOST_PARALLEL = 10

# The children's [metric] lines carry it; the last one is that of the weights they keep.
OBJECTIVE = "val_loss"
STRATEGIES = {
    "random": "Random",
    "bayesian": "Bayesian",
    "grid": "Grid",
    "hyperband": "Hyperband",
}
# The strategies that can learn from earlier tuning jobs, and whose children may be stopped early:
# Hyperband has its own way, and what a grid lists is tried.
DRAWN = ("random", "bayesian")

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}")
_ATTEMPT_SIGNS = 3
_SCALES = {"linear": "Linear", "log": "Logarithmic"}


@dataclass(frozen=True)
class TuningJob:
    """A tuning job, apart from which attempt it is.

    Attributes:
        job: what a child is, its hyperparameters being the project's own.
        tuning: strategy, space, trials, seed.
        parallel: children at a time.
        parents: other tuning jobs whose results it begins with.
    """

    job: TrainingJob
    tuning: Tuning
    parallel: int
    parents: tuple[str, ...] = ()

    kind: ClassVar = "tuning job"

    @property
    def digest(self) -> str:
        """What decides the search: all that decides a child, and the parents."""
        return combine(
            {"job": self.job.digest, "parents": digest_of(",".join(self.parents).encode())}
        )

    @property
    def checkpoints(self) -> str:
        """Where the children's checkpoints lie."""
        return self.job.checkpoints

    @property
    def seconds(self) -> int:
        """How long it may take at most."""
        rounds = math.ceil(self.tuning.count / self.parallel)
        return rounds * (2 if self.job.spot else 1) * self.job.max_runtime

    def name(self, attempt: int) -> str:
        """The tuning job's name at its first, second, … attempt: at most 32 signs.

        A long project's name is cut; the digest, which it is part of, keeps names apart.
        """
        digest = short(self.digest)
        room = LONGEST_NAME - len(digest) - 1 - _ATTEMPT_SIGNS
        base = f"{self.job.project[:room].rstrip('-')}-{digest}"
        return base if attempt == 1 else f"{base}-{attempt}"

    def model_data(self, attempt: int) -> str:
        """Where the best child's bundle is kept."""
        return f"{self.job.output}/{self.name(attempt)}/output/model.tar.gz"

    def request(self, attempt: int, finished: Sequence[tuple[str, int]] = ()) -> Request:
        """Parameters of CreateHyperParameterTuningJob.

        Args:
            attempt: from 1.
            finished: the earlier attempts, and how many children of each were trained to their
                end. A search that draws its values begins with those results and adds what is
                missing.
        """
        child = self.job.request(1)
        tuned = self.tuning.space
        earlier = {name: count for name, count in finished if count}
        left = self.tuning.count
        if self.tuning.strategy in DRAWN:
            left = max(1, left - sum(earlier.values()))
        definition = {
            key: value
            for key, value in child.items()
            if key not in ("TrainingJobName", "HyperParameters", "Tags", "ProfilerConfig")
        }
        definition["StaticHyperParameters"] = {
            name: value for name, value in self.job.hyperparameters if name not in tuned
        }
        tags = {"Tags": child["Tags"]} if "Tags" in child else {}
        return {
            "HyperParameterTuningJobName": self.name(attempt),
            "HyperParameterTuningJobConfig": self._config(attempt, left),
            "TrainingJobDefinition": definition,
            **self._warm_start(list(earlier)),
            **tags,
        }

    def _config(self, attempt: int, left: int) -> Request:
        strategy = self.tuning.strategy
        limits: dict[str, int] = {"MaxParallelTrainingJobs": min(self.parallel, left)}
        if strategy != "grid":  # the service itself counts a grid's combinations
            limits["MaxNumberOfTrainingJobs"] = left
        config: dict[str, object] = {
            "Strategy": STRATEGIES[strategy],
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": OBJECTIVE},
            "ResourceLimits": limits,
            "ParameterRanges": ranges(self.tuning.space),
            "TrainingJobEarlyStoppingType": "Auto" if strategy in DRAWN else "Off",
            # Another seed for another attempt, which would else draw the same values again.
            "RandomSeed": self.tuning.seed + attempt - 1,
        }
        if strategy == "hyperband":
            config["StrategyConfig"] = {
                "HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": self._resource}
            }
        return config

    @property
    def _resource(self) -> int:
        # The service counts lines with the objective, and stops a child that reaches the number.
        # A child prints one an epoch and one more for the weights it keeps, and must then live on
        # to export them.
        epochs = int(json.loads(dict(self.job.hyperparameters)["epochs"]))
        return epochs + 2

    def _warm_start(self, earlier: Sequence[str]) -> Request:
        if self.tuning.strategy not in DRAWN:
            return {}
        parents = [*reversed(earlier), *self.parents][:MOST_PARENTS]
        if not parents:
            return {}
        return {
            "WarmStartConfig": {
                "ParentHyperParameterTuningJobs": [
                    {"HyperParameterTuningJobName": name} for name in parents
                ],
                "WarmStartType": "TransferLearning"
                if self.parents
                else "IdenticalDataAndAlgorithm",
            }
        }


def ranges(space: Mapping[str, Range | Choice]) -> dict[str, list[dict[str, object]]]:
    """The space as ParameterRanges; what a child is then given, `hyperparameters.decode` reads."""
    found: dict[str, list[dict[str, object]]] = {
        "ContinuousParameterRanges": [],
        "IntegerParameterRanges": [],
        "CategoricalParameterRanges": [],
    }
    for name, dimension in sorted(space.items()):
        if isinstance(dimension, Choice):
            values = [json.dumps(value) for value in dimension.values]
            found["CategoricalParameterRanges"].append({"Name": name, "Values": values})
            continue
        kind = int if dimension.integer else float
        found[f"{'Integer' if dimension.integer else 'Continuous'}ParameterRanges"].append(
            {
                "Name": name,
                "MinValue": str(kind(dimension.min)),
                "MaxValue": str(kind(dimension.max)),
                "ScalingType": _SCALES[dimension.scale],
            }
        )
    return {kind: entries for kind, entries in found.items() if entries}


def children_at_a_time(tuning: Tuning, *, local: bool) -> int:
    """What `parallel` comes to: "auto" is 2 on this machine, and on AWS 2 for bayesian, else 4."""
    wanted = tuning.parallel
    if wanted == "auto":
        wanted = 2 if local or tuning.strategy == "bayesian" else 4
    return min(wanted, tuning.count)


def refusals(tuning: Tuning, parents: Sequence[str]) -> Iterator[ProjectError]:
    """Everything for which the service would refuse the search; nothing for one inside a job.

    Args:
        tuning: the search.
        parents: the tuning jobs that it is to begin with.
    """
    if tuning.where == "job":
        if parents:
            yield ProjectError(
                "means nothing to a search inside the job",
                where="tuning.warm_start",
                cure='Leave it out, or write where = "service"',
            )
        return
    if tuning.strategy == "manual":
        yield ProjectError(
            "the service has no strategy that tries a list of candidates",
            where="tuning.strategy",
            cure='Write where = "job", or strategy = "grid" with a list for each hyperparameter',
        )
        return
    if tuning.folds > 1:
        yield ProjectError(
            "the service's trials are training jobs, and each of them validates on the "
            "validation rows alone",
            where="tuning.folds",
            cure='Leave it out, or write where = "job"',
        )
    yield from _refused_sizes(tuning)
    yield from _refused_values(tuning.space)
    yield from _refused_parents(tuning, parents)


def _refused_sizes(tuning: Tuning) -> Iterator[ProjectError]:
    if len(tuning.space) > MOST_HYPERPARAMETERS:
        yield ProjectError(
            f"{len(tuning.space)} hyperparameters are searched; {MOST_HYPERPARAMETERS} are the "
            "most of one tuning job",
            where="tuning.space",
            cure="Take out those that matter least",
        )
    if tuning.count > MOST_JOBS:
        yield ProjectError(
            f"that makes {tuning.count:,} trials; {MOST_JOBS} are the most of one tuning job (the "
            "service's default quota)",
            where="tuning.space" if tuning.strategy == "grid" else "tuning.trials",
            cure='Ask for fewer, or write where = "job"',
        )
    if tuning.parallel != "auto" and tuning.parallel > MOST_PARALLEL:
        yield ProjectError(
            f"{tuning.parallel} trials at a time are asked for; {MOST_PARALLEL} are the most of "
            "one tuning job (the service's default quota)",
            where="tuning.parallel",
            cure=f'Write {MOST_PARALLEL}, or "auto"',
        )


def _refused_values(space: Mapping[str, Range | Choice]) -> Iterator[ProjectError]:
    for name, dimension in space.items():
        if isinstance(dimension, Range):
            continue
        where = f"tuning.space.{name}"
        count = len(dimension.values)
        if count > MOST_VALUES:
            yield ProjectError(
                f"{count} values are listed; {MOST_VALUES} are the most of one hyperparameter",
                where=where,
                cure="List fewer, or give a range",
            )


def _refused_parents(tuning: Tuning, parents: Sequence[str]) -> Iterator[ProjectError]:
    where = "tuning.warm_start"
    if parents and tuning.strategy not in DRAWN:
        yield ProjectError(
            f'strategy "{tuning.strategy}" cannot begin with what others found',
            where=where,
            cure='Leave it out, or use strategy = "bayesian" or "random"',
        )
    if len(parents) > MOST_PARENTS:
        yield ProjectError(
            f"{len(parents)} tuning jobs are named; {MOST_PARENTS} are the most", where=where
        )
    if len(set(parents)) < len(parents):
        yield ProjectError("a tuning job is named twice", where=where, cure="Name it once")
    for name in parents:
        if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            yield ProjectError(
                f"{name!r} cannot be the name of a tuning job: letters, digits and hyphens, "
                f"{LONGEST_NAME} at most",
                where=where,
            )
