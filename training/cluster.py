"""Several instances train one model: every host takes its share of each batch.

All hosts hold the same rows, weights and seeds. Of every batch each host takes its share, and
TensorFlow sums the gradients over the hosts (MultiWorkerMirroredStrategy; Keras 3's own `fit`
refuses it, our loop does not need that). So all hosts hold the same weights after every step, up
to the order of addition those of one host alone, and every host can measure, stop early and restore
on its own and still do as the others do. Only dropout differs from one host alone: its masks
are drawn for each share.

Here: who takes part, how they find each other, and what they have to agree on. Not here: the step
itself (fit.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from training import environment


@dataclass(frozen=True)
class Cluster:
    """The hosts of a job, seen from one of them.

    Args:
        strategy: TensorFlow's default strategy where there is one host.
        rank: this host's place among them, from 0.
        size: how many there are.
    """

    strategy: tf.distribute.Strategy
    rank: int
    size: int

    def share(self, rows: Any) -> Any:
        """The rows of a batch [n] that this host takes: every `size`-th."""
        return rows if self.size == 1 else rows[self.rank :: self.size]

    def least(self, number: int) -> int:
        """The lowest of the numbers that the hosts bring; each host has to call it."""
        if self.size == 1:
            return number

        @tf.function
        def agreed(own: tf.Tensor) -> tf.Tensor:
            def gather(own: tf.Tensor) -> tf.Tensor:
                context = tf.distribute.get_replica_context()
                return context.all_gather(own[tf.newaxis], axis=0)

            return self.strategy.run(gather, args=(own,))

        return int(np.min(agreed(tf.constant(number, tf.int64)).numpy()))


def alone() -> Cluster:
    """One host."""
    return Cluster(tf.distribute.get_strategy(), 0, 1)


def connect(host: str, hosts: Sequence[str]) -> Cluster:
    """Meet the other hosts; blocks until all of them are there.

    It has to come before the first TensorFlow operation of the process.

    Args:
        host: this host's name.
        hosts: all names, in the same order on every host.
    """
    if len(hosts) == 1:
        return alone()
    rank = list(hosts).index(host)
    environment.introduce(hosts, rank)
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=tf.distribute.experimental.CommunicationImplementation.RING
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    return Cluster(strategy, rank, len(hosts))
