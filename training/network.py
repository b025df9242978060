"""The Keras network, from hyperparameters and the shape of the encoded rows.

    numeric [n, D] ─ as it is, or embedded ─────┐
    codes [n, K] ─ column k ─ one-hot ──────────┼─ concatenate ─ hidden layers ─ logits ─ output
                 └ column k ─ embedding ────────┘

An ensemble has its hidden neurons in as many parts as it has members, and no weight leads from one
part to another: narrow networks side by side, computed together. Only the embeddings are common.
Each member learns from a loss of its own; the logits are the mean of theirs.

A category of few levels is one-hot, of many is embedded. Only Keras's own layers are used, so that
model.keras opens anywhere without our code.

A number enters as it is or as several (Gorishniy, Rubachev, Babenko: On Embeddings for Numerical
Features in Tabular Deep Learning, NeurIPS 2022): piecewise linear, how far it has come through
each bin of its training rows; or periodic, sines and cosines of it at learnt frequencies, then a
layer of its own.

Slots that the training rows never use (always the unknown one; often missing or rare) start with
zero weights and never get a gradient, so they stay zero: a level that was never seen adds nothing,
and the answer comes from the other inputs. Left at their random start they would add noise that
no training row ever corrected.

Here: structure, initial weights, loss, optimizer. Not here: the rules of thumb behind "auto"
(shared/hyperparameters.py) and the loop (fit.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from shared.errors import HyperparameterError, TrainingError
from shared.hyperparameters import Hyperparameters, bin_count, embedding_width, resolve
from shared.schema import Task

ONE_HOT_LEVELS = 32
EMBEDDING_INITIALIZER = "random_uniform"
MEMBERS = "members"
QUANTILES = 1024
NARROW = 0.02
ENOUGH_ROWS = 100_000

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

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
        quantiles: of each numeric column, `quantiles(…)` of the training rows; piecewise-linear
            embeddings take their bins from them.
    """

    numeric: int
    seen: tuple[npt.NDArray[np.bool_], ...]
    outputs: int
    task: Task
    quantiles: npt.NDArray[np.float32] | None = None

    @property
    def n_inputs(self) -> int:
        """Numeric columns plus all category slots: what the rules of thumb count."""
        return self.numeric + sum(len(mask) for mask in self.seen)


def build(hyperparameters: Hyperparameters, shape: Shape) -> keras.Model:
    """The network with its initial weights, which the hyperparameter `seed` decides.

    Inputs `numeric` float32 [n, D] and `codes` int32 [n, K], those that exist, in this order.
    Output float32 [n, outputs]: a probability, probabilities, or the scaled target.
    """
    if not tf.distribute.has_strategy():  # whose scope a cleared session would end
        keras.utils.clear_session()  # lets go of what earlier trials left, and counts names from 1
    hp = hyperparameters
    plan = resolve(hp, shape.n_inputs)
    seeds = _seeds(hp.seed)
    given, parts, embedded, hot = _parts(hp, shape, plan.members, seeds)
    x = parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="inputs")(parts)
    members, first = plan.members, None
    for number, width in enumerate(plan.widths, start=1):
        name = f"hidden_{number}"
        x, layer = _dense(hp, x, width // members, members, seeds, name=name, apart=bool(first))
        first = first or layer
        if hp.batch_norm:
            x = keras.layers.BatchNormalization(name=f"norm_{number}")(x)
        if hp.activation == "prelu":
            x = keras.layers.PReLU(name=f"activation_{number}")(x)
        elif hp.activation == "gelu":
            x = keras.ops.gelu(x, approximate=True)  # Activation has the exact form
        else:
            x = keras.layers.Activation(hp.activation, name=f"activation_{number}")(x)
        if plan.dropout:
            drop = keras.layers.Dropout(plan.dropout, seed=next(seeds), name=f"dropout_{number}")
            x = drop(x)
    if members == 1:
        x, _ = _dense(hp, x, shape.outputs, 1, seeds, name="logits", apart=True)
    else:
        x, _ = _dense(hp, x, shape.outputs, members, seeds, name="last", apart=True)
        x = keras.layers.Reshape((members, shape.outputs), name=MEMBERS)(x)
        x = keras.layers.GlobalAveragePooling1D(name="logits")(x)
    if shape.task != "regression":
        activation = "sigmoid" if shape.task == "binary" else "softmax"
        x = keras.layers.Activation(activation, name="output")(x)
    model = keras.Model(given, x, name="network")
    _silence_unseen(first, shape, hot, embedded)
    return model


def logits(model: keras.Model) -> keras.Model:
    """The same network up to the last activation; losses computed there lose no digits."""
    return keras.Model(model.inputs, model.get_layer("logits").output)


def members(model: keras.Model) -> keras.Model:
    """What learns: logits of each member [n, members, outputs]; of a single network `logits`."""
    if all(layer.name != MEMBERS for layer in model.layers):
        return logits(model)
    return keras.Model(model.inputs, model.get_layer(MEMBERS).output)


def inputs(model: keras.Model, numeric: Any, codes: Any) -> list[Any]:
    """The matrices that the model takes, in its order."""
    given = {"numeric": numeric, "codes": codes}
    return [given[tensor.name] for tensor in model.inputs]


def outputs(task: Task, answer: tf.Tensor) -> tf.Tensor:
    """What the whole model answers where its logits are `answer`."""
    if task == "binary":
        return tf.sigmoid(answer)
    return tf.nn.softmax(answer) if task == "multiclass" else answer


def losses(task: Task) -> Loss:
    """(target [n], logits [n, outputs]) → loss of each row [n]: cross-entropy or squared error."""
    if task == "binary":
        return lambda target, answer: tf.nn.sigmoid_cross_entropy_with_logits(target, answer[:, 0])
    if task == "multiclass":
        return tf.nn.sparse_softmax_cross_entropy_with_logits  # type: ignore[no-any-return]
    return lambda target, answer: tf.square(target - answer[:, 0])


def training_losses(
    hyperparameters: Hyperparameters, task: Task, target: npt.NDArray[np.generic]
) -> Loss:
    """As `losses`, with the class weights and the label smoothing that training adds.

    It takes what `members` gives. The losses of an ensemble's members are added up, so that each
    learns as if it were alone.

    What is measured has neither, so that trials of different settings can be compared.

    Args:
        hyperparameters: class_weights and label_smoothing are read.
        task: what the target is.
        target: the training rows', from which balanced weights follow: rows / (classes x count),
            as scikit-learn has them.

    Raises:
        HyperparameterError: the task is regression, which has no classes, and one of them is set.
    """
    plain, smoothing = losses(task), hyperparameters.label_smoothing
    balanced = hyperparameters.class_weights == "balanced"
    if not smoothing and not balanced:
        return _of_members(plain)
    if task == "regression":
        raise HyperparameterError(
            "there are no classes in a regression",
            where=f"hyperparameter {'class_weights' if balanced else 'label_smoothing'!r}",
            cure="Leave it out",
        )
    counts = np.bincount(target.astype(np.int64))
    weights = tf.constant(counts.sum() / (len(counts) * np.maximum(counts, 1)), tf.float32)

    def smooth(target: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
        if task == "binary":
            return plain(target * (1.0 - smoothing) + 0.5 * smoothing, answer)
        spread = -tf.reduce_mean(tf.nn.log_softmax(answer), axis=1)
        return (1.0 - smoothing) * plain(target, answer) + smoothing * spread

    def loss(target: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
        rows = smooth(target, answer)
        return rows * tf.gather(weights, tf.cast(target, tf.int32)) if balanced else rows

    return _of_members(loss)


def _of_members(loss: Loss) -> Loss:
    def total(target: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
        if len(answer.shape) == 2:
            return loss(target, answer)
        count, width = answer.shape[1:]
        rows = loss(tf.repeat(target, count), tf.reshape(answer, (-1, width)))
        return tf.reduce_sum(tf.reshape(rows, (-1, count)), axis=1)

    return total


def optimizer(hyperparameters: Hyperparameters) -> keras.optimizers.Optimizer:
    """The optimizer that the hyperparameters name."""
    return _OPTIMIZERS[hyperparameters.optimizer](learning_rate=hyperparameters.learning_rate)


def kernels(model: keras.Model) -> list[npt.NDArray[np.float32]]:
    """The weights that L1 and L2 act on."""
    layers = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Embedding)
    return [
        value(layer.weights[0])
        for layer in model.layers
        if layer.trainable and isinstance(layer, layers) and layer.name != "frequencies"
    ]


def value(variable: keras.Variable) -> npt.NDArray[Any]:
    """A variable's value, copied: TensorFlow may go on writing to the array that it gives out."""
    return np.array(variable.numpy())


def _dense(
    hp: Hyperparameters,
    x: Any,
    width: int,
    members: int,
    seeds: Iterator[int],
    *,
    name: str,
    apart: bool,
) -> tuple[Any, keras.layers.Layer]:
    """`width` neurons of each member, side by side: [n, members x width]; and their layer.

    `x` is what they read: the inputs, or where `apart` the neurons of the layer before, of which
    each member reads its own.
    """
    layers, options = keras.layers, {"kernel_regularizer": _penalty(hp), "name": name}
    if members == 1 or not apart:
        layer = layers.Dense(members * width, **options)
        x = layer(x)
    else:
        layer = layers.EinsumDense(
            "nmi,mio->nmo", output_shape=(members, width), bias_axes="mo", **options
        )
        x = layer(layers.Reshape((members, x.shape[1] // members))(x))
        x = layers.Reshape((members * width,))(x)
    # An initializer looks at the shape of what it fills, so each member's weights are drawn apart.
    fan_in = layer.kernel.shape[-2]
    kernels = _drawn(hp.kernel_initializer, members, (fan_in, width), seeds)
    biases = _drawn(hp.bias_initializer, members, (width,), seeds)
    layer.kernel.assign(kernels if layer.kernel.ndim == 3 else np.concatenate(kernels, axis=1))
    layer.bias.assign(biases.reshape(layer.bias.shape))
    return x, layer


def _drawn(
    name: str, count: int, shape: tuple[int, ...], seeds: Iterator[int]
) -> npt.NDArray[np.float32]:
    draws = [_initializer(name, seeds)(shape) for _ in range(count)]
    return np.stack([keras.ops.convert_to_numpy(draw) for draw in draws])


def _parts(
    hp: Hyperparameters, shape: Shape, members: int, seeds: Iterator[int]
) -> tuple[list[Any], list[Any], dict[int, keras.layers.Embedding], dict[int, int]]:
    """Input tensors; what is concatenated; embeddings, and first rows of one-hots, by column."""
    given: list[Any] = []
    parts: list[Any] = []
    embedded: dict[int, keras.layers.Embedding] = {}
    hot: dict[int, int] = {}
    offset = 0
    if shape.numeric:
        given.append(keras.Input((shape.numeric,), dtype="float32", name="numeric"))
        parts.append(_numbers(hp, shape, given[0], members, seeds))
        offset = parts[0].shape[1]
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
                embeddings_regularizer=_penalty(hp, members),
                name=f"embedding_{k}",
            )
            offset += width
            parts.append(embedded[k](codes[:, k]))
    return given, parts, embedded, hot


def _numbers(
    hp: Hyperparameters, shape: Shape, numeric: Any, members: int, seeds: Iterator[int]
) -> Any:
    """The numbers [n, D] as the hidden layers get them: [n, D x width], or as they are."""
    layers = keras.layers
    if hp.numeric_embedding == "none":
        return numeric
    if hp.numeric_embedding == "piecewise_linear":
        # One frozen layer measures every number against each of its bins; ReLU cuts off what lies
        # before a bin and after it.
        count = bin_count(shape.numeric) if hp.numeric_bins == "auto" else hp.numeric_bins
        slopes, starts = _bins(shape, count)
        measure = layers.Dense(starts.size, trainable=False, name="bins")
        x = measure(numeric)
        measure.set_weights([slopes, starts])
        return layers.ReLU(max_value=1.0, name="numbers")(x)
    angles = layers.EinsumDense(
        "nf,fk->nfk",
        output_shape=(shape.numeric, hp.frequencies),
        kernel_initializer=keras.initializers.RandomNormal(
            stddev=2 * math.pi * hp.frequency_scale, seed=next(seeds)
        ),
        name="frequencies",
    )(numeric)
    waves = layers.Concatenate(name="waves")([keras.ops.sin(angles), keras.ops.cos(angles)])
    x = layers.EinsumDense(
        "nfk,fkd->nfd",
        output_shape=(shape.numeric, hp.numeric_embedding_dim),
        bias_axes="fd",
        kernel_initializer=keras.initializers.RandomUniform(
            *(sign / math.sqrt(2 * hp.frequencies) for sign in (-1, 1)), seed=next(seeds)
        ),
        kernel_regularizer=_penalty(hp, members),
        activation="relu",
        name="numeric_embedding",
    )(waves)
    return layers.Flatten(name="numbers")(x)


def quantiles(numeric: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """QUANTILES + 1 evenly spread quantiles of each column of training rows [n, D]: [D, …].

    Of very many rows every second, third, … is taken: 100,000 give bins as good, sooner.
    """
    numeric = numeric[:: max(len(numeric) // ENOUGH_ROWS, 1)]
    shares = np.linspace(0.0, 1.0, QUANTILES + 1)
    return np.ascontiguousarray(np.quantile(numeric, shares, axis=0).T.astype(np.float32))


def _bins(shape: Shape, count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Kernel [D, D x count] and bias [D x count] that give (x - start) / width of each bin.

    Bins lie between distinct quantiles, NARROW apart or more, so that a value which most rows share
    (the zero of an amount that is rarely there) takes one edge and leaves the others to the rest. A
    column with fewer bins than `count` has zeros in place of the missing ones.
    """
    if shape.quantiles is None:
        raise TrainingError("piecewise-linear embeddings need the quantiles of the training rows")
    slopes = np.zeros((shape.numeric, shape.numeric, count), dtype=np.float32)
    starts = np.zeros((shape.numeric, count), dtype=np.float32)
    for column, values in enumerate(shape.quantiles):
        distinct = [values[0]]
        for value in values[1:]:
            if value - distinct[-1] >= NARROW:
                distinct.append(value)
        places = np.unique(np.round(np.linspace(0, len(distinct) - 1, count + 1)).astype(int))
        edges = np.array(distinct)[places]
        widths = np.diff(edges)
        slopes[column, column, : len(widths)] = 1.0 / widths
        starts[column, : len(widths)] = -edges[:-1] / widths
    return slopes.reshape(shape.numeric, -1), starts.reshape(-1)


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


def _penalty(hp: Hyperparameters, members: int = 1) -> keras.regularizers.Regularizer | None:
    """L1 and L2 as the hyperparameters have them, once for each member that a weight serves."""
    l1, l2 = hp.l1 * members, hp.l2 * members
    if l1 and l2:
        return keras.regularizers.L1L2(l1=l1, l2=l2)
    if l1:
        return keras.regularizers.L1(l1)
    return keras.regularizers.L2(l2) if l2 else None


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
