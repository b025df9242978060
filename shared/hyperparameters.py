"""Every knob of training: default, bounds, help; string decoding; rules of thumb; the metric line.

Here: what a hyperparameter is, how it travels through SageMaker, what "auto" means, and how one
epoch's numbers are printed so that a SageMaker metric definition reads them. Not here: the network
itself (training/network.py) and the search (training/tuning.py).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import textwrap
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.documents import show
from shared.errors import HyperparameterError, ProjectError, nearest

INITIALIZERS = (
    "glorot_uniform",
    "glorot_normal",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "random_uniform",
    "random_normal",
    "zeros",
)
ACTIVATIONS = ("relu", "prelu", "elu", "selu", "gelu", "silu", "tanh")
OPTIMIZERS = ("adam", "adamax", "nadam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "plateau")
CLASS_WEIGHTS = ("none", "balanced")
NUMERIC_EMBEDDINGS = ("none", "piecewise_linear", "periodic")
MIN_WIDTH, MAX_WIDTH = 8, 1024
DEEP = 20
WIDE = 256
LAST_SHARE = 0.3
WARM_UP = 0.05
MEMBERS = 8
MEMBER_WIDTH = 64
_WANTED: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}
RESERVED = ("sagemaker_", "_tuning_objective_metric", "model_dir")


def _knob(
    default: Any,
    help_text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    metadata = {"help": help_text, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Hyperparameters:
    """All knobs. A field's metadata holds its help, its bounds (low, high) and its choices.

    Raises:
        HyperparameterError: a value is of the wrong type, out of bounds or not among the choices.
    """

    layers: Literal["auto"] | int = _knob("auto", "hidden layers; auto: 2", low=1, high=100)
    units: Literal["auto"] | int = _knob(
        "auto",
        "width of the first hidden layer; auto: the power of two nearest twice the inputs, in an "
        f"ensemble {MEMBER_WIDTH} a member or more",
        low=1,
        high=8192,
    )
    ensemble: Literal["auto"] | int = _knob(
        "auto",
        "networks side by side that share out the units, and whose mean is the answer; auto: "
        f"{MEMBERS}, of given units one for every {MEMBER_WIDTH}, {MEMBERS} at most",
        low=1,
        high=64,
    )
    taper: Literal["auto"] | bool = _knob(
        "auto", f"halve the width towards the end; auto: beyond {DEEP} layers"
    )
    activation: str = _knob("relu", "activation of the hidden layers", choices=ACTIVATIONS)
    kernel_initializer: str = _knob("glorot_uniform", "initial weights", choices=INITIALIZERS)
    bias_initializer: str = _knob("zeros", "initial biases", choices=INITIALIZERS)
    l1: float = _knob(0.0, "Keras's L1 coefficient of the kernels", low=0.0, high=1.0)
    l2: float = _knob(0.0, "Keras's L2 coefficient of the kernels", low=0.0, high=1.0)
    dropout: Literal["auto"] | float = _knob(
        "auto",
        "share of neurons silenced; auto: 0.3 in wide untapered networks without L2, else 0",
        low=0.0,
        high=0.95,
    )
    batch_norm: bool = _knob(False, "batch normalization after each hidden layer")
    embedding_dim: Literal["auto"] | int = _knob(
        "auto", "width of a category's embedding; auto: 1.6 * levels ** 0.56", low=1, high=512
    )
    numeric_embedding: str = _knob(
        "piecewise_linear",
        "how numbers enter: as they are, by bins of the training rows, or by sines and cosines",
        choices=NUMERIC_EMBEDDINGS,
    )
    numeric_embedding_dim: int = _knob(
        8, "width of a number's embedding where it is periodic", low=1, high=512
    )
    numeric_bins: Literal["auto"] | int = _knob(
        "auto",
        "bins of a number whose embedding is piecewise linear; auto: 48, fewer beyond ten numbers",
        low=1,
        high=256,
    )
    frequencies: int = _knob(
        16, "sines, and as many cosines, of a number whose embedding is periodic", low=1, high=256
    )
    frequency_scale: float = _knob(
        1.0, "standard deviation of the initial frequencies, in turns a unit", low=1e-4, high=100.0
    )
    class_weights: str = _knob(
        "none",
        "balanced: every class counts the same in training, so that scores are no longer shares",
        choices=CLASS_WEIGHTS,
    )
    label_smoothing: float = _knob(
        0.0, "share of each label spread over all classes in training", low=0.0, high=0.5
    )
    optimizer: str = _knob("adam", "optimizer", choices=OPTIMIZERS)
    learning_rate: float = _knob(0.001, "learning rate, at its highest", low=1e-7, high=10.0)
    schedule: str = _knob(
        "plateau",
        "cosine: falls to 0 over the epochs; plateau: falls while the validation loss does not",
        choices=SCHEDULES,
    )
    warmup: Literal["auto"] | float = _knob(
        "auto",
        "epochs in which the learning rate rises from 0; auto: a twentieth of them before a "
        "cosine, else 0",
        low=0.0,
        high=10000.0,
    )
    batch_size: Literal["auto"] | int = _knob("auto", "rows a step; auto: 64", low=1, high=65536)
    epochs: int = _knob(60, "epochs at most", low=1, high=10000)
    patience: int = _knob(
        6, "epochs without a better validation loss before stopping", low=1, high=10000
    )
    seed: int = _knob(0, "seed of everything random", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)


NAMES = tuple(field.name for field in dataclasses.fields(Hyperparameters))


@dataclass(frozen=True)
class Range:
    """A number to search between two bounds, both included.

    Raises:
        ProjectError: the bounds are in the wrong order, or a logarithm of them does not exist.
    """

    min: float
    max: float
    scale: Literal["linear", "log"] = "linear"
    integer: bool = False

    def __post_init__(self) -> None:
        if not self.min < self.max:
            raise ProjectError(f"min = {self.min} must be less than max = {self.max}")
        if self.scale == "log" and self.min <= 0:
            raise ProjectError(f"min = {self.min} must be positive on a log scale")
        if self.integer and not (float(self.min).is_integer() and float(self.max).is_integer()):
            raise ProjectError(f"min = {self.min} and max = {self.max} must be whole numbers")


@dataclass(frozen=True)
class Choice:
    """Values to choose from.

    Raises:
        ProjectError: there are none, or one is there twice.
    """

    values: tuple[bool | int | float | str, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ProjectError("values must hold one value or more")
        for place, value in enumerate(self.values):
            if value in self.values[:place]:
                raise ProjectError(f"{show(value)} is listed twice", cure="List it once")


def check_space(space: Mapping[str, Range | Choice]) -> None:
    """A search space names knobs, and every value in it is one that the knob allows.

    Raises:
        HyperparameterError: a name or a value is not allowed.
    """
    for name, dimension in space.items():
        field = _field(name)
        if isinstance(dimension, Choice):
            for value in dimension.values:
                _checked(field, value)
            continue
        if _types()[name][0] is int and not dimension.integer:
            raise HyperparameterError(
                "a range of whole numbers is needed",
                where=f"hyperparameter {name!r}",
                cure="Add integer = true",
            )
        for bound in (dimension.min, dimension.max):
            _checked(field, int(bound) if dimension.integer else bound)


def decode(raw: Mapping[str, object]) -> Hyperparameters:
    """Hyperparameters as SageMaker hands them over: strings, JSON inside, sometimes twice.

    Args:
        raw: names and values of hyperparameters.json. The platform's own are set aside.

    Raises:
        HyperparameterError: an unknown name (the nearest is named), or a value that is not allowed.
    """
    values: dict[str, Any] = {}
    for name, text in raw.items():
        if name.startswith(RESERVED):
            continue
        field = _field(name)
        values[name] = _checked(field, _unquoted(text))
    return Hyperparameters(**values)


def encode(hyperparameters: Hyperparameters) -> dict[str, str]:
    """Hyperparameters as SageMaker wants them: one JSON text by name; `decode` reads it back."""
    return {name: json.dumps(getattr(hyperparameters, name)) for name in NAMES}


def _field(name: str) -> dataclasses.Field[Any]:
    for field in dataclasses.fields(Hyperparameters):
        if field.name == name:
            return field
    raise HyperparameterError(
        "there is no such hyperparameter",
        where=f"hyperparameter {name!r}",
        cure=nearest(name, NAMES),
    )


def _unquoted(value: object) -> object:
    """JSON text decoded, at most twice; text that is not JSON stays as it is."""
    for _ in range(2):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value


def _checked(field: dataclasses.Field[Any], value: object) -> object:
    """The value in the field's own type.

    Raises:
        HyperparameterError: it has none.
    """
    where = f"hyperparameter {field.name!r}"
    kind, auto = _types()[field.name]
    if auto and value == "auto":
        return value
    wanted = _WANTED[kind]
    typed = _typed(kind, value)
    if typed is None:
        allowed = f'"auto" or {wanted}' if auto else wanted
        raise HyperparameterError(f"{allowed} is needed, not {show(value)}", where=where)
    choices = field.metadata["choices"]
    if choices and typed not in choices:
        raise HyperparameterError(
            f"{show(value)} is not one of {', '.join(choices)}",
            where=where,
            cure=nearest(str(typed), choices),
        )
    low, high = field.metadata["low"], field.metadata["high"]
    if low is not None and not low <= typing.cast(float, typed) <= high:
        raise HyperparameterError(f"{show(value)} is not between {low:g} and {high:g}", where=where)
    return typed


@functools.cache
def _types() -> dict[str, tuple[type, bool]]:
    """The type of each knob, and whether it may be "auto"."""
    types = {}
    for name, hint in typing.get_type_hints(Hyperparameters).items():
        arms = typing.get_args(hint) or (hint,)
        types[name] = (next(kind for kind in _WANTED if kind in arms), Literal["auto"] in arms)
    return types


def _typed(kind: type, value: object) -> object | None:
    if kind is str:
        return value if isinstance(value, str) else None
    if kind is bool:
        return (
            {"True": True, "False": False}.get(value)
            if isinstance(value, str)
            else (value if isinstance(value, bool) else None)
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if kind is int:
        return int(value) if float(value).is_integer() else None
    return float(value)


@dataclass(frozen=True)
class Resolved:
    """What "auto" became for one network.

    Args:
        widths: neurons of each hidden layer, first to last, of all members together.
        members: networks of an ensemble; each has an equal part of the neurons.
        dropout: share of neurons silenced after each hidden layer.
        batch_size: rows a step.
        warmup: epochs in which the learning rate rises.
    """

    widths: tuple[int, ...]
    members: int
    dropout: float
    batch_size: int
    warmup: float


def resolve(hyperparameters: Hyperparameters, n_inputs: int) -> Resolved:
    """Apply the rules of thumb.

    Args:
        hyperparameters: the knobs, "auto" among them.
        n_inputs: numeric columns plus all category levels, whether embedded or one-hot.
    """
    hp = hyperparameters
    layers = 2 if hp.layers == "auto" else hp.layers
    first, members = _shared_out(hp, n_inputs)
    taper = layers > DEEP if hp.taper == "auto" else hp.taper
    widths = tapered(first, layers, n_inputs) if taper else (first,) * layers
    widths = tuple(math.ceil(width / members) * members for width in widths)
    dropout = hp.dropout
    if dropout == "auto":
        wide_untapered = first // members >= WIDE and widths[-1] == widths[0]
        dropout = 0.3 if wide_untapered and hp.l2 == 0 else 0.0
    warmup = hp.warmup
    if warmup == "auto":
        warmup = WARM_UP * hp.epochs if hp.schedule == "cosine" else 0.0
    batch_size = 64 if hp.batch_size == "auto" else hp.batch_size
    return Resolved(widths, members, dropout, batch_size, warmup)


def _shared_out(hp: Hyperparameters, n_inputs: int) -> tuple[int, int]:
    """Width of the first hidden layer, and the members that share it out."""
    if hp.units == "auto":
        members = MEMBERS if hp.ensemble == "auto" else hp.ensemble
        least = members * MEMBER_WIDTH if members > 1 else 0
        return max(first_width(n_inputs), least), members
    fitting = min(max(hp.units // MEMBER_WIDTH, 1), MEMBERS)
    return hp.units, fitting if hp.ensemble == "auto" else hp.ensemble


def broken_rules(hyperparameters: Hyperparameters, n_inputs: int) -> list[str]:
    """The rules of thumb that values given by hand break, a sentence each; "auto" breaks none."""
    plan = resolve(hyperparameters, n_inputs)
    first, last = plan.widths[0], plan.widths[-1]
    broken = []
    if last < min(LAST_SHARE * n_inputs, MAX_WIDTH):
        broken.append(
            f"The last hidden layer has {last} neurons, less than {LAST_SHARE:.0%} of the "
            f"{n_inputs} inputs (category levels counted); raise units, or leave it to auto"
        )
    each = first // plan.members
    if each >= WIDE and first == last and not plan.dropout and not hyperparameters.l2:
        broken.append(
            f"The network is wide ({each} neurons) and has neither l2 nor dropout; set l2, or "
            "dropout to about 0.3, or leave dropout to auto"
        )
    return broken


def first_width(n_inputs: int) -> int:
    """The power of two nearest twice the inputs, ties up, from 8 to 1024 (100 → 256, 300 → 512)."""
    doubled = max(2 * n_inputs, 1)
    below = 1 << (doubled.bit_length() - 1)
    nearest_power = below if doubled - below < 2 * below - doubled else 2 * below
    return min(max(nearest_power, MIN_WIDTH), MAX_WIDTH)


def tapered(first: int, layers: int, n_inputs: int) -> tuple[int, ...]:
    """Widths that halve in equal steps (30 layers: 8 of the first width, 8 of half of it, …).

    None is below the power of two that holds 30 % of the inputs, nor below 8; nor above `first`.
    """
    step = max(1, round(layers * 8 / 30))
    least = MIN_WIDTH
    while least < LAST_SHARE * n_inputs:
        least *= 2
    return tuple(max(first >> (layer // step), min(least, first)) for layer in range(layers))


def embedding_width(levels: int) -> int:
    """Width of an embedding of so many levels: 1.6 * levels ** 0.56, 1 to 50 (fastai's rule)."""
    return max(1, min(50, round(1.6 * math.pow(levels, 0.56))))


def bin_count(numbers: int) -> int:
    """Bins of each number: 48, so many fewer that all together are 512 at most, but not below 8."""
    return max(8, min(48, 512 // max(numbers, 1)))


METRICS = (
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "train_auc",
    "val_auc",
    "train_rmse",
    "val_rmse",
    "test_loss",
    "test_accuracy",
    "test_auc",
    "test_rmse",
    "val_pr_auc",
    "test_pr_auc",
    "val_f1",
    "test_f1",
    "val_macro_f1",
    "test_macro_f1",
    "val_mae",
    "test_mae",
    "val_r2",
    "test_r2",
    "learning_rate",
)


def explained() -> str:
    """Every knob with its default, bounds or choices, and help: what `--help` teaches."""
    lines = []
    for field in dataclasses.fields(Hyperparameters):
        low, high, choices = (field.metadata[part] for part in ("low", "high", "choices"))
        allowed = ", ".join(choices)
        if low is not None:
            allowed = f"{low:g} to {high:g}"
        text = field.metadata["help"] + (f" ({allowed})" if allowed else "")
        head = f"{field.name} = {json.dumps(field.default)}"
        lines += textwrap.wrap(
            text, 98, initial_indent=f"  {head:<34} ", subsequent_indent=" " * 37
        )
    return "\n".join(lines)


def metric_line(epoch: int, metrics: Mapping[str, float]) -> str:
    """One epoch's numbers as the plain line that `metric_definitions` read.

    Raises:
        HyperparameterError: a metric is not among METRICS, so that no definition would read it.
    """
    for name in metrics:
        if name not in METRICS:
            raise HyperparameterError(
                "there is no such metric", where=f"metric {name!r}", cure=nearest(name, METRICS)
            )
    numbers = " ".join(f"{name}={value:.6g}" for name, value in metrics.items())
    return f"[metric] epoch={epoch} {numbers}"


def metric_definitions() -> list[dict[str, str]]:
    """SageMaker metric definitions (Name, Regex), at most 40, one float captured by each."""
    number = r"([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)"
    return [{"Name": name, "Regex": rf"\[metric\] .*\b{name}={number}"} for name in METRICS]
