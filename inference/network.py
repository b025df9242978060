"""The network in this process: model.onnx in ONNX Runtime.

The session has one thread: parallel requests are the business of parallel workers, and a second
thread costs a single row more than it saves.

Matrices are filled up to a multiple of ALIGNED rows. ONNX Runtime multiplies blocks of so many rows
in one way and what remains in another, and computes sines and exponentials four numbers at a time;
what remains may differ in the last bit. With nothing remaining (four rows of any width are a
multiple of four numbers) an answer's bits depend on its own row alone, whoever else asks at the
same moment. Of many rows TOGETHER are computed at a time, so that what lies between two layers
stays in the processor's cache.

Memory is bounded: a network that makes much of little is refused before it takes all there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from inference.handler import Run, first_line
from shared.errors import BundleError
from shared.transforms import Encoded

ALIGNED = 4
TOGETHER = 256
"""Rows computed at a time; a multiple of ALIGNED."""

MAX_BYTES = 4 << 30
"""What all networks of a process may hold at once, beside their weights."""

_PLACES = np.arange(64)


def load(path: Path) -> Run:
    """What runs the network in `path`.

    Raises:
        BundleError: ONNX Runtime refuses it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    _bound_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
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
    wanted = {given.name for given in session.get_inputs()}
    inputs = [(name, place) for place, name in enumerate(Encoded._fields) if name in wanted]

    def run(encoded: Encoded) -> npt.NDArray[np.float32]:
        rows = len(encoded.codes)
        if rows > TOGETHER:
            return np.concatenate([run(part) for part in _parts(encoded)])
        filled = rows + -rows % ALIGNED
        if filled == rows:
            feed = {name: encoded[place] for name, place in inputs}
        else:
            rising = _PLACES[:filled] if filled <= len(_PLACES) else np.arange(filled)
            # Beyond the last row, the last row again.
            feed = {name: encoded[place].take(rising, 0, mode="clip") for name, place in inputs}
        outputs: npt.NDArray[np.float32] = session.run(["output"], feed)[0]
        return outputs[:rows]

    return run


def _parts(encoded: Encoded) -> Iterator[Encoded]:
    for start in range(0, len(encoded.codes), TOGETHER):
        rows = slice(start, start + TOGETHER)
        yield Encoded(encoded.numeric[rows], encoded.codes[rows])


@cache
def _bound_memory() -> None:
    """Give the sessions that ask for it one store of memory in common, of bounded size."""
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    defaults = ("arena_extend_strategy", "initial_chunk_size_bytes", "max_dead_bytes_per_chunk")
    bounds = onnxruntime.OrtArenaCfg({"max_mem": MAX_BYTES, **dict.fromkeys(defaults, -1)})
    onnxruntime.create_and_register_allocator(place, bounds)
