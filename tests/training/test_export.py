"""What serves answers as Keras does, whatever the network is made of and whatever it has learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import networks
from shared.errors import TrainingError
from shared.hyperparameters import ACTIVATIONS, NUMERIC_EMBEDDINGS, Hyperparameters
from shared.schema import Task
from shared.transforms import Encoded

if TYPE_CHECKING:
    from pathlib import Path

    from training.network import Shape

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
SHAPES = ((3, (6, 60)), (1, (60, 5, 40)), (4, ()), (0, (6,)), (0, (60,)), (5, (3, 4, 5, 6)))
WIDTHS = (
    {"units": 24, "layers": 2},
    {"units": 30, "layers": 3, "taper": True},
    {"units": 7, "layers": 1},
)


def shape(task: Task, numeric: int, slots: tuple[int, ...]) -> Shape:
    from training.network import Shape, quantiles

    known = np.random.default_rng(1).normal(size=(500, max(numeric, 1))).astype(np.float32)
    masks = tuple(np.arange(n) > 0 for n in slots)
    return Shape(numeric, masks, 4 if task == "multiclass" else 1, task, quantiles(known)[:numeric])


def fitted(hyperparameters: Hyperparameters, wanted: Shape, seed: int = 0) -> Any:
    """A network whose every weight is as if learnt: biases, slopes, moving statistics too."""
    from training import network

    random = np.random.default_rng(seed)
    model = network.build(hyperparameters, wanted)
    for variable in model.variables:
        if variable.path.startswith("bins/") or "seed" in variable.path:
            continue
        if "variance" in variable.path or "gamma" in variable.path:
            values = random.uniform(0.3, 3.0, variable.shape)
        elif len(variable.shape) > 1 and "embedding_" not in variable.path:
            values = random.normal(size=variable.shape) / np.sqrt(variable.shape[-2])
        else:
            values = random.normal(size=variable.shape) / 2
        variable.assign(values.astype(np.float32))
    return model


def rows(wanted: Shape, count: int) -> Encoded:
    random = np.random.default_rng(2)
    codes = [random.integers(0, len(mask), count) for mask in wanted.seen]
    return Encoded(
        random.normal(size=(count, wanted.numeric)).astype(np.float32),
        np.array(codes, dtype=np.int32).T.reshape(count, len(codes)),
    )


def agree(model: Any, wanted: Shape) -> onnx.ModelProto:
    """The exported network, whose answers are within 1e-5 of Keras's."""
    from training import export

    exported = export.to_onnx(model)
    ours, theirs = export.run_keras(model), export.run_onnx(exported)
    for some in (rows(wanted, 100), export.edge_rows(wanted)):
        worst = export.check_parity(ours, theirs, some, "the rows")
        assert worst <= export.TOLERANCE, f"differs by {worst}"
        spread = np.ptp(ours(some), axis=0).max()
        assert spread > 100 * worst, f"answers within {spread} prove nothing about {worst}"
    return onnx.load_from_string(exported)


@pytest.mark.parametrize("embedding", NUMERIC_EMBEDDINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_serves_answers_as_keras_does(activation: str, embedding: str, tmp_path: Path) -> None:
    """Alone and as an ensemble; tasks, columns, widths and normalization come in turn."""
    turn = ACTIVATIONS.index(activation) + 3 * NUMERIC_EMBEDDINGS.index(embedding)
    for members in (1, 3):
        turn += members
        wanted = shape(TASKS[turn % 3], *SHAPES[turn % len(SHAPES)])
        knobs = Hyperparameters(
            activation=activation,
            ensemble=members,
            numeric_embedding=embedding,
            numeric_bins=4,
            frequencies=3,
            embedding_dim=("auto", 2, 5)[turn // 2 % 3],
            batch_norm=turn // 2 % 2 == 0,
            dropout=0.2,
            **WIDTHS[turn // 3 % 3],
        )
        network = agree(fitted(knobs, wanted), wanted)
        onnx.save(network, tmp_path / "model.onnx")
        networks.check(tmp_path / "model.onnx")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_small_network_answers_as_in_keras(data: st.DataObject) -> None:
    draw = data.draw
    members = draw(st.sampled_from([1, 2, 5]), "members")
    knobs = Hyperparameters(
        layers=draw(st.integers(1, 4), "layers"),
        units=members * draw(st.integers(1, 20), "units"),
        ensemble=members,
        taper=draw(st.booleans(), "taper"),
        activation=draw(st.sampled_from(ACTIVATIONS), "activation"),
        batch_norm=draw(st.booleans(), "batch_norm"),
        dropout=draw(st.sampled_from([0.0, 0.3]), "dropout"),
        embedding_dim=draw(st.sampled_from(["auto", 1, 3, 9]), "embedding_dim"),
        numeric_embedding=draw(st.sampled_from(NUMERIC_EMBEDDINGS), "numeric_embedding"),
        numeric_embedding_dim=draw(st.integers(1, 4), "numeric_embedding_dim"),
        numeric_bins=draw(st.integers(1, 6), "numeric_bins"),
        frequencies=draw(st.integers(1, 4), "frequencies"),
    )
    slots = tuple(draw(st.lists(st.integers(2, 40), max_size=3), "slots"))
    numeric = draw(st.integers(0 if slots else 1, 4), "numeric")
    wanted = shape(draw(st.sampled_from(TASKS), "task"), numeric, slots)
    from training import export

    model = fitted(knobs, wanted, draw(st.integers(0, 99), "seed"))
    network = export.run_onnx(export.to_onnx(model))
    for some in (rows(wanted, 30), export.edge_rows(wanted)):
        export.check_parity(export.run_keras(model), network, some, "the rows")


def operators(network: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in network.graph.node]


def sizes(network: onnx.ModelProto) -> list[int]:
    return [int(np.prod(constant.dims)) for constant in network.graph.initializer]


def test_few_levels_and_small_ensembles_take_few_steps() -> None:
    wanted = shape("binary", 3, (6, 60))
    network = agree(fitted(Hyperparameters(units=32, ensemble=4), wanted), wanted)
    assert operators(network) == [
        *("Gemm", "HardSigmoid", "Add", "Gather", "ReduceSum", "Gemm", "Relu"),
        *("Gemm", "Relu", "Gemm", "Sigmoid"),
    ]


def test_a_large_ensemble_multiplies_member_by_member() -> None:
    from training import graph

    wanted = shape("multiclass", 3, (6, 60))
    knobs = Hyperparameters(units=512, ensemble=8, activation="silu")
    network = agree(fitted(knobs, wanted), wanted)
    assert "MatMul" in operators(network)
    assert graph.BLOCK < 8 * 64 * 64
    assert 512 * 512 not in sizes(network)


@pytest.mark.parametrize(("numeric", "slots"), [(2, (3000, 5, 600)), (0, (3000,)), (2, (600,))])
def test_an_embedding_whose_share_would_be_large_stays_one(
    numeric: int, slots: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import graph

    monkeypatch.setattr(graph, "FOLDED", 600 * 32)
    wanted = shape("binary", numeric, slots)
    network = agree(fitted(Hyperparameters(units=32, embedding_dim=4), wanted), wanted)
    assert (3000 * 4 in sizes(network)) == (3000 in slots)
    assert max(sizes(network)) <= graph.FOLDED + 32 * 5
    assert 600 * 4 not in sizes(network)


def test_a_hundred_thousand_levels_beside_a_wide_layer_grow_no_table() -> None:
    from training import export

    wanted = shape("binary", 2, (100_000,))
    model = fitted(Hyperparameters(units=1024, ensemble=1, embedding_dim=8), wanted)
    agree(model, wanted)
    weights = sum(variable.numpy().nbytes for variable in model.variables)
    assert len(export.to_onnx(model)) < 1.01 * weights


def test_equal_weights_give_equal_bytes() -> None:
    from training import export

    wanted = shape("binary", 3, (6, 60))
    first, second = (fitted(Hyperparameters(units=16), wanted) for _ in range(2))
    assert export.to_onnx(first) == export.to_onnx(second)


def test_inputs_and_output_have_the_names_and_shapes_of_the_contract() -> None:
    wanted = shape("multiclass", 3, (6, 60))
    graph = agree(fitted(Hyperparameters(units=16), wanted), wanted).graph
    found = {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    }
    assert found == {
        "numeric": ("FLOAT", ["rows", 3]),
        "codes": ("INT32", ["rows", 2]),
        "output": ("FLOAT", ["rows", 4]),
    }


@pytest.mark.parametrize(("numeric", "slots"), [(3, (6, 60)), (0, (6, 60)), (3, ())])
def test_a_saved_model_answers_as_keras_does_by_the_names_of_its_inputs(
    numeric: int, slots: tuple[int, ...], tmp_path: Path
) -> None:
    from training import export

    wanted = shape("multiclass", numeric, slots)
    model = fitted(Hyperparameters(units=16, dropout=0.2), wanted)
    export.to_saved_model(model, tmp_path / "1")
    assert (tmp_path / "1" / "saved_model.pb").exists()
    network = export.run_saved_model(tmp_path / "1")
    for some in (rows(wanted, 50), export.edge_rows(wanted)):
        export.check_parity(export.run_keras(model), network, some, "the rows", "SavedModel")


def test_another_network_fails_the_parity_check_and_names_the_row() -> None:
    from training import export

    wanted = shape("binary", 3, (6, 60))
    one, other = (fitted(Hyperparameters(units=16), wanted, seed) for seed in (1, 2))
    network = export.run_onnx(export.to_onnx(other))
    with pytest.raises(TrainingError, match=r"ONNX export, row [0-9]+ of the rows"):
        export.check_parity(export.run_keras(one), network, rows(wanted, 50), "the rows")


def test_answers_that_are_no_numbers_fail_the_parity_check() -> None:
    from training import export

    wanted = shape("binary", 3, (6, 60))
    model = fitted(Hyperparameters(units=16), wanted)

    def broken(part: Encoded) -> Any:
        return np.full((len(part.numeric), 1), np.nan, dtype=np.float32)

    with pytest.raises(TrainingError, match="ONNX export"):
        export.check_parity(export.run_keras(model), broken, rows(wanted, 50), "the rows")
