"""A Keras network of network.py as plain arrays, for what serves it.

Dropout is left out, batch normalization is part of the layer before it, the mean of an ensemble's
members part of the output layer. Arrays are float64, so that what is folded is rounded once.

Layers are found by the names that `network.build` gives them. A mistake in reading here shows in
export.py's check against Keras, which every exported network has to pass.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.graph import Layer, Network
from training.network import value

Doubles = npt.NDArray[np.float64]


def read(model: keras.Model) -> Network:
    """The network that `network.build` made, with its present weights."""
    named = {layer.name: layer for layer in model.layers}
    widths = {tensor.name: tensor.shape[1] for tensor in model.inputs}
    hidden = list(
        itertools.takewhile(
            lambda name: name in named, (f"hidden_{number}" for number in itertools.count(1))
        )
    )
    return Network(
        numeric=widths.get("numeric", 0),
        numbers=_numbers(named),
        categories=_categories(named, widths.get("codes", 0)),
        layers=(
            *(_hidden(named, number) for number in range(1, len(hidden) + 1)),
            _output(named),
        ),
    )


def _numbers(named: dict[str, Any]) -> tuple[Layer, ...]:
    if "bins" in named:
        kernel, bias = _weights(named["bins"])
        return (Layer(kernel[None], bias, "clip"),)
    if "frequencies" in named:
        (frequencies,) = _weights(named["frequencies"])
        kernel, bias = _weights(named["numeric_embedding"])
        return (
            Layer(frequencies[:, None], np.zeros(frequencies.size), "waves"),
            Layer(kernel, bias.reshape(-1), "relu"),
        )
    return ()


def _categories(named: dict[str, Any], count: int) -> tuple[Doubles | int, ...]:
    # What is concatenated ends with the categories; one thing alone is not concatenated.
    if "inputs" in named:
        widths = [tensor.shape[1] for tensor in named["inputs"].input]
    else:
        widths = [named["hidden_1"].kernel.shape[0]]
    return tuple(
        _weights(named[f"embedding_{k}"])[0] if f"embedding_{k}" in named else width
        for k, width in enumerate(widths[len(widths) - count :])
    )


def _hidden(named: dict[str, Any], number: int) -> Layer:
    kernel, bias = _weights(named[f"hidden_{number}"])
    parts = kernel if kernel.ndim == 3 else kernel[None]
    bias = bias.reshape(-1)
    norm = named.get(f"norm_{number}")
    if norm is not None:
        gamma, beta, mean, variance = _weights(norm)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        parts = parts * scale.reshape(len(parts), 1, -1)
        bias = (bias - mean) * scale + beta
    activation = named.get(f"activation_{number}")
    if activation is None:  # an operation and no layer
        return Layer(parts, bias, "gelu")
    if isinstance(activation, keras.layers.PReLU):
        return Layer(parts, bias, "prelu", _weights(activation)[0])
    return Layer(parts, bias, activation.activation.__name__)


def _output(named: dict[str, Any]) -> Layer:
    if "last" in named:
        kernel, bias = _weights(named["last"])
        kernel, bias = np.concatenate(kernel / len(kernel)), bias.mean(axis=0)
    else:
        kernel, bias = _weights(named["logits"])
    activation = named["output"].activation.__name__ if "output" in named else "linear"
    return Layer(kernel[None], bias, activation)


def _weights(layer: Any) -> list[Doubles]:
    return [value(weight).astype(np.float64) for weight in layer.weights]
