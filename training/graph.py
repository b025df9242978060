"""A network of plain arrays as an ONNX graph that computes it in few steps.

    numeric [n, D] ─ layers of each number by itself ─ Gemm ─┐
    codes [n, K] ─ + first rows ─ Gather ─ ReduceSum ────────┴─ activation ─ hidden layers ─ output

What lies between a category and the first activation is linear: its one-hot, or its embedding,
times its part of the first kernel. So each level has its share of the first layer's neurons
computed here, a row of one table for all columns, and a request adds up one row for each column.

For one row the number of steps decides, for many rows the multiplications. Two rules of size follow
(docs/decisions.md):

- An embedding whose share of the table would have more than FOLDED numbers stays an embedding.
- Neurons that read only those of their own part (an ensemble's members, a number's embedding) are
  multiplied as one matrix with zeros between the parts, if it has at most BLOCK numbers; else part
  by part.

Here: the graph. Not here: where the arrays come from (plain.py), nor whether the answers agree with
Keras's (export.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 20, 9
"""The first with Gelu; ONNX Runtime reads them since 1.17."""
FOLDED = 1 << 18
BLOCK = 1 << 14

Array = npt.NDArray[np.floating[Any]]

_FLOAT, _INT = TensorProto.FLOAT, TensorProto.INT32
_ACTIVATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "relu": ("Relu", {}),
    "elu": ("Elu", {}),
    "selu": ("Selu", {}),
    "gelu": ("Gelu", {"approximate": "tanh"}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": 1}),
    # From 0 to 1. ONNX Runtime computes it in one step with the product before, which of Clip it
    # does not.
    "clip": ("HardSigmoid", {"alpha": 1.0, "beta": 0.0}),
}


@dataclass(frozen=True)
class Layer:
    """Neurons in one part or in several, of which each reads its own share of the inputs.

    Args:
        kernel: [parts, inputs of a part, neurons of a part].
        bias: [parts x neurons].
        activation: a hyperparameter's, or `clip` (to 0 … 1), `waves` (of each part the sines and
            then the cosines), `sigmoid`, `softmax`, `linear`.
        slopes: of `prelu`, and of no other: [parts x neurons].
    """

    kernel: Array
    bias: Array
    activation: str = "linear"
    slopes: Array | None = None


@dataclass(frozen=True)
class Network:
    """All that an answer follows from.

    Args:
        numeric: columns of the numeric matrix.
        numbers: what happens to them before they meet the categories.
        categories: of each column its embedding [slots, width], or the number of slots where it is
            one-hot.
        layers: hidden layers and output. The first has one part; its inputs are the numbers, then
            each category.
    """

    numeric: int
    numbers: tuple[Layer, ...]
    categories: tuple[Array | int, ...]
    layers: tuple[Layer, ...]


def write(network: Network) -> bytes:
    """The network as ONNX bytes.

    Inputs `numeric` float32 [rows, D] and `codes` int32 [rows, K] (those that exist), output
    `output` float32 [rows, outputs of the last layer]. Equal arrays give equal bytes.
    """
    graph = _Graph()
    inputs = []
    joined: list[str] = []
    if network.numeric:
        inputs.append(helper.make_tensor_value_info("numeric", _FLOAT, ["rows", network.numeric]))
        x = "numeric"
        for layer in network.numbers:
            x = graph.layer(x, layer)
        joined.append(x)
    if network.categories:
        count = len(network.categories)
        inputs.append(helper.make_tensor_value_info("codes", _INT, ["rows", count]))
    x = graph.first(joined, network)
    for layer in network.layers[1:]:
        x = graph.layer(x, layer)
    outputs = len(network.layers[-1].bias)
    output = helper.make_tensor_value_info(x, _FLOAT, ["rows", outputs])
    return graph.serialized(inputs, output)


class _Graph:
    """Nodes in order of computation, and their constants."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def serialized(self, inputs: list[Any], output: Any) -> bytes:
        for node in self._nodes:
            node.output[:] = ["output" if x == output.name else x for x in node.output]
        output.name = "output"
        graph = helper.make_graph(self._nodes, "network", inputs, [output], self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def layer(self, x: str, layer: Layer) -> str:
        """The layer's answers [n, parts x neurons] to what `x` [n, parts x inputs] holds."""
        parts, reads, neurons = layer.kernel.shape
        if parts * reads * parts * neurons <= BLOCK or parts == 1:
            return self._activated(self._gemm(x, _block(layer.kernel), layer.bias), layer)
        x = self._add("Reshape", x, self._whole([0, parts, reads]))
        x = self._add("Transpose", x, perm=[1, 0, 2])
        x = self._add("MatMul", x, self._real(layer.kernel))
        x = self._add("Transpose", x, perm=[1, 0, 2])
        x = self._add("Reshape", x, self._whole([0, parts * neurons]))
        return self._activated(self._add("Add", x, self._real(layer.bias)), layer)

    def first(self, joined: list[str], network: Network) -> str:
        """The first hidden layer's answers to numbers and categories."""
        layer = network.layers[0]
        kernel = layer.kernel[0]
        taken = 0
        if joined:
            taken = len(network.numbers[-1].bias) if network.numbers else network.numeric
        kernels = [kernel[:taken]] if joined else []
        tables: dict[int, Array] = {}
        for column, category in enumerate(network.categories):
            width = category if isinstance(category, int) else category.shape[1]
            share = kernel[taken : taken + width]
            taken += width
            if isinstance(category, int):
                tables[column] = share
            elif len(category) * share.shape[1] <= FOLDED:
                tables[column] = category.astype(np.float64) @ share
            else:
                place = self._whole(column)
                code = self._add("Gather", "codes", place, axis=1)
                joined.append(self._add("Gather", self._real(category), code, axis=0))
                kernels.append(share)
        more: Array | str = layer.bias
        if tables:
            more = self._looked_up(tables, layer.bias, len(network.categories))
        if not kernels:
            return self._activated(str(more), layer)
        x = joined[0] if len(joined) == 1 else self._add("Concat", *joined, axis=1)
        return self._activated(self._gemm(x, np.concatenate(kernels), more), layer)

    def _looked_up(self, tables: Mapping[int, Array], bias: Array, columns: int) -> str:
        """What each row's levels add to the first layer, and its bias: [n, neurons]."""
        lengths = [len(table) for table in tables.values()]
        firsts = np.cumsum([0, *lengths[:-1]]).astype(np.int32)
        # Every row takes one row of each table, so the bias may come with any of them.
        rows = [table + bias * (not place) for place, table in enumerate(tables.values())]
        codes = "codes"
        if len(tables) < columns:
            codes = self._add("Gather", codes, self._whole(list(tables)), axis=1)
        codes = self._add("Add", codes, self._constant(firsts))
        found = self._add("Gather", self._real(np.concatenate(rows)), codes, axis=0)
        return self._add("ReduceSum", found, self._whole([1]), keepdims=0)

    def _gemm(self, x: str, kernel: Array, more: Array | str) -> str:
        added = more if isinstance(more, str) else self._real(more)
        return self._add("Gemm", x, self._real(kernel), added)

    def _activated(self, x: str, layer: Layer) -> str:
        name = layer.activation
        if name == "linear":
            return x
        if name == "silu":
            return self._add("Mul", x, self._add("Sigmoid", x))
        if layer.slopes is not None:
            return self._add("PRelu", x, self._real(layer.slopes))
        if name == "waves":
            parts, _, width = layer.kernel.shape
            x = self._add("Reshape", x, self._whole([0, parts, width]))
            x = self._add("Concat", self._add("Sin", x), self._add("Cos", x), axis=2)
            return self._add("Reshape", x, self._whole([0, parts * width * 2]))
        operator, options = _ACTIVATIONS[name]
        return self._add(operator, x, **options)

    def _add(self, operator: str, *inputs: str, **options: Any) -> str:
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **options))
        return output

    def _real(self, values: Array) -> str:
        return self._constant(np.ascontiguousarray(values, dtype=np.float32))

    def _whole(self, values: int | list[int]) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def _constant(self, values: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name


def _block(kernel: Array) -> Array:
    """One matrix [parts x inputs, parts x neurons], with zeros where no part reads."""
    parts, reads, neurons = kernel.shape
    whole = np.zeros((parts, reads, parts, neurons), kernel.dtype)
    for part in range(parts):
        whole[part, :, part] = kernel[part]
    return whole.reshape(parts * reads, parts * neurons)
