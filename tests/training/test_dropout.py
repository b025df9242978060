"""The training loop's dropout drops what Keras's does, with half the random bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import keras

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]

ROWS = 4000


def network(rate: float, width: int, seed: int = 0) -> keras.Model:
    import keras

    given = keras.Input((width,), name="numeric")
    return keras.Model(given, keras.layers.Dropout(rate, seed=seed, name="drop")(given))


def answers(model: keras.Model, width: int) -> Any:
    return np.asarray(model(np.ones((ROWS, width), dtype=np.float32), training=True))


@pytest.mark.parametrize(("rate", "width"), [(0.05, 8), (0.2, 7), (0.5, 1), (0.9, 16)])
def test_a_share_is_dropped_and_the_rest_is_scaled_up(rate: float, width: int) -> None:
    from training import dropout

    found = answers(dropout.learning(network(rate, width)), width)
    dropped = np.mean(found == 0)
    assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / found.size) + 2**-16
    np.testing.assert_allclose(found[found != 0], 1 / (1 - rate), rtol=1e-6)


def test_no_row_and_no_neuron_is_dropped_more_often_than_others() -> None:
    from training import dropout

    found = answers(dropout.learning(network(0.5, 64)), 64) == 0
    for axis, count in ((0, ROWS), (1, 64)):
        assert abs(found.mean(axis=axis) - 0.5).max() < 5 * 0.5 / np.sqrt(count)
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.01


def test_each_step_drops_others_and_a_restored_generator_drops_the_same() -> None:
    from training import dropout

    model = network(0.3, 12)
    twin = dropout.learning(model)
    kept = [variable.numpy() for variable in model.variables]
    first, second = answers(twin, 12), answers(twin, 12)
    assert (first != second).any()
    for variable, value in zip(model.variables, kept, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(answers(twin, 12), first)


def test_no_gradient_reaches_a_dropped_neuron() -> None:
    import tensorflow as tf

    from training import dropout

    twin = dropout.learning(network(0.4, 10))
    given = tf.ones((50, 10))
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = twin(given, training=True)
        total = tf.reduce_sum(found)
    np.testing.assert_array_equal(tape.gradient(total, given), found)


def test_nothing_is_dropped_where_nothing_is_learnt() -> None:
    from training import dropout

    twin = dropout.learning(network(0.4, 10))
    np.testing.assert_array_equal(twin(np.ones((5, 10), dtype=np.float32), training=False), 1.0)


def test_the_network_itself_keeps_the_layer_that_any_keras_opens() -> None:
    import keras

    from training import dropout

    model = network(0.4, 10)
    dropout.learning(model)
    assert type(model.get_layer("drop")) is keras.layers.Dropout
