"""The network is what the hyperparameters say, and what was never seen adds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shared.hyperparameters import (
    INITIALIZERS,
    NUMERIC_EMBEDDINGS,
    OPTIMIZERS,
    Hyperparameters,
)
from shared.schema import Task
from shared.transforms import Encoded

if TYPE_CHECKING:
    from pathlib import Path

    from training.network import Shape

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]
RANDOM = np.random.default_rng(0)
SLOTS = (6, 60)


def shape(task: Task = "binary", numeric: int = 3, slots: tuple[int, ...] = SLOTS) -> Shape:
    from training.network import Shape, quantiles

    masks = tuple(np.arange(n) > 1 for n in slots)
    known = quantiles(np.random.default_rng(1).normal(size=(500, numeric)).astype(np.float32))
    return Shape(numeric, masks, 4 if task == "multiclass" else 1, task, known)


def rows(wanted: Shape, count: int = 50) -> Encoded:
    codes = [RANDOM.integers(2, len(mask), count) for mask in wanted.seen]
    return Encoded(
        RANDOM.normal(size=(count, wanted.numeric)).astype(np.float32),
        np.array(codes, dtype=np.int32).T.reshape(count, len(codes)),
    )


def built(wanted: Shape | None = None, **settings: Any) -> Any:
    from training import network

    return network.build(Hyperparameters(**{"units": 16, **settings}), wanted or shape())


def answers(model: Any, given: Encoded) -> Any:
    from training import export

    return export.run_keras(model)(given)


def test_widths_follow_the_rules_of_thumb() -> None:
    model = built(shape(numeric=34), units="auto", ensemble=1)
    assert model.get_layer("hidden_1").units == 256
    assert model.get_layer("hidden_2").units == 256
    ensemble = built(shape(numeric=34), units="auto")
    assert ensemble.get_layer("hidden_1").units == 8 * 64
    assert ensemble.get_layer("hidden_2").kernel.shape == (8, 64, 64)


def test_few_levels_are_one_hot_and_many_are_embedded() -> None:
    names = [layer.name for layer in built().layers]
    assert "embedding_1" in names
    assert "embedding_0" not in names
    assert built().get_layer("embedding_1").output_dim == 16


def test_l1_l2_dropout_norm_and_prelu_are_built_in() -> None:
    model = built(l1=1e-4, l2=1e-3, dropout=0.3, activation="prelu", batch_norm=True)
    penalty = model.get_layer("hidden_1").kernel_regularizer
    assert (float(penalty.l1), float(penalty.l2)) == pytest.approx((1e-4, 1e-3))
    assert model.get_layer("dropout_1").rate == 0.3
    assert type(model.get_layer("activation_1")).__name__ == "PReLU"
    assert type(model.get_layer("norm_2")).__name__ == "BatchNormalization"


@pytest.mark.parametrize(
    ("settings", "l1", "l2"),
    [({"l1": 0.01}, 0.01, 0), ({"l2": 0.02}, 0, 0.02), ({"l1": 0.01, "l2": 0.02}, 0.01, 0.02)],
)
@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("embedding", ["none", "periodic"])
def test_l1_and_l2_add_up_over_all_kernels_and_for_each_member(
    settings: Any, l1: float, l2: float, embedding: str, members: int
) -> None:
    from training import network

    model = built(numeric_embedding=embedding, ensemble=members, **settings)
    kernels = [kernel.astype(np.float64) for kernel in network.kernels(model)]
    common = {"embedding_1", "numeric_embedding"}
    layers = [layer for layer in model.layers if layer.trainable and layer.trainable_weights]
    served = [members if layer.name in common else 1 for layer in layers]
    served = [
        count for count, layer in zip(served, layers, strict=True) if layer.name != "frequencies"
    ]
    wanted = sum(
        count * (l1 * np.abs(w).sum() + l2 * np.square(w).sum())
        for count, w in zip(served, kernels, strict=True)
    )
    assert float(sum(model.losses)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_is_known_to_keras_for_kernels_and_for_biases(name: str) -> None:
    model = built(kernel_initializer=name)
    assert np.any(model.get_layer("hidden_2").kernel.numpy()) == (name != "zeros")
    if name.startswith(("random", "zeros")):
        model = built(bias_initializer=name)
    for layer in ("hidden_1", "hidden_2", "logits"):
        if name.startswith(("random", "zeros")):
            assert np.any(model.get_layer(layer).bias.numpy()) == (name != "zeros")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_known_to_keras(name: str) -> None:
    from training import network

    optimizer = network.optimizer(Hyperparameters(optimizer=name, learning_rate=0.25))
    assert float(optimizer.learning_rate.numpy()) == 0.25


def test_weights_follow_from_the_seed_alone() -> None:
    first, second, other = (built(seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first.variables, second.variables, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    kernels = [model.get_layer("hidden_1").kernel.numpy() for model in (first, other)]
    assert not np.array_equal(*kernels)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_outputs_are_what_the_task_answers(task: Task) -> None:
    wanted = shape(task)
    found = answers(built(wanted), rows(wanted))
    assert found.shape == (50, wanted.outputs)
    if task == "binary":
        assert np.all((found > 0) & (found < 1))
    if task == "multiclass":
        assert np.allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("embedding", NUMERIC_EMBEDDINGS)
def test_slots_that_training_never_uses_add_nothing(embedding: str, members: int) -> None:
    model, given = built(numeric_embedding=embedding, ensemble=members), rows(shape())
    unseen = Encoded(given.numeric, np.zeros_like(given.codes))
    unknown = Encoded(given.numeric, np.ones_like(given.codes))
    assert np.array_equal(answers(model, unseen), answers(model, unknown))
    assert not np.array_equal(answers(model, unseen), answers(model, given))


def test_piecewise_linear_numbers_say_how_far_they_have_come_through_each_bin() -> None:
    import keras

    from training import network

    train = np.stack([np.linspace(0, 8, 9), [0] * 8 + [1]], axis=1).astype(np.float32)
    wanted = network.Shape(2, (), 1, "binary", network.quantiles(train))
    model = built(wanted, numeric_embedding="piecewise_linear", numeric_bins=4)
    embedded = keras.Model(model.inputs, model.get_layer("numbers").output)
    given = np.array([[0, 0], [3, 1], [9, 5], [-1, -1]], dtype=np.float32)
    edges = np.array([0, 2, 4, 6, 8])
    found = embedded([given]).numpy().reshape(4, 2, 4)
    by_hand = np.clip((given[:, :1] - edges[:-1]) / np.diff(edges), 0, 1)
    np.testing.assert_allclose(found[:, 0], by_hand, atol=0.01)
    assert found[:, 1].max(axis=1).tolist() == [0, 1, 1, 0]


def test_a_value_that_most_rows_share_leaves_the_bins_to_the_others() -> None:
    from training import network

    amounts = np.concatenate([np.zeros(950), np.linspace(1, 5, 50)]).astype(np.float32)[:, None]
    wanted = network.Shape(1, (), 1, "binary", network.quantiles(amounts))
    model = built(wanted, numeric_embedding="piecewise_linear", numeric_bins=8)
    slopes = model.get_layer("bins").get_weights()[0]
    assert np.all(slopes > 0)


def test_bins_are_not_trained_and_frequencies_are() -> None:
    trained = {v.path for v in built(numeric_embedding="periodic").trainable_variables}
    assert "frequencies/kernel" in trained
    fixed = built(numeric_embedding="piecewise_linear")
    assert not any("bins" in v.path for v in fixed.trainable_variables)


def members_of(model: Any, given: Encoded) -> Any:
    from training import network

    return network.members(model)(
        network.inputs(model, given.numeric, given.codes), training=False
    ).numpy()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_logits_of_an_ensemble_are_the_mean_of_its_members(task: Task) -> None:
    from training import network

    wanted = shape(task)
    model, given = built(wanted, units=60, ensemble=4, layers=3), rows(wanted)
    each = members_of(model, given)
    assert each.shape == (50, 4, wanted.outputs)
    assert len(np.unique(each[0, :, 0])) == 4
    logits = network.logits(model)(network.inputs(model, given.numeric, given.codes))
    np.testing.assert_allclose(logits, each.mean(axis=1), atol=1e-6)


def test_no_weight_leads_from_one_member_to_another() -> None:
    model, given = built(ensemble=4, layers=3), rows(shape())
    before = members_of(model, given)
    for layer, first, last in (("hidden_1", 4, 8), ("hidden_2", 1, 2)):
        kernel = model.get_layer(layer).kernel.numpy()
        kernel[..., first:last] += 1.0 if layer == "hidden_1" else 0.0
        if layer == "hidden_2":
            kernel[first:last] += 1.0
        model.get_layer(layer).kernel.assign(kernel)
    changed = np.any(members_of(model, given) != before, axis=(0, 2))
    assert changed.tolist() == [False, True, False, False]


def test_each_member_learns_as_if_it_were_alone() -> None:
    import tensorflow as tf

    from training import network

    model, given = built(ensemble=4), rows(shape())
    target = (RANDOM.random(50) > 0.5).astype(np.float32)
    loss = network.training_losses(Hyperparameters(), "binary", target)
    each = tf.constant(members_of(model, given))
    total = loss(target, each)
    plain = sum(network.losses("binary")(target, each[:, k]) for k in range(4))
    np.testing.assert_allclose(total, plain, rtol=1e-5)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_members_weights_are_drawn_as_a_single_networks_are(name: str) -> None:
    settings = {"kernel_initializer": name, "bias_initializer": name, "numeric_embedding": "none"}
    wanted = shape(numeric=50, slots=())
    one = built(wanted, units=60, ensemble=1, **settings)
    eight = built(wanted, units=480, ensemble=8, **settings)
    for layer in ("hidden_1", "hidden_2"):
        for ours, alone in zip(
            eight.get_layer(layer).get_weights(), one.get_layer(layer).get_weights(), strict=True
        ):
            assert ours.std() == pytest.approx(alone.std(), rel=0.25)


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("embedding", NUMERIC_EMBEDDINGS)
def test_model_keras_opens_without_our_code(embedding: str, members: int, tmp_path: Path) -> None:
    import keras

    options = {"dropout": 0.2, "activation": "prelu", "ensemble": members}
    model = built(numeric_embedding=embedding, **options)
    given = rows(shape())
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert np.array_equal(answers(model, given), answers(opened, given))
