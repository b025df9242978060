"""From the rows of a job to what a network learns from: transforms fitted, rows encoded.

Here: Prepared, which trials and the final fit share, and its folds. Not here: reading and splitting
(data.py), nor how a column is encoded (shared/transforms.py).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import DataError
from shared.hyperparameters import Hyperparameters
from shared.problem import Problem
from shared.transforms import Encoded, TargetTransform, Transforms
from training import data, environment, evaluation
from training.data import Data
from training.environment import Environment
from training.identity import Identity, identify

if TYPE_CHECKING:
    from training.cluster import Cluster
    from training.fit import Rows, Trainer
    from training.network import Shape


LIBRARIES = (
    "tensorflow-cpu", "tensorflow", "keras", "numpy", "scikit-learn", "optuna",
    "onnx", "tf2onnx", "onnxruntime",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """All that trials, final fit and export have in common.

    Args:
        job, problem, found: where, what and with which rows.
        start: the project's hyperparameters.
        transforms, target_transform: as fitted.
        encoded, rows: each split as the network reads it, without and with its target.
        shape: what a network for it must fit.
        cluster: who trains it together.
        identity: all that decides the result: checkpoints of another job are never used.
    """

    job: Environment
    problem: Problem
    found: Data
    start: Hyperparameters
    transforms: Transforms
    target_transform: TargetTransform
    encoded: Mapping[str, Encoded]
    rows: Mapping[str, Rows]
    shape: Shape
    cluster: Cluster
    identity: Identity

    def trainer(self, chosen: Hyperparameters) -> Trainer:
        """A new network for these hyperparameters, with nothing learnt yet."""
        from training import fit, network

        cluster = self.cluster
        target, truth = self.found.schema.target, self.found.validation.target

        def score(outputs: Any) -> dict[str, float]:
            return evaluation.headline(target, self.target_transform, truth, outputs)

        with cluster.strategy.scope():
            return fit.Trainer(
                network.build(chosen, self.shape),
                chosen,
                self.shape,
                train=self.rows["training"],
                validation=self.rows["validation"],
                score=score,
                cluster=cluster,
            )


def prepare(
    job: Environment,
    problem: Problem,
    found: Data,
    start: Hyperparameters,
    target_transform: TargetTransform | None = None,
) -> Prepared:
    """Fit the transforms on the training rows, encode all rows, import TensorFlow.

    The target's own transform is fitted, too, unless it is given.
    """
    transforms = Transforms.fit(found.train.columns, found.schema.features)
    target = found.schema.target
    if target_transform is None:
        target_transform = TargetTransform.fit(found.train.target, target, log="auto")
    encoded = {split: transforms.encode(part.columns) for split, part in found.parts.items()}
    dtype = np.int32 if target.task == "multiclass" else np.float32
    truth = {
        split: target_transform.encode(part.target).astype(dtype)
        for split, part in found.parts.items()
    }

    tensorflow_ready()
    from training import cluster
    from training.fit import Rows
    from training.network import Shape, quantiles, seen_slots

    rows = {split: Rows(e.numeric, e.codes, truth[split]) for split, e in encoded.items()}
    slots = [cardinality for _, cardinality in transforms.categories]
    shape = Shape(
        numeric=len(transforms.numeric_names),
        seen=seen_slots(encoded["training"].codes, slots),
        outputs=len(target.classes) if target.task == "multiclass" else 1,
        task=target.task,
        quantiles=quantiles(encoded["training"].numeric),
    )
    return Prepared(
        job=job,
        problem=problem,
        found=found,
        start=start,
        transforms=transforms,
        target_transform=target_transform,
        encoded=encoded,
        rows=rows,
        shape=shape,
        cluster=cluster.connect(job.host, job.hosts),
        identity=identify(
            problem=problem,
            hyperparameters=start,
            hosts=len(job.hosts),
            libraries=libraries(),
            rows=_digests(rows),
        ),
    )


def cross_validation(prepared: Prepared) -> list[Prepared]:
    """The folds of the search, each with transforms fitted on its own training rows.

    The target is scaled as it is for the final fit: the folds' losses have to be in one unit.

    Raises:
        DataError: a fold has too few rows, or a column that it cannot be fitted on.
    """
    found, count = prepared.found, prepared.problem.tuning.folds
    folds = []
    for number, fold in enumerate(data.folds(found, prepared.problem.split, count), start=1):
        try:
            folds.append(
                prepare(
                    prepared.job,
                    prepared.problem,
                    fold,
                    prepared.start,
                    prepared.target_transform,
                )
            )
        except DataError as error:
            raise DataError(
                f"fold {number} of {count}: {error.message}",
                where=error.where,
                cure="Leave the column out, or use fewer folds",
            ) from error
    return folds


def tensorflow_ready() -> None:
    """Import TensorFlow: quiet, and every operation giving the same bits each time."""
    environment.prepare_tensorflow()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()


def _digests(rows: Mapping[str, Rows]) -> str:
    digest = hashlib.sha256()
    for split in rows.values():
        for array in (split.numeric, split.codes, split.target):
            digest.update(array.tobytes())
    return digest.hexdigest()


def libraries() -> dict[str, str]:
    """The versions of the libraries that decide a result."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
