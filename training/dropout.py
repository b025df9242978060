"""Dropout as the training loop computes it: half the random bits of Keras's own layer.

Of a small network on a processor, a third of a step's time went into random numbers. Keras draws a
32-bit float for each neuron; 16 bits say as well whether it is kept.

Here: the layer, and a network that learns with it. The network that is saved keeps Keras's.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

LEVELS = 1 << 16


class Dropout(keras.layers.Layer):
    """A layer that stands for one of Keras's, whose seed generator it uses.

    A neuron is dropped with the probability round(65536 x rate) / 65536.

    Args:
        plain: the layer that it stands for; its input is float32 [n, width].
    """

    def __init__(self, plain: keras.layers.Dropout) -> None:
        super().__init__(name=plain.name)
        self.rate = plain.rate
        self.seed_generator = plain.seed_generator

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, in training with the dropped ones 0 and the others scaled up."""
        if not training:
            return inputs
        width = inputs.shape[-1]
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        drawn = tf.random.stateless_uniform(
            (tf.shape(inputs)[0], (width + 1) // 2), seed, minval=None, maxval=None, dtype=tf.int32
        )
        halves = tf.reshape(tf.bitcast(drawn, tf.int16), (-1, (width + 1) // 2 * 2))[:, :width]
        kept = halves >= round(self.rate * LEVELS) - LEVELS // 2
        return inputs * (tf.cast(kept, inputs.dtype) / (1.0 - self.rate))


def learning(model: keras.Model) -> keras.Model:
    """The same layers and weights, with `Dropout` in place of Keras's."""

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        return Dropout(layer) if isinstance(layer, keras.layers.Dropout) else layer

    return keras.models.clone_model(model, clone_function=replaced)
