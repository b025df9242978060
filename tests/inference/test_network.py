"""The network in this process: an answer does not depend on who else asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference import network
from inference.handler import Run
from shared.hyperparameters import ACTIVATIONS
from shared.transforms import Encoded
from training import graph

COLUMNS = 5
SLOTS = (6, 60, 7)
ROWS = 203
RANDOM = np.random.default_rng(0)
PARTS = {"narrow": (1, 5), "wide": (1, 300), "an ensemble": (4, 8), "a large ensemble": (8, 33)}
"""Members, and the width of each; the last is multiplied member by member."""


def layer(parts: int, reads: int, neurons: int, activation: str) -> graph.Layer:
    return graph.Layer(
        RANDOM.normal(size=(parts, reads, neurons)) / np.sqrt(reads),
        RANDOM.normal(size=parts * neurons) / 4,
        activation,
        RANDOM.normal(size=parts * neurons) if activation == "prelu" else None,
    )


def made(
    path: Path,
    *,
    activation: str = "relu",
    parts: tuple[int, int] = (1, 16),
    numbers: tuple[graph.Layer, ...] = (),
    outputs: int = 1,
    final: str = "sigmoid",
) -> Run:
    """A random network of two hidden layers, as it is served."""
    members, width = parts
    columns = len(numbers[-1].bias) if numbers else COLUMNS
    tables = tuple(RANDOM.normal(size=(n, 9)) if n > 50 else n for n in SLOTS)
    inputs = columns + sum(t if isinstance(t, int) else 9 for t in tables)
    layers = (
        layer(1, inputs, members * width, activation),
        layer(members, width, width, activation),
        layer(1, members * width, outputs, final),
    )
    path.write_bytes(graph.write(graph.Network(COLUMNS, numbers, tables, layers)))
    return network.load(path)


def rows(count: int = ROWS) -> Encoded:
    random = np.random.default_rng(1)
    codes = np.stack([random.integers(0, n, count) for n in SLOTS], axis=1).astype(np.int32)
    return Encoded(random.normal(size=(count, COLUMNS)).astype(np.float32), codes)


def part(encoded: Encoded, start: int, size: int) -> Encoded:
    some = slice(start, start + size)
    return Encoded(encoded.numeric[some], encoded.codes[some])


def assert_alone_as_among_others(run: Run) -> None:
    expected = run(rows())
    assert len(np.unique(expected[:, 0])) > ROWS / 2
    for size in (1, 2, 3, 4, 5, 7, 8, 13, 64, 65):
        for start in range(0, ROWS, size):
            alone = run(part(rows(), start, size))
            assert np.array_equal(alone, expected[start : start + size])


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_row_alone_gets_the_bits_that_it_gets_among_others(
    tmp_path: Path, activation: str, parts: tuple[int, int]
) -> None:
    assert_alone_as_among_others(made(tmp_path / "model.onnx", activation=activation, parts=parts))


@pytest.mark.parametrize("outputs", [1, 2, 5, 33])
@pytest.mark.parametrize("final", ["sigmoid", "softmax", "linear"])
def test_so_it_does_whatever_is_answered(tmp_path: Path, final: str, outputs: int) -> None:
    if (final, outputs) != ("softmax", 1):
        assert_alone_as_among_others(made(tmp_path / "model.onnx", final=final, outputs=outputs))


NUMBERS = {
    "bins": (layer(1, COLUMNS, COLUMNS * 7, "clip"),),
    "waves": (layer(COLUMNS, 1, 3, "waves"), layer(COLUMNS, 6, 3, "relu")),
    "many waves": (layer(COLUMNS, 1, 25, "waves"), layer(COLUMNS, 50, 27, "relu")),
}


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
def test_so_it_does_however_numbers_enter(tmp_path: Path, numbers: tuple[graph.Layer, ...]) -> None:
    assert_alone_as_among_others(made(tmp_path / "model.onnx", numbers=numbers))


def test_so_it_does_where_embeddings_are_too_large_to_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "FOLDED", 0)
    assert_alone_as_among_others(made(tmp_path / "model.onnx"))


def test_so_it_does_among_thousands(tmp_path: Path) -> None:
    run = made(tmp_path / "model.onnx", parts=(8, 33), activation="silu")
    count = 3 * network.TOGETHER + 1
    expected = run(rows(count))
    assert expected.shape == (count, 1)
    for size in (1, 255, 257, 2 * network.TOGETHER):
        for start in {0, network.TOGETHER - 1, count - size}:
            found = run(part(rows(count), start, size))
            assert np.array_equal(found, expected[start : start + size])


def test_without_filling_up_they_would_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "ALIGNED", 1)
    waves = NUMBERS["many waves"]
    run = made(tmp_path / "model.onnx", parts=(8, 33), numbers=waves, outputs=5, final="linear")
    expected = run(rows())
    alone = np.concatenate([run(part(rows(), row, 1)) for row in range(ROWS)])
    assert not np.array_equal(alone, expected)


def test_a_network_that_makes_much_of_little_is_refused(tmp_path: Path) -> None:
    """ConstantOfShape: eight bytes that ask for 64 GB."""
    path = tmp_path / "model.onnx"
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["numeric", "sum"], ["output"]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3])]
        for name in ("numeric", "output")
    )
    size = numpy_helper.from_array(np.array([1 << 34]), "size")
    graph = helper.make_graph(nodes, "hostile", inputs, outputs, [size])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    rows = Encoded(np.zeros((4, 3), np.float32), np.zeros((4, 0), np.int32))
    with pytest.raises(Exception, match=r"smaller than requested|ALLOC|arena"):
        network.load(path)(rows)
