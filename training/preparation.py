"""From the rows of a job to what a network learns from: transforms fitted, rows encoded.

Here: Prepared, which trials and the final fit share, and its folds. Not here: reading and splitting
(data.py), nor how a column is encoded (shared/transforms.py).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import DataError
from shared.hyperparameters import Hyperparameters, resolve
from shared.problem import Problem
from shared.schema import Target
from shared.transforms import Encoded, TargetTransform, Transforms
from training import data, environment, evaluation, memory, store
from training.data import Data
from training.environment import Environment
from training.identity import Identity, identify
from training.rows import Array, Learnable, Rows
from training.store import Stored
from training.streaming import Stream

if TYPE_CHECKING:
    from training.cluster import Cluster
    from training.fit import Trainer
    from training.network import Shape


SMALL_STEP = 1 << 26
"""Multiplications of a step's widest layer: with 256 rows, 512 x 512 weights."""
LIBRARIES = (
    "tensorflow-cpu", "tensorflow", "keras", "numpy", "scikit-learn", "optuna",
    "onnx", "onnxruntime",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """All that trials, final fit and export have in common.

    Args:
        job, problem, found: where, what and with which rows.
        start: the project's hyperparameters.
        transforms, target_transform: as fitted.
        encoded, rows: each split as the network reads it, without and with its target; where the
            data is streamed, the rows that are kept in memory.
        shape: what a network for it must fit.
        cluster: who trains it together.
        identity: all that decides the result: checkpoints of another job are never used.
        stored: all training rows, if they are streamed.
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
    stored: Stored | None = None

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
                train=self.stored or self.rows["training"],
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
    target, stream = found.schema.target, found.stream
    transforms = found.transforms or Transforms.fit(found.train.columns, found.schema.features)
    if target_transform is None:
        learnt = stream.answers if stream else found.train.target
        target_transform = TargetTransform.fit(learnt, target, log="auto")
    encoded = {split: transforms.encode(part.columns) for split, part in found.parts.items()}
    rows = {
        split: Rows(
            e.numeric, e.codes, as_learnt(found.parts[split].target, target, target_transform)
        )
        for split, e in encoded.items()
    }
    stored = None
    if stream:
        truth = as_learnt(stream.answers, target, target_transform)
        stored = _stored(stream, transforms, rows["training"].cut(0, 0), truth)

    memory.release()
    tensorflow_ready()
    from training import cluster
    from training.network import ENOUGH_ROWS, Shape, quantiles, seen_slots

    training = stored or rows["training"]
    slots = [cardinality for _, cardinality in transforms.categories]
    seen = [seen_slots(block.codes, slots) for block in training.blocks()]
    some = np.arange(0, len(training), max(len(training) // ENOUGH_ROWS, 1))
    shape = Shape(
        numeric=len(transforms.numeric_names),
        seen=tuple(np.logical_or.reduce(masks) for masks in zip(*seen, strict=True)),
        outputs=len(target.classes) if target.task == "multiclass" else 1,
        task=target.task,
        quantiles=quantiles(training.take(some).numeric),
    )
    set_threads(start, shape)
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
            streamed=stream is not None,
            libraries=libraries(),
            rows=digests({**rows, "training": training}),
        ),
        stored=stored,
    )


def set_threads(start: Hyperparameters, shape: Shape) -> None:
    """One thread for each operation of a small network: handing out its work costs more than it.

    It follows from the project's own hyperparameters, not a trial's, so that every start of a job
    decides alike. A process that has run TensorFlow before keeps what it had.
    """
    import tensorflow as tf

    plan = resolve(start, shape.n_inputs)
    step = plan.batch_size * max(shape.n_inputs, *plan.widths) * max(plan.widths)
    if step <= SMALL_STEP:
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(1)


def as_learnt(answers: Array, target: Target, transform: TargetTransform) -> Array:
    """The target as the network learns it."""
    dtype = np.int32 if target.task == "multiclass" else np.float32
    return transform.encode(answers).astype(dtype)


def _stored(stream: Stream, transforms: Transforms, row: Rows, truth: Array) -> Stored:
    """All training rows, encoded, on the disk."""

    def blocks() -> Iterator[Rows]:
        start = 0
        for columns in stream.training():
            encoded = transforms.encode(columns)
            end = start + len(encoded.codes)
            yield Rows(encoded.numeric, encoded.codes, truth[start:end])
            start = end

    return store.write(blocks(), row, truth)


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


def digests(rows: Mapping[str, Learnable]) -> str:
    """One digest of all encoded rows."""
    digest = hashlib.sha256()
    for split in rows.values():
        digest.update(split.digest().encode())
    return digest.hexdigest()


def libraries() -> dict[str, str]:
    """The versions of the libraries that decide a result."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
