"""The Keras network, from hyperparameters and the shape of the encoded rows.

    numeric [n, D] ─────────────────────────────┐
    codes [n, K] ─ column k ─ one-hot ──────────┼─ concatenate ─ hidden layers ─ logits ─ output
                 └ column k ─ embedding ────────┘

A category of few levels is one-hot, of many is embedded. Only Keras's own layers are used, so that
model.keras opens anywhere without our code.

Slots that the training rows never use (always the unknown one; often missing or rare) start with
zero weights and never get a gradient, so they stay zero: a level that was never seen adds nothing,
and the answer comes from the other inputs. Left at their random start they would add noise that
no training row ever corrected.

Here: structure, initial weights, loss, optimizer. Not here: the rules of thumb behind "auto"
(shared/hyperparameters.py) and the loop (fit.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from shared.hyperparameters import Hyperparameters, embedding_width, resolve
from shared.schema import Task

ONE_HOT_LEVELS = 32
EMBEDDING_INITIALIZER = "random_uniform"

_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
}


@dataclass(frozen=True)
class Shape:
    """What the network must fit.

    Args:
        numeric: columns of the numeric matrix.
        seen: one mask a category column, [slots] bool: the slots that training rows use.
        outputs: 1, or the number of classes where the task is multiclass.
        task: what the target is.
    """

    numeric: int
    seen: tuple[npt.NDArray[np.bool_], ...]
    outputs: int
    task: Task

    @property
    def n_inputs(self) -> int:
        """Numeric columns plus all category slots: what the rules of thumb count."""
        return self.numeric + sum(len(mask) for mask in self.seen)


def build(hyperparameters: Hyperparameters, shape: Shape) -> keras.Model:
    """The network with its initial weights, which the hyperparameter `seed` decides.

    Inputs `numeric` float32 [n, D] and `codes` int32 [n, K], those that exist, in this order.
    Output float32 [n, outputs]: a probability, probabilities, or the scaled target.
    """
    keras.utils.clear_session()  # lets go of what earlier trials left, and counts names from 1
    hp = hyperparameters
    plan = resolve(hp, shape.n_inputs)
    seeds = _seeds(hp.seed)
    given, parts, embedded, hot = _parts(hp, shape, seeds)
    x = parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="inputs")(parts)
    penalty = _penalty(hp)
    first = None
    for number, width in enumerate(plan.widths, start=1):
        dense = keras.layers.Dense(
            width,
            kernel_initializer=_initializer(hp.kernel_initializer, seeds),
            bias_initializer=_initializer(hp.bias_initializer, seeds),
            kernel_regularizer=penalty,
            name=f"hidden_{number}",
        )
        first = first or dense
        x = dense(x)
        if hp.batch_norm:
            x = keras.layers.BatchNormalization(name=f"norm_{number}")(x)
        if hp.activation == "prelu":
            x = keras.layers.PReLU(name=f"activation_{number}")(x)
        elif hp.activation == "gelu":
            x = keras.ops.gelu(x, approximate=True)  # ONNX has no erfc, which the exact form needs
        else:
            x = keras.layers.Activation(hp.activation, name=f"activation_{number}")(x)
        if plan.dropout:
            drop = keras.layers.Dropout(plan.dropout, seed=next(seeds), name=f"dropout_{number}")
            x = drop(x)
    last = keras.layers.Dense(
        shape.outputs,
        kernel_initializer=_initializer(hp.kernel_initializer, seeds),
        kernel_regularizer=penalty,
        name="logits",
    )
    x = last(x)
    if shape.task != "regression":
        activation = "sigmoid" if shape.task == "binary" else "softmax"
        x = keras.layers.Activation(activation, name="output")(x)
    model = keras.Model(given, x, name="network")
    _silence_unseen(first or last, shape, hot, embedded)
    return model


def logits(model: keras.Model) -> keras.Model:
    """The same network up to the last activation; losses computed there lose no digits."""
    return keras.Model(model.inputs, model.get_layer("logits").output)


def inputs(model: keras.Model, numeric: Any, codes: Any) -> list[Any]:
    """The matrices that the model takes, in its order."""
    given = {"numeric": numeric, "codes": codes}
    return [given[tensor.name] for tensor in model.inputs]


def outputs(task: Task, answer: tf.Tensor) -> tf.Tensor:
    """What the whole model answers where its logits are `answer`."""
    if task == "binary":
        return tf.sigmoid(answer)
    return tf.nn.softmax(answer) if task == "multiclass" else answer


def losses(task: Task) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """(target [n], logits [n, outputs]) → loss of each row [n]: cross-entropy or squared error."""
    if task == "binary":
        return lambda target, answer: tf.nn.sigmoid_cross_entropy_with_logits(target, answer[:, 0])
    if task == "multiclass":
        return tf.nn.sparse_softmax_cross_entropy_with_logits  # type: ignore[no-any-return]
    return lambda target, answer: tf.square(target - answer[:, 0])


def optimizer(hyperparameters: Hyperparameters) -> keras.optimizers.Optimizer:
    """The optimizer that the hyperparameters name."""
    return _OPTIMIZERS[hyperparameters.optimizer](learning_rate=hyperparameters.learning_rate)


def kernels(model: keras.Model) -> list[npt.NDArray[np.float32]]:
    """The weights that L1 and L2 act on."""
    layers = (keras.layers.Dense, keras.layers.Embedding)
    return [value(layer.weights[0]) for layer in model.layers if isinstance(layer, layers)]


def value(variable: keras.Variable) -> npt.NDArray[Any]:
    """A variable's value, copied: TensorFlow may go on writing to the array that it gives out."""
    return np.array(variable.numpy())


def _parts(
    hp: Hyperparameters, shape: Shape, seeds: Iterator[int]
) -> tuple[list[Any], list[Any], dict[int, keras.layers.Embedding], dict[int, int]]:
    """Input tensors; what is concatenated; embeddings, and first rows of one-hots, by column."""
    given: list[Any] = []
    parts: list[Any] = []
    embedded: dict[int, keras.layers.Embedding] = {}
    hot: dict[int, int] = {}
    offset = shape.numeric
    if shape.numeric:
        given.append(keras.Input((shape.numeric,), dtype="float32", name="numeric"))
        parts.append(given[0])
    if shape.seen:
        codes = keras.Input((len(shape.seen),), dtype="int32", name="codes")
        given.append(codes)
    for k, mask in enumerate(shape.seen):
        slots = len(mask)
        width = _embedding_width(hp, slots)
        if width is None:
            hot[k] = offset
            offset += slots
            parts.append(keras.ops.one_hot(codes[:, k], slots))
        else:
            embedded[k] = keras.layers.Embedding(
                slots,
                width,
                embeddings_initializer=_initializer(EMBEDDING_INITIALIZER, seeds),
                embeddings_regularizer=_penalty(hp),
                name=f"embedding_{k}",
            )
            offset += width
            parts.append(embedded[k](codes[:, k]))
    return given, parts, embedded, hot


def _embedding_width(hp: Hyperparameters, slots: int) -> int | None:
    """None for a one-hot: by the number of slots, or where the embedding would be no narrower."""
    if hp.embedding_dim == "auto":
        return None if slots <= ONE_HOT_LEVELS else embedding_width(slots)
    return None if slots <= hp.embedding_dim else hp.embedding_dim


def _silence_unseen(
    first: keras.layers.Dense,
    shape: Shape,
    hot: dict[int, int],
    embedded: dict[int, keras.layers.Embedding],
) -> None:
    kernel = value(first.kernel)
    for k, mask in enumerate(shape.seen):
        if k in hot:
            kernel[hot[k] : hot[k] + len(mask)][~mask] = 0.0
        else:
            table = value(embedded[k].weights[0])
            table[~mask] = 0.0
            embedded[k].set_weights([table])
    first.kernel.assign(kernel)


def _penalty(hp: Hyperparameters) -> keras.regularizers.Regularizer | None:
    if hp.l1 and hp.l2:
        return keras.regularizers.L1L2(l1=hp.l1, l2=hp.l2)
    if hp.l1:
        return keras.regularizers.L1(hp.l1)
    return keras.regularizers.L2(hp.l2) if hp.l2 else None


def _initializer(name: str, seeds: Iterator[int]) -> keras.initializers.Initializer:
    kind = type(keras.initializers.get(name))
    return kind() if name == "zeros" else kind(seed=next(seeds))


def _seeds(seed: int) -> Iterator[int]:
    """A seed for each layer; Keras would else draw from one state of the whole process."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    while True:
        yield int(generator.integers(2**31))


def seen_slots(
    codes: npt.NDArray[np.int32], cardinalities: Sequence[int]
) -> tuple[npt.NDArray[np.bool_], ...]:
    """For each category column, which of its slots these rows [n, K] use."""
    return tuple(
        np.bincount(codes[:, k], minlength=slots) > 0 for k, slots in enumerate(cardinalities)
    )
