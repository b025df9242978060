"""Requests of 10,000 rows, bytes to bytes in one process: the kit's core beside pandas and Keras.

`python -m benchmarks.large kit|chapter BUNDLE` answers the requests whose content type and file it
reads from standard input, a line each, and prints the seconds that each took and the scores. Two of
these processes, each in its own environment, take turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import LoadError

CSV = "text/csv"
PARQUET = "application/x-parquet"
TURNS = 5
WARMING = 2

Answer = Callable[[bytes, str], bytes]


def kit(bundle: Path) -> Answer:
    """The kit's core."""
    from inference import codecs, handler

    model = handler.model_fn(bundle)

    def answer(body: bytes, content_type: str) -> bytes:
        request = handler.input_fn(body, content_type)
        return handler.output_fn(handler.predict_fn(request, model), codecs.JSON)[0]

    return answer


def chapter(bundle: Path) -> Answer:
    """pandas, scikit-learn and `model.predict`."""
    from benchmarks.servers.chapter import Chapter

    return Chapter(bundle)


def times(pythons: dict[str, str], bundle: Path, body: Path, content_type: str) -> dict[str, float]:
    """Median seconds of one request by each side; their answers must agree.

    Args:
        pythons: the interpreter for "kit" and for "chapter".
        bundle: what answers.
        body: the request's file.
        content_type: its.
    """
    with contextlib.ExitStack() as stack:
        asks = {
            side: stack.enter_context(_side(python, side, bundle))
            for side, python in pythons.items()
        }
        found = {
            side: [ask(body, content_type) for _ in range(WARMING)][-1]
            for side, ask in asks.items()
        }
        scores = [np.array(answer["scores"]) for answer in found.values()]
        if scores[0].shape != scores[1].shape or np.abs(scores[0] - scores[1]).max() > 1e-5:
            sys.exit(f"{content_type}: the kit and pandas + Keras do not give the same predictions")
        turns = [
            {side: ask(body, content_type)["seconds"] for side, ask in asks.items()}
            for _ in range(TURNS)
        ]
    return {side: statistics.median(turn[side] for turn in turns) for side in asks}


@contextlib.contextmanager
def _side(python: str, side: str, bundle: Path) -> Iterator[Callable[[Path, str], Any]]:
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [python, "-m", "benchmarks.large", side, str(bundle)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin
    assert process.stdout

    def ask(body: Path, content_type: str) -> Any:
        process.stdin.write(f"{content_type} {body}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise LoadError(f"{side} failed at a request of {content_type}")
        return json.loads(line)

    try:
        yield ask
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def main(side: str, bundle: str) -> None:
    """Answer what standard input names."""
    answer = {"kit": kit, "chapter": chapter}[side](Path(bundle))
    for line in sys.stdin:
        content_type, _, name = line.strip().partition(" ")
        body = Path(name).read_bytes()
        started = time.perf_counter()
        said = answer(body, content_type)
        seconds = time.perf_counter() - started
        scores = [row["score"] for row in json.loads(said)["predictions"]]
        print(json.dumps({"seconds": seconds, "scores": scores}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
