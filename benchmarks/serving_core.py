"""What the handler costs beside the network itself: one row, bytes to bytes, in one thread.

The row has 20 numeric columns (one of them missing), 8 category columns of 30 levels and 2 datetime
columns; each request is parsed, validated, transformed, scored and encoded. The measure is the bare
ONNX Runtime call on the same matrices. The network has the ensemble and the widths that training
gives it by default for these columns. Both are timed in turn, call by call, and the medians are
compared.

Then, for orientation, what each stage takes, one after the other: of this bundle, and of one whose
rows are completed from a table of hourly weather; for requests of one row and of several.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure, report
from inference import codecs, handler
from shared import bundle as bundles
from shared import predictions
from shared.hyperparameters import Hyperparameters, resolve
from shared.schema import Column, Schema
from shared.transforms import Transforms
from tests.support import bundles as support

ROUNDS = 400
CALLS = 50
SIZES = (1, 4, 8)

COLUMNS = (
    *(Column(f"number{i}", "numeric", log=i < 4) for i in range(20)),
    *(Column(f"category{i}", "category") for i in range(8)),
    *(Column(f"time{i}", "datetime") for i in range(2)),
)


def rows(count: int) -> list[dict[str, Any]]:
    """Rows of which every second one lacks a number."""
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        row: dict[str, Any] = {f"number{i}": float(random.lognormal()) for i in range(20)}
        row |= {f"category{i}": f"level {random.integers(30)}" for i in range(8)}
        moments = random.integers(1_600_000_000, 1_700_000_000, 2)
        row |= {f"time{i}": str(np.datetime64(int(m), "s")) for i, m in enumerate(moments)}
        if number % 2 == 0:
            row["number7"] = None
        made.append(row)
    return made


def seconds(call: Callable[[], object]) -> list[float]:
    """The time of each call of one round."""
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return times


def build(path: Path) -> Path:
    """The bundle to measure."""
    training = rows(2000)
    columns = Schema(COLUMNS, (), support.TARGETS["binary"]).from_records(training)
    transforms = Transforms.fit(columns, COLUMNS)
    inputs = len(transforms.numeric_names) + sum(levels for _, levels in transforms.categories)
    plan = resolve(Hyperparameters(), inputs)
    return support.build(
        path,
        columns=COLUMNS,
        training_rows=training,
        source=False,
        widths=plan.widths,
        members=plan.members,
    )


def stages(model: handler.Model, bundle: bundles.Bundle, body: bytes) -> dict[str, float]:
    """Median microseconds of each stage of one request."""
    schema = bundle.schema

    def answered(encoded: Any) -> handler.Answer:
        outputs = model.run(encoded)
        found = predictions.decode(outputs, schema.target, bundle.target_transform)
        return handler.Answer(found, model.version, handler.Stages(0, 0, 0), ())

    steps: dict[str, Callable[[Any], Any]] = {
        "parse": lambda given: handler.input_fn(given, codecs.JSON),
        "validate": lambda request: request.columns(schema),
        "look up": bundle.enrich,
        "transform": bundle.transforms.encode,
        "predict": answered,
        "encode": lambda answer: handler.output_fn(answer, codecs.JSON),
    }
    times: dict[str, list[int]] = {name: [] for name in steps}
    for _ in range(ROUNDS * 5):
        passed: Any = body
        for name, step in steps.items():
            started = time.perf_counter_ns()
            passed = step(passed)
            times[name].append(time.perf_counter_ns() - started)
    return {name: statistics.median(taken) / 1000 for name, taken in times.items()}


def show_stages(name: str, path: Path, records: list[dict[str, Any]]) -> None:
    """Prints a line for each size of a request."""
    model, bundle = handler.model_fn(path), bundles.load(path)
    for count in SIZES:
        body = json.dumps({"instances": records[:count]}).encode()
        taken = stages(model, bundle, body)
        parts = ", ".join(f"{stage} {spent:.1f}" for stage, spent in taken.items())
        print(f"{name}, {count} rows: {parts} µs")


def main() -> int:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as place:
        path = build(Path(place) / "bundle")
        model = handler.model_fn(path)
        bundle = bundles.load(path)
        show_stages("no source", path, rows(max(SIZES)))
        weather = support.build(Path(place) / "weather")
        show_stages("weather", weather, support.rows(max(SIZES)))
    row = rows(1)[0]
    body = json.dumps({"instances": [row]}).encode()
    encoded = bundle.encode(bundle.schema.from_records([row]))

    def core() -> object:
        request = handler.input_fn(body, codecs.JSON)
        return handler.output_fn(handler.predict_fn(request, model), codecs.JSON)

    def bare() -> object:
        return model.run(encoded)

    measured: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        measured[0].extend(seconds(core))
        measured[1].extend(seconds(bare))
    core_time, bare_time = map(statistics.median, measured)
    print(f"handler core {core_time * 1e6:.1f} µs, ONNX Runtime alone {bare_time * 1e6:.1f} µs")
    ratio = core_time / bare_time
    return report([Figure("handler core, one row, against ONNX Runtime", ratio, "x", "<=", 6, 3)])


if __name__ == "__main__":
    sys.exit(main())
