"""The core of serving, bytes → columns → matrices → scores → bytes, and the toolkit's functions.

`Model` is a bundle that has proved itself: digests checked and golden rows replayed before it
answers anything. `model_fn`, `input_fn`, `predict_fn` and `output_fn` have the signatures of
SageMaker's inference toolkit; the server in this package calls the very same four.

HTTP is not known here: a client's mistake is an `InputError`, anything else our own fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inference import codecs
from shared import bundle as bundles
from shared import predictions
from shared.cells import Cells
from shared.errors import BundleError
from shared.golden import TOLERANCE
from shared.predictions import Predictions
from shared.transforms import Encoded
from shared.values import Columns

CHUNK_ROWS = 4096
"""Rows scored at once: enough to be fast, few enough to bound the memory of a large request."""


class Stages(NamedTuple):
    """Nanoseconds that each stage of an answer took."""

    validate: int
    transform: int
    predict: int


class Answer(NamedTuple):
    """Predictions, and how they came about.

    Args:
        predictions: one for each row of the request.
        version: of the model that made them.
        nanoseconds: how long each stage took.
        parts: for each chunk of rows, in order, its columns, those of the sources included, and
            what they were encoded to.
    """

    predictions: Predictions
    version: str
    nanoseconds: Stages
    parts: Sequence[tuple[Columns, Encoded]]


Run = Callable[[Encoded], npt.NDArray[np.float32]]
"""A network: matrices of n rows → its outputs, float32 [n, outputs]."""


class Model:
    """A verified bundle and what runs its network.

    Args:
        bundle: a loaded bundle.
        run: the network, where it is not the bundle's own ``model.onnx`` in this process.

    Raises:
        BundleError: when the network is refused, or the golden rows do not come out as training
            computed them.
    """

    def __init__(self, bundle: bundles.Bundle, run: Run | None = None) -> None:
        path = bundle.path / bundles.MODEL
        self.run = run or _in_process(path)
        self._bundle = bundle
        self.version = bundle.manifest.digest[:12]
        self.schema, self.transforms = bundle.schema, bundle.transforms
        self.openapi = bundle.openapi
        try:
            bundle.verify(self.run)
        except BundleError:
            raise
        except Exception as error:
            raise BundleError(
                f"the network does not run on the golden rows: {first_line(error)}",
                where=str(path),
                cure="Train the model again",
            ) from error

    def check(self) -> None:
        """Answer the first golden row once more.

        Raises:
            BundleError: it does not come out as in training any more.
        """
        golden = self._bundle.golden
        outputs = self.run(Encoded(golden.numeric[:1], golden.codes[:1]))
        if not np.allclose(outputs, golden.outputs[:1], rtol=TOLERANCE, atol=TOLERANCE):
            raise BundleError("the first golden row does not come out as it did in training")

    def answer(self, request: codecs.Request) -> Answer:
        """Validate, look up, encode and score every row of `request`.

        Raises:
            InputError: naming row and column.
        """
        started = perf_counter_ns()
        bundle = self._bundle
        columns = request.columns(bundle.schema)
        validated = perf_counter_ns()
        # All rows are enriched at once, so that a mistake is told by its place in the request.
        enriched = bundle.enrich(columns)
        parts = [(chunk, bundle.transforms.encode(chunk)) for chunk in chunks(enriched)]
        transformed = perf_counter_ns()
        scored = [self.run(encoded) for _, encoded in parts]
        outputs = scored[0] if len(scored) == 1 else np.concatenate(scored)
        found = predictions.decode(outputs, bundle.schema.target, bundle.target_transform)
        stages = Stages(
            validated - started, transformed - validated, perf_counter_ns() - transformed
        )
        return Answer(found, self.version, stages, parts)


def chunks(columns: Columns) -> Sequence[Columns]:
    """`columns` in pieces of at most CHUNK_ROWS rows."""
    if type(columns) is Cells:
        return (columns,)
    rows = len(next(iter(columns.values())))
    if rows <= CHUNK_ROWS:
        return (columns,)
    return [
        {name: array[start : start + CHUNK_ROWS] for name, array in columns.items()}
        for start in range(0, rows, CHUNK_ROWS)
    ]


def model_fn(model_dir: str | Path) -> Model:
    """The model in `model_dir`, proved.

    Raises:
        BundleError: when a file is missing or altered, or the model answers otherwise than it did
            in training.
    """
    return Model(bundles.load(Path(model_dir)))


def input_fn(body: bytes | str, content_type: str | None) -> codecs.Request:
    """The rows in `body`; the toolkit hands text types over as str."""
    return codecs.decode(body.encode() if isinstance(body, str) else body, content_type)


def predict_fn(request: codecs.Request, model: Model) -> Answer:
    """One prediction per row of `request`."""
    return model.answer(request)


def output_fn(answer: Answer, accept: str | None) -> tuple[bytes, str]:
    """The body of the answer and its content type, which `accept` has a say in."""
    content_type = codecs.answer_type(accept)
    return codecs.encode(answer.predictions, answer.version, content_type), content_type


def output_each(
    answer: Answer, parts: Iterable[slice], accept: str | None
) -> tuple[list[bytes], str]:
    """What `output_fn` makes of each of these parts of the rows, and their content type."""
    content_type = codecs.answer_type(accept)
    predictions, version = answer.predictions, answer.version
    return codecs.encode_each(predictions, parts, version, content_type), content_type


def first_line(error: Exception) -> str:
    """What an error says, shortly."""
    return str(error).strip().partition("\n")[0]


def _in_process(path: Path) -> Run:
    # Not every container has ONNX Runtime.
    from inference import network

    return network.load(path)
