"""ONNX files that hold more than a network."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from shared import networks
from shared.errors import BundleError
from tests.support import bundles

FLOAT = TensorProto.FLOAT
PRODUCT = helper.make_node("MatMul", ["numeric", "w"], ["output"])


def model(*nodes: onnx.NodeProto, weights: Sequence[TensorProto] = (), **more: Any) -> bytes:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("numeric", FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("output", FLOAT, ["n", 1])],
        weights,
    )
    return bytes(helper.make_model(graph, **more).SerializeToString())


def weight(*dims: int, **fields: Any) -> TensorProto:
    return TensorProto(name="w", data_type=FLOAT, dims=dims, **fields)


def external(location: str) -> TensorProto:
    entry = onnx.StringStringEntryProto(key="location", value=location)
    return weight(3, 1, data_location=TensorProto.EXTERNAL, external_data=[entry])


def branch() -> onnx.NodeProto:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["numeric"], ["x"])],
        "inner",
        [],
        [helper.make_tensor_value_info("x", FLOAT, None)],
    )
    return helper.make_node("If", ["numeric"], ["output"], then_branch=inner, else_branch=inner)


def function() -> onnx.FunctionProto:
    return helper.make_function("evil", "f", ["x"], ["y"], [PRODUCT], [helper.make_opsetid("", 18)])


HOSTILE = {
    "data in another file": (model(PRODUCT, weights=[external("w.bin")]), "'w' lies outside"),
    "data further up": (model(PRODUCT, weights=[external("../../etc/passwd")]), "outside"),
    "data somewhere": (model(PRODUCT, weights=[external("/etc/passwd")]), "outside"),
    "data in another file, of a constant": (
        model(helper.make_node("Constant", [], ["output"], value=external("w.bin"))),
        "'w' lies outside",
    ),
    "a place, but not marked": (
        model(
            PRODUCT,
            weights=[
                weight(
                    3,
                    1,
                    raw_data=bytes(12),
                    external_data=[onnx.StringStringEntryProto(key="location", value="x")],
                )
            ],
        ),
        "outside",
    ),
    "an operator of somebody": (
        model(helper.make_node("Run", ["numeric"], ["output"], domain="evil")),
        "the operator 'Run' of 'evil' is not ONNX's",
    ),
    "an operator that our networks have not": (
        model(helper.make_node("ConstantOfShape", ["numeric"], ["output"])),
        "no network of this kit has the operator 'ConstantOfShape'",
    ),
    "an operator without a name": (model(helper.make_node("", ["numeric"], ["output"])), "''"),
    "a loop or a branch": (model(branch()), "the operator 'If' runs a graph inside"),
    "a function": (model(PRODUCT, functions=[function()]), "functions of its own"),
    "a sparse weight": (
        model(
            helper.make_node(
                "Constant",
                [],
                ["output"],
                sparse_value=helper.make_sparse_tensor(
                    numpy_helper.from_array(np.ones(1, np.float32), "v"),
                    numpy_helper.from_array(np.zeros(1, np.int64), "i"),
                    [1 << 40],
                ),
            )
        ),
        "sparse",
    ),
    "a huge weight without data": (model(PRODUCT, weights=[weight(1 << 33, 1)]), "claims more"),
    "a huge weight with little": (
        model(PRODUCT, weights=[weight(1 << 20, 1 << 20, raw_data=bytes(12))]),
        "'w' claims more than it holds",
    ),
    "a negative length": (model(PRODUCT, weights=[weight(-3, 1, raw_data=bytes(12))]), "claims"),
    "no graph": (b"\x08\x0a", "there is no network"),
    "nothing": (b"", "there is no network"),
    "text": (b"no network at all", "not an ONNX file"),
    "a message cut short": (model(PRODUCT)[:-5], "not a whole one"),
    "a number without end": (b"\x08" + b"\xff" * 20, "not an ONNX file"),
    "a group": (b"\x0b\x0c", "not an ONNX file"),
}


def checked(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    networks.check(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_holds_more_than_a_network_is_refused(tmp_path: Path, name: str) -> None:
    content, words = HOSTILE[name]
    with pytest.raises(BundleError, match=words) as caught:
        checked(tmp_path, content)
    assert "model.onnx" in str(caught.value)


def test_a_second_graph_in_the_file_is_looked_at_too(tmp_path: Path) -> None:
    good = model(PRODUCT, weights=[weight(3, 1, raw_data=bytes(12))])
    checked(tmp_path, good)
    with pytest.raises(BundleError, match="runs a graph inside"):
        checked(tmp_path, good + model(branch()))


def test_an_empty_list_of_lengths_does_not_hide_the_others(tmp_path: Path) -> None:
    lengths = b"\x0a\x00" + b"\x08" + b"\xff\xff\xff\xff\x0f"
    name = b"\x42\x01w"
    tensor = lengths + name
    initializer = b"\x2a" + bytes([len(tensor)]) + tensor
    with pytest.raises(BundleError, match="'w' claims more than it holds"):
        checked(tmp_path, b"\x3a" + bytes([len(initializer)]) + initializer)


def test_a_file_of_countless_parts_is_refused_before_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "MAX_FIELDS", 1000)
    with pytest.raises(BundleError, match="more than 1,000 parts"):
        checked(tmp_path, b"\x08\x0a" * 2000)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_our_own_networks_pass(tmp_path: Path, task: Any) -> None:
    networks.check(bundles.build(tmp_path / "bundle", task) / "model.onnx")


def test_any_bytes_are_either_a_network_or_refused(tmp_path: Path) -> None:
    chance = random.Random(1)
    good = model(PRODUCT, weights=[weight(3, 1, raw_data=bytes(12))])
    for _ in range(3000):
        spoilt = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        try:
            checked(tmp_path, bytes(spoilt))
        except BundleError as refused:
            assert str(refused).isprintable()  # noqa: PT017 - most pass, and few are refused
