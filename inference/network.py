"""The network in this process: model.onnx in ONNX Runtime.

The session has one thread: parallel requests are the business of parallel workers, and a second
thread costs a single row more than it saves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from inference.handler import Run, first_line
from shared.errors import BundleError
from shared.transforms import Encoded


def load(path: Path) -> Run:
    """What runs the network in `path`.

    Raises:
        BundleError: ONNX Runtime refuses it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors share no other base class
        raise BundleError(
            f"ONNX Runtime cannot load the network: {first_line(error)}",
            where=str(path),
            cure="Train the model again",
        ) from error
    inputs = [given.name for given in session.get_inputs()]

    def run(encoded: Encoded) -> npt.NDArray[np.float32]:
        feed = {name: getattr(encoded, name) for name in inputs}
        outputs: npt.NDArray[np.float32] = session.run(["output"], feed)[0]
        return outputs

    return run
