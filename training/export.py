"""Keras → ONNX, and where it is wanted SavedModel, proven equal before anything leaves the job.

Inputs `numeric` float32 [n, D] and `codes` int32 [n, K] (those that exist), output `output`
float32 [n, 1 or classes], n free. Here: the conversion, the parity check, the weights. Not here:
the bundle around them (shared/bundle.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from shared.errors import TrainingError
from shared.transforms import Encoded
from training import graph, plain
from training.checkpoints import encode_arrays
from training.network import Shape, value

TOLERANCE = 1e-5
WEIGHTS = "weights.npz"

Run = Callable[[Encoded], npt.NDArray[np.float32]]


def to_onnx(model: keras.Model) -> bytes:
    """The network as ONNX bytes, for inference (dropout does nothing)."""
    return graph.write(plain.read(model))


def _inference(model: keras.Model) -> tuple[Any, list[tf.TensorSpec]]:
    """The network as a TensorFlow function that answers, and what it is given."""
    signature = [
        tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=tensor.name)
        for tensor in model.inputs
    ]

    def answer(*matrices: Any) -> dict[str, Any]:
        return {"output": model(list(matrices), training=False)}

    return tf.function(answer, input_signature=signature), signature


def to_saved_model(model: keras.Model, folder: Path) -> None:
    """Write the network as TensorFlow Serving reads it; its one signature is the default one."""
    holder = tf.Module()
    holder.model = model
    function, _ = _inference(model)
    tf.saved_model.save(holder, str(folder), signatures={"serving_default": function})


def run_saved_model(folder: Path) -> Run:
    """Encoded rows → outputs, by what `to_saved_model` wrote."""
    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures["serving_default"]
    names = list(function.structured_input_signature[1])

    def run(rows: Encoded) -> npt.NDArray[np.float32]:
        given = {"numeric": rows.numeric, "codes": rows.codes}
        outputs = function(**{name: tf.constant(given[name]) for name in names})["output"]
        return np.asarray(outputs.numpy())

    return run


def run_onnx(network: bytes) -> Run:
    """Encoded rows → outputs, by ONNX Runtime as the endpoint runs it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(rows: Encoded) -> npt.NDArray[np.float32]:
        given = {"numeric": rows.numeric, "codes": rows.codes}
        outputs = session.run(["output"], {name: given[name] for name in names})[0]
        return np.asarray(outputs, dtype=np.float32)

    return run


def run_keras(model: keras.Model) -> Run:
    """Encoded rows → outputs, by Keras."""

    def run(rows: Encoded) -> npt.NDArray[np.float32]:
        given = {"numeric": rows.numeric, "codes": rows.codes}
        return np.asarray(model([given[t.name] for t in model.inputs], training=False).numpy())

    return run


def check_parity(
    by_keras: Run, exported: Run, rows: Encoded, where: str, form: str = "ONNX"
) -> float:
    """Compare an exported network with Keras on some rows, all at once and the first one alone.

    Returns:
        The largest difference.

    Raises:
        TrainingError: they differ by more than 1e-5, relative to the answer where it exceeds 1.
    """
    worst = 0.0
    single = Encoded(rows.numeric[:1], rows.codes[:1])
    for part in (rows, single):
        ours, theirs = by_keras(part), exported(part)
        difference = np.abs(ours - theirs) / np.maximum(np.abs(ours), 1.0)
        if not np.all(difference <= TOLERANCE):
            row = int(np.argmax(np.nan_to_num(difference, nan=np.inf).max(axis=1)))
            raise TrainingError(
                f"the exported network answers {theirs[row].tolist()}, Keras {ours[row].tolist()}",
                where=f"{form} export, row {row} of {where}",
                cure="Nothing was deployed; this is a fault of the conversion, please report it",
            )
        worst = max(worst, float(difference.max(initial=0.0)))
    return worst


def edge_rows(shape: Shape) -> Encoded:
    """Rows at the edges of what transforms can make: zeros, large numbers, first and last codes."""
    levels = [0.0, 1.0, -1.0, 30.0, -30.0]
    matrix = np.repeat(np.array(levels, dtype=np.float32)[:, None], shape.numeric, axis=1)
    last = np.array([len(mask) for mask in shape.seen], dtype=np.int32) - 1
    codes = np.stack([last * 0, last, np.minimum(last, 1), np.minimum(last, 2), last // 2])
    return Encoded(matrix, codes.astype(np.int32).reshape(len(levels), len(shape.seen)))


def save_weights(model: keras.Model, path: Path) -> None:
    """Write the weights alone, in the order of network.build's variables, for going on training."""
    path.write_bytes(encode_arrays({v.path: value(v) for v in model.variables}))
