"""What a network's ONNX file may hold, looked at before ONNX Runtime opens it.

A network computes; it reads no other file, brings no operator of its own, and repeats nothing. So
much is refused here: data kept outside the file, operators that no network of this kit has,
functions, graphs inside of operators (loops and branches), tensors that claim more than they hold.
Not here: whether it computes the right thing, which golden rows tell, nor how much memory it takes
for that, which its session bounds.

The file is protobuf, of which the few fields that matter are read (onnx.proto, in github.com/onnx).
Any field may come several times and in any order, and every one of them is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared import documents
from shared.errors import BundleError

MAX_BYTES = (1 << 31) - 1
"""Protobuf's own limit on a message."""
MAX_FIELDS = 2_000_000
DOMAINS = ("", "ai.onnx")
OPERATORS = frozenset(
    (
        *("Add", "Concat", "Cos", "Elu", "Gather", "Gelu", "Gemm", "HardSigmoid", "MatMul", "Mul"),
        *("PRelu", "ReduceSum", "Relu", "Reshape", "Selu", "Sigmoid", "Sin", "Softmax", "Tanh"),
        "Transpose",
        # In bundles from before training wrote its graphs itself.
        *("Cast", "Less", "Max", "Min", "Neg", "Not", "OneHot", "Pow", "ReduceMean", "Shape"),
        *("Slice", "Squeeze", "Unsqueeze"),
    )
)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_CURE = "Nothing in this kit makes such a network; train the model again"

# Field numbers of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 8, 13, 14
_TENSOR_DATA = (4, 5, 6, 7, 9, 10, 11)


def check(path: Path) -> None:
    """Refuse an ONNX file that holds more than a plain network.

    Raises:
        BundleError: it does, or is no ONNX file; the message names operator or tensor.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BundleError(f"{size} bytes are more than an ONNX file can have", where=str(path))
    try:
        _Reader(path.read_bytes()).check()
    except _Refused as refused:
        raise BundleError(str(refused), where=str(path), cure=_CURE) from None


class _Refused(ValueError):  # noqa: N818 - a finding, reported as an error above
    """Why the file is refused."""


@dataclass(frozen=True)
class _Field:
    """One field of a message: its number, and a number (`start` is 0) or the place of its bytes."""

    number: int
    value: int
    start: int
    end: int


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_FIELDS

    def check(self) -> None:
        graphs = 0
        for field in self._fields(0, len(self._data)):
            if field.number == _MODEL_FUNCTIONS:
                raise _Refused("the network brings functions of its own")
            if field.number == _MODEL_GRAPH:
                graphs += 1
                self._graph(field)
        if not graphs:
            raise _Refused("there is no network in it")

    def _graph(self, graph: _Field) -> None:
        for field in self._fields(graph.start, graph.end):
            if field.number == _GRAPH_NODE:
                self._node(field)
            elif field.number == _GRAPH_INITIALIZER:
                self._tensor(field)
            elif field.number == _GRAPH_SPARSE:
                raise _Refused("the network has a sparse tensor")

    def _node(self, node: _Field) -> None:
        fields = list(self._fields(node.start, node.end))
        operator = "".join(self._text(field) for field in fields if field.number == _NODE_OPERATOR)
        for field in fields:
            if field.number == _NODE_DOMAIN and self._text(field) not in DOMAINS:
                domain = documents.show(self._text(field))
                raise _Refused(f"the operator {documents.show(operator)} of {domain} is not ONNX's")
            if field.number == _NODE_ATTRIBUTE:
                self._attribute(field, operator)
        if operator not in OPERATORS:
            raise _Refused(f"no network of this kit has the operator {documents.show(operator)}")

    def _attribute(self, attribute: _Field, operator: str) -> None:
        for field in self._fields(attribute.start, attribute.end):
            if field.number in _ATTRIBUTE_GRAPHS:
                raise _Refused(f"the operator {documents.show(operator)} runs a graph inside")
            if field.number in _ATTRIBUTE_SPARSE:
                raise _Refused(f"the operator {documents.show(operator)} has a sparse tensor")
            if field.number in _ATTRIBUTE_TENSORS:
                self._tensor(field)

    def _tensor(self, tensor: _Field) -> None:
        dimensions: list[int] = []
        held, name, outside = 0, "", False
        for field in self._fields(tensor.start, tensor.end):
            if field.number == _TENSOR_NAME:
                name = documents.show(self._text(field))
            elif field.number == _TENSOR_DIMS:
                dimensions += self._numbers(field)
            elif field.number in _TENSOR_DATA:
                # An empty text is an element too.
                held += max(field.end - field.start, 1)
            elif field.number == _TENSOR_EXTERNAL or (
                field.number == _TENSOR_LOCATION and field.value
            ):
                outside = True
        if outside:
            raise _Refused(f"the data of the tensor {name} lies outside the file")
        # No type takes less than two bits.
        if math.prod(dimensions) > 4 * held:
            raise _Refused(f"the tensor {name} claims more than it holds")

    def _numbers(self, field: _Field) -> list[int]:
        """One number, or several that are packed."""
        if not field.start:
            return [field.value]
        numbers, place = [], field.start
        while place < field.end:
            self._count()
            number, place = self._varint(place, field.end)
            numbers.append(number)
        return numbers

    def _text(self, field: _Field) -> str:
        return self._data[field.start : field.end].decode("utf-8", "backslashreplace")

    def _fields(self, place: int, end: int) -> Iterator[_Field]:
        """The fields of the message between two places."""
        while place < end:
            self._count()
            tag, place = self._varint(place, end)
            number, kind = tag >> 3, tag & 7
            value = start = stop = 0
            if kind == _VARINT:
                value, place = self._varint(place, end)
            elif kind == _BYTES:
                size, start = self._varint(place, end)
                place = stop = start + size
            elif kind in (_FIXED32, _FIXED64):
                place += 4 if kind == _FIXED32 else 8
            else:
                raise _Refused("it is not an ONNX file")
            if place > end or not number:
                raise _Refused("it is not an ONNX file, or not a whole one")
            yield _Field(number, value, start, stop)

    def _varint(self, place: int, end: int) -> tuple[int, int]:
        """A number, and the place after it."""
        number = 0
        for shift in range(0, 70, 7):
            if place >= end:
                break
            byte = self._data[place]
            place += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number, place
        raise _Refused("it is not an ONNX file, or not a whole one")

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _Refused(f"the network has more than {MAX_FIELDS:,} parts")
