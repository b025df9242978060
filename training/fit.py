"""The training loop: one compiled graph per epoch, and a state that decides every later bit.

An epoch meets its rows in shuffled windows (rows.py; store.py for rows on the disk), and one
`tf.function` walks through all batches of a window. On two cores that is two to three times as fast
as `keras.Model.fit`, whose Python turn per step costs more than the step of a small network.

The learning rate of each step follows from the schedule and the history (schedule.py). Everything
random comes from a seed and a counter: the order of rows from (seed, epoch), weights
and dropout from the seeds that network.py gave their layers. So the state after an epoch is the
variables of model and optimizer (the dropout layers' generators are among the model's), the best
weights and the history; a run restored from it ends with the same bits as one never stopped.

Here: the loop, early stopping and that state. Not here: where checkpoints lie (checkpoints.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from shared.errors import CheckpointError
from shared.hyperparameters import Hyperparameters, resolve
from training import divergence, dropout, network
from training.checkpoints import Checkpoint
from training.cluster import Cluster
from training.rows import Array, Learnable, Rows, random
from training.schedule import Schedule

CHUNK = 8192


class Trainer:
    """A network in training.

    Args:
        model: what network.build made.
        hyperparameters: optimizer, learning rate and its schedule, loss, batch size and seed are
            read.
        shape: what `model` was built for.
        train, validation: the rows to learn from, and the rows to stop and choose by.
        score: the network's outputs for the validation rows → figures for the metric line.
        cluster: who else trains this model; all of them were built in its strategy's scope.
    """

    def __init__(
        self,
        model: keras.Model,
        hyperparameters: Hyperparameters,
        shape: network.Shape,
        *,
        train: Learnable,
        validation: Rows,
        score: Callable[[Array], Mapping[str, float]],
        cluster: Cluster,
    ) -> None:
        self.model = model
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self._task = shape.task
        self._seed = hyperparameters.seed
        plan = resolve(hyperparameters, shape.n_inputs)
        self._batch = plan.batch_size
        self._schedule = Schedule(
            hyperparameters.schedule,
            hyperparameters.learning_rate,
            epochs=hyperparameters.epochs,
            warmup=plan.warmup,
            patience=hyperparameters.patience,
        )
        self._loss = network.training_losses(hyperparameters, shape.task, train.target)
        self._score = score
        self._train = train
        self._validation = validation
        # The gap between the curves is over-fitting only where both are measured alike: without
        # dropout and after the epoch. As many training rows as there are validation rows do.
        order = random(self._seed, 0).permutation(len(train))
        self._probe = train.take(np.sort(order[: max(len(validation), 1000)]))
        self._optimizer = network.optimizer(hyperparameters)
        self._optimizer.build(model.trainable_variables)
        self._best = self._weights()
        self._cluster = cluster
        self._compile()

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def val_losses(self) -> list[float]:
        """The validation loss of each epoch."""
        return [record["val_loss"] for record in self.history]

    @property
    def best_loss(self) -> float:
        """The lowest validation loss so far."""
        return min(self.val_losses, default=math.inf)

    def finished(self, epochs: int, patience: int) -> bool:
        """All epochs are done, or the last `patience` brought no better validation loss."""
        return self.epochs >= epochs or self.epochs - self.best_epoch >= max(patience, 1)

    def run_epoch(self) -> dict[str, float]:
        """Train for one epoch and measure it.

        Raises:
            TrainingError: the loss is not a finite number any more.
        """
        last_rate = self.learn()
        train_loss, _ = self.measure(self._probe)
        val_loss, outputs = self.measure(self._validation)
        divergence.check(
            self.epochs + 1,
            {"train_loss": train_loss, "val_loss": val_loss},
            [*self.model.variables, *self._optimizer.variables],
            last_rate,
        )
        record = {
            "train_loss": train_loss,
            "val_loss": val_loss,
            **self._score(outputs),
            "learning_rate": last_rate,
        }
        if val_loss < self.best_loss:
            self.best_epoch = self.epochs + 1
            self._best = self._weights()
        self.history.append(record)
        return record

    def learn(self) -> float:
        """Walk once through all training rows; the learning rate of the last step."""
        steps = math.ceil(len(self._train) / self._batch)
        rates = self._schedule.rates(self.epochs, steps, self.val_losses)
        step = 0
        for window in self._train.windows(self._seed, self.epochs + 1, self._batch):
            following = step + math.ceil(len(window) / self._batch)
            self._walk(*window.arrays, rates[step:following])
            step = following
        return float(rates[-1])

    def measure(self, rows: Rows) -> tuple[float, Array]:
        """Mean loss without penalties (float64) and the network's outputs [n, …] for the rows."""
        outputs, losses = [], []
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            output, loss = self._forward(*(array[part] for array in rows.arrays))
            outputs.append(output.numpy())
            losses.append(loss.numpy().astype(np.float64))
        return float(np.concatenate(losses).mean()), np.concatenate(outputs)

    def restore_best(self) -> None:
        """Put back the weights of the best epoch."""
        for variable, value in zip(self.model.variables, self._best, strict=True):
            variable.assign(value)

    def state(self) -> Checkpoint:
        """Everything that decides the next step, as arrays and JSON."""
        groups = {"model": self._weights(), "optimizer": self._moments(), "best": self._best}
        return Checkpoint(
            epoch=self.epochs,
            arrays={f"{g}/{i}": a for g, arrays in groups.items() for i, a in enumerate(arrays)},
            values={"best_epoch": self.best_epoch, "history": list(self.history)},
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a state.

        Raises:
            CheckpointError: it is another network's.
        """
        model, moments = self.model.variables, self._optimizer.variables
        wanted = [("model", model), ("optimizer", moments), ("best", model)]
        names = [f"{group}/{i}" for group, variables in wanted for i in range(len(variables))]
        shapes = [tuple(v.shape) for _, variables in wanted for v in variables]
        if [*checkpoint.arrays] != names or [a.shape for a in checkpoint.arrays.values()] != shapes:
            raise CheckpointError("the checkpoint is another network's")
        for group, variables in wanted[:2]:
            for i, variable in enumerate(variables):
                variable.assign(checkpoint.arrays[f"{group}/{i}"])
        self._best = [checkpoint.arrays[f"best/{i}"] for i in range(len(model))]
        self.best_epoch = checkpoint.values["best_epoch"]
        self.history = [dict(record) for record in checkpoint.values["history"]]

    def _weights(self) -> list[Array]:
        return [network.value(variable) for variable in self.model.variables]

    def _moments(self) -> list[Array]:
        return [network.value(variable) for variable in self._optimizer.variables]

    def _compile(self) -> None:
        """Define the epoch's graph and the measurement's; each is traced at its first use."""
        model, optimizer, batch = self.model, self._optimizer, self._batch
        cluster = self._cluster
        logits, members = network.logits(model), dropout.learning(network.members(model))
        loss, training_loss = network.losses(self._task), self._loss
        rows = [
            tf.TensorSpec((None, *array.shape[1:]), array.dtype)
            for array in self._validation.arrays
        ]

        def learn(
            numeric: tf.Tensor, codes: tf.Tensor, target: tf.Tensor, rate: tf.Tensor, of: tf.Tensor
        ) -> None:
            """One host's part of a step; the optimizer sums the gradients over the hosts."""
            optimizer.learning_rate = rate
            with tf.GradientTape() as tape:
                answer = members(network.inputs(model, numeric, codes), training=True)
                losses = training_loss(target, answer)
                cost = tf.reduce_sum(losses) / tf.cast(of, losses.dtype)
                cost += tf.add_n(model.losses) / cluster.size if model.losses else 0.0
            optimizer.apply(tape.gradient(cost, model.trainable_variables))

        @tf.function(input_signature=[*rows, tf.TensorSpec((None,), tf.float32)])
        def walk(numeric: tf.Tensor, codes: tf.Tensor, target: tf.Tensor, rates: tf.Tensor) -> None:
            for step in tf.range(tf.size(rates)):
                batch_of = [
                    array[step * batch : (step + 1) * batch] for array in (numeric, codes, target)
                ]
                share = [cluster.share(array) for array in batch_of]
                of = tf.shape(batch_of[2])[0]
                cluster.strategy.run(learn, args=(*share, rates[step], of))

        @tf.function(input_signature=rows)
        def forward(
            numeric: tf.Tensor, codes: tf.Tensor, target: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            answer = logits(network.inputs(model, numeric, codes), training=False)
            return network.outputs(self._task, answer), loss(target, answer)

        self._forward = forward
        self._walk = walk


def fit(
    trainer: Trainer, epochs: int, patience: int, after_epoch: Callable[[Trainer], bool]
) -> None:
    """Train until the epochs are done, patience ends, or `after_epoch` answers False.

    The trainer may be a restored one. At the end it holds the best epoch's weights.
    """
    while not trainer.finished(epochs, patience):
        trainer.run_epoch()
        if not after_epoch(trainer):
            break
    trainer.restore_best()
