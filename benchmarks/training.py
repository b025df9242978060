"""Training beside plain Keras, and on data larger than memory: `make bench-training`.

Epoch time: the same network (two layers of 128, numbers as they are, L2 and dropout) learns the
encoded rows of examples/flights for one epoch after another, once by our loop and once by
`keras.Model.fit`, in two processes that take turns; the medians count. Each side runs as it does in
real life: ours with TensorFlow's deterministic operations, Keras's without. Both need an idle
machine: beside other work the two are slowed down unequally.

Larger than memory: a whole training job, from Parquet files of 10,000,000 generated rows to the
bundle, told that it has 1.5 GB. Its peak memory counts. Then its network learns for epochs of
two kinds in turn: from the disk, and from as many rows in memory as fit well.

The third figure is search.py's: how soon a search is as good as a whole grid.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure, report
from shared.hyperparameters import Hyperparameters
from shared.problem import Problem, Split, Tuning
from shared.schema import Column, Target
from training import data, environment, preparation
from training.rows import Rows

FLIGHTS = "examples/flights"
BATCHES = (64, 256)
TURNS = 5

ROWS, PARTS = 10_000_000, 20
IN_MEMORY = 1_000_000
MEMORY = 1_500_000_000
NUMBERS, CATEGORIES, TIMES = 20, 8, 2
NETWORK = {
    "numeric_embedding": "none", "ensemble": 1, "layers": 2, "units": 128, "l2": 1e-4,
    "dropout": 0.2, "epochs": 1,
}  # fmt: skip
LARGE_BATCH = 1024


def main() -> int:
    """Measure, print, and say by the exit code whether every must is met."""
    from benchmarks import search  # here, for the job that is measured must not carry it

    return report(chain(epoch_time(), larger_than_memory(), search.figures()))


def epoch_time() -> Iterator[Figure]:
    """Our epoch's time as a share of Keras's, at the default batch size and at a larger one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "flights.npz"
        _encode_flights(file)
        for batch in BATCHES:
            same = Hyperparameters(**NETWORK, batch_size=batch)  # type: ignore[arg-type]
            with _running(_our_epochs, file, same) as ours, _running(_keras, file, same) as keras:
                seconds = [(ours(), keras()) for _ in range(TURNS)]
            mine, theirs = (statistics.median(column) for column in zip(*seconds, strict=True))
            print(f"an epoch in batches of {batch}: {mine:.2f} s, Keras's fit {theirs:.2f} s")
            yield Figure(
                f"epoch time, batches of {batch}, to Keras's fit",
                mine / theirs,
                "x",
                "<=",
                0.5,
                0.4,
            )


def larger_than_memory() -> Iterator[Figure]:
    """Peak memory of a job on generated rows, and its epochs' speed against that in memory."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        started = time.perf_counter()
        _generate(base / "input/data/train")
        print(f"{ROWS:,} rows x {NUMBERS + CATEGORIES + TIMES} columns generated in "
              f"{time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
        with _running(_job, base) as run:
            found = run()
    print(
        f"read, fitted, encoded, trained, exported in {found['seconds']:.0f} s; an epoch's rows a "
        f"second: {found['streamed']:,.0f} from disk, {found['in_memory']:,.0f} in memory"
    )
    yield Figure("10,000,000 rows: peak memory", found["peak"] / 1e9, "GB", "<=", 1.5, 1.5)
    share = found["streamed"] / found["in_memory"]
    yield Figure("10,000,000 rows: speed to that in memory", share, "x", ">=", 0.6, 0.8)


@contextlib.contextmanager
def _running(work: Callable[..., Iterator[Any]], *given: object) -> Iterator[Callable[[], Any]]:
    """A process of its own for `work`; each call runs it up to its next value."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, work, *given), daemon=True)
    process.start()
    there.close()

    def following() -> Any:
        here.send(True)
        return here.recv()

    try:
        yield following
    finally:
        here.close()
        process.join()


def _serve(pipe: Connection, work: Callable[..., Iterator[Any]], *given: object) -> None:
    values = work(*given)
    with contextlib.suppress(EOFError):
        while pipe.recv():
            pipe.send(next(values))


def _encode_flights(file: Path) -> None:
    """The encoded training rows of the example, in a file."""
    from infra import project

    settings = project.load(FLIGHTS)
    tables = {"train": settings.data, **{f"source_{n}": t for n, t in settings.sources.items()}}
    flags = [f"--channel={name}={table.files[0]}" for name, table in tables.items()]
    found = data.read(environment.read(flags, {}), settings.problem)
    transforms = data.Transforms.fit(found.train.columns, found.schema.features)
    encoded = transforms.encode(found.train.columns)
    slots = [cardinality for _, cardinality in transforms.categories]
    target = found.train.target.astype(np.float32)
    np.savez(file, numeric=encoded.numeric, codes=encoded.codes, target=target, slots=slots)


def _flights(file: Path) -> tuple[Rows, Any]:
    """The rows, and the shape of a network for them."""
    from training import network

    with np.load(file) as kept:
        rows, slots = Rows(kept["numeric"], kept["codes"], kept["target"]), kept["slots"]
    seen = network.seen_slots(rows.codes, slots)
    return rows, network.Shape(
        rows.numeric.shape[1], seen, 1, "binary", network.quantiles(rows.numeric)
    )


def _our_epochs(file: Path, chosen: Hyperparameters) -> Iterator[float]:
    preparation.tensorflow_ready()
    from training import cluster, fit, network

    rows, shape = _flights(file)
    preparation.set_threads(chosen, shape)
    trainer = fit.Trainer(
        network.build(chosen, shape),
        chosen,
        shape,
        train=rows,
        validation=rows.cut(0, 1000),
        score=lambda _: {},
        cluster=cluster.alone(),
    )
    yield from _timed(trainer.learn)


def _keras(file: Path, chosen: Hyperparameters) -> Iterator[float]:
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # as TensorFlow has it, where nobody says otherwise
    environment.prepare_tensorflow()
    from training import network

    rows, shape = _flights(file)
    model = network.build(chosen, shape)
    model.compile(optimizer=network.optimizer(chosen), loss="binary_crossentropy")
    inputs = network.inputs(model, rows.numeric, rows.codes)
    batch = chosen.batch_size
    yield from _timed(lambda: model.fit(inputs, rows.target, batch_size=batch, verbose=0))


def _timed(epoch: Callable[[], object]) -> Iterator[float]:
    """Seconds of one epoch after another; the first one, which builds graphs, is not told."""
    epoch()
    while True:
        started = time.perf_counter()
        epoch()
        yield time.perf_counter() - started


def _generate(folder: Path) -> None:
    """Parquet files; one cell in twenty of every other column is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    rows = ROWS // PARTS
    for part in range(PARTS):
        random = np.random.default_rng(part)
        numbers = random.normal(size=(NUMBERS, rows))
        numbers[NUMBERS // 2 :] = np.exp(numbers[NUMBERS // 2 :])
        codes = [random.integers(0, 5 * 2**i, rows) for i in range(CATEGORIES)]
        worth = numbers[0] - numbers[1] * (codes[3] % 3) + 0.3 * (codes[5] % 7)
        gaps = random.random(rows) < 0.05
        columns = {
            f"number{i}": pa.array(x, mask=gaps & (i % 2 == 1)) for i, x in enumerate(numbers)
        }
        for i, code in enumerate(codes):
            levels = pa.array([f"level {n}" for n in range(5 * 2**i)])
            columns[f"category{i}"] = pa.DictionaryArray.from_arrays(
                code, levels
            ).dictionary_decode()
        for i in range(TIMES):
            moments = 1_356_998_400_000_000 + random.integers(0, 31_536_000_000_000, rows)
            columns[f"time{i}"] = pa.array(moments, pa.timestamp("us"))
        columns["bought"] = pa.array(worth + random.normal(size=rows) > 0.5)
        pq.write_table(pa.table(columns), folder / f"part-{part:02d}.parquet")


def _problem() -> Problem:
    counts = {"number": NUMBERS, "category": CATEGORIES, "time": TIMES}
    kinds = {"number": "numeric", "category": "category", "time": "datetime"}
    columns = [
        Column(f"{name}{i}", kinds[name])  # type: ignore[arg-type]
        for name, count in counts.items()
        for i in range(count)
    ]
    return Problem(
        name="generated",
        columns=tuple(columns),
        target=Target("bought", "binary"),
        split=Split("random"),
        tuning=Tuning(trials=0),
    )


def _job(base: Path) -> Iterator[dict[str, float]]:
    """The whole job; then epochs from disk and in memory, in turn."""
    from training import train

    (base / "input/data/project").mkdir()
    (base / "input/data/project/project.json").write_text(_problem().to_json())
    chosen = {**NETWORK, "batch_size": LARGE_BATCH}
    flags = [f"--set={name}={json.dumps(value)}" for name, value in chosen.items()]
    job = environment.read(flags, {"SAGEMAKER_BASE_DIR": str(base)})
    prepared: list[preparation.Prepared] = []
    original = train.fit_final

    def fit_final(given: preparation.Prepared, chosen: Hyperparameters) -> Any:
        prepared.append(given)
        return original(given, chosen)

    train.fit_final = fit_final
    started = time.perf_counter()
    train.train(dataclasses.replace(job, memory=MEMORY))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    large = prepared[0]
    assert large.stored is not None
    rows = large.stored.take(np.arange(IN_MEMORY))
    small = dataclasses.replace(large, stored=None, rows={**large.rows, "training": rows})
    epochs = [_timed(part.trainer(large.start).learn) for part in (large, small, small)]
    counts = [len(large.stored), len(rows), len(rows)]
    speeds = [
        [count / next(epoch) for count, epoch in zip(counts, epochs, strict=True)] for _ in range(2)
    ]
    streamed, first, second = (statistics.mean(column) for column in zip(*speeds, strict=True))
    yield {
        "seconds": seconds,
        "peak": peak,
        "streamed": streamed,
        "in_memory": (first + second) / 2,
    }


if __name__ == "__main__":
    sys.exit(main())
