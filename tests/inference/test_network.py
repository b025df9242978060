"""The network in this process: an answer does not depend on who else asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference import handler, network
from shared.schema import Task
from shared.transforms import Encoded
from tests.support import bundles

WIDTHS = {"narrow": (5,), "as wide as a register": (16, 8), "wide": (67, 33)}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
def test_a_row_alone_gets_the_bits_that_it_gets_among_others(
    tmp_path: Path, task: Task, widths: tuple[int, ...]
) -> None:
    model = handler.model_fn(bundles.build(tmp_path / "bundle", task, widths=widths))
    random = np.random.default_rng(0)
    rows = 203
    together = Encoded(
        random.normal(size=(rows, len(model.transforms.numeric_names))).astype(np.float32),
        random.integers(0, 3, (rows, len(model.transforms.categories))).astype(np.int32),
    )
    expected = model.run(together)
    for size in (1, 2, 3, 4, 5, 7, 8, 13, 64, 65):
        for start in range(0, rows, size):
            part = slice(start, start + size)
            alone = model.run(Encoded(together.numeric[part], together.codes[part]))
            assert np.array_equal(alone, expected[part])


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
