"""The server beside others, all answering the same rows with the same model: `make bench-serving`.

Every server has two workers and the flights bundle, and gives the same predictions, or is told off
instead of being counted. They take turns in short rounds, each asleep between its own, so that a
drift of the machine hits all alike; a ratio is the median of the rounds' ratios. Capacity is wrk's,
16 connections, one row a request, another row every time. Latency is that of half the capacity,
requests evenly spaced (pace.c). `python -m benchmarks.serving ours mms` measures only these
servers and the figures that they suffice for. Needs an idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import flights, large, load, overload, running, stalls
from benchmarks.figures import Figure, report
from benchmarks.servers import SERVERS
from benchmarks.turns import WORKERS, Measured, Requests, compare

STARTS = 3
TOO_LATE = 0.5
"""A late generator sends what is due in a bunch, which waits in the server at half load about half
as long as the generator was late. Up to this share of the p99 that is measured it says little."""
DISTURBED = 0.2
"""Of a core: what other programs may take while a latency is measured."""
ROWS, LARGE_ROWS = 1000, 10_000
PACKAGES = ("numpy", "onnxruntime", "orjson", "uvloop", "httptools")
OTHERS = ("gunicorn", "flask", "litserve", "inference-server", "multi-model-server",
          "sagemaker-inference", "tensorflow-cpu", "keras", "pandas", "scikit-learn")  # fmt: skip


def ratios(found: Mapping[str, Measured]) -> Iterator[Figure]:
    """Ours against the others, where both were measured and answered as they should."""
    wanted = {
        "ceiling": ("JSON + ONNX Runtime without validation", 0.6, 0.85),
        "constant": ("fixed bytes at the same settings", 0.3, 0.5),
        "flask_keras": ("Flask + model.predict", 100, 300),
        "mms": ("sagemaker-inference + MMS", 4, 8),
    }
    for other, (name, must, goal) in wanted.items():
        if _counts(found, other):
            pairs = zip(found["ours"].capacity, found[other].capacity, strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            yield Figure(f"one row, capacity against {name}", ratio, "x", ">=", must, goal)
    if _counts(found, "ours") and not _doubt(found["ours"]):
        ratio = statistics.median(one.p99 / one.p50 for one in found["ours"].paced)
        yield Figure("p99 to p50 at half of the capacity", ratio, "x", "<=", 5, 3)


def starts(bundle: Path, requests: Requests) -> Iterator[Figure]:
    """Process start to /ping 200, in turn with a server that imports TensorFlow."""
    seconds: dict[str, list[float]] = {"ours": [], "flask_keras": []}
    for _ in range(STARTS):
        for name, taken in seconds.items():
            with running.running(SERVERS[name], bundle, requests.first, WORKERS) as server:
                taken.append(server.seconds)
    ours, theirs = (statistics.median(taken) for taken in seconds.values())
    print(f"  start to /ping 200: {ours:.2f} s, with TensorFlow {theirs:.2f} s")
    yield Figure(
        "start to /ping, share of a TensorFlow server's", ours / theirs, "", "<=", 0.2, 1 / 15
    )


def many_rows(bundle: Path, folder: Path) -> Iterator[Figure]:
    """CSV and Parquet requests of 10,000 rows against pandas, scikit-learn and Keras."""
    table = flights.rows(LARGE_ROWS)
    sides = {
        "kit": running.python(SERVERS["ours"]),
        "chapter": running.python(SERVERS["flask_keras"]),
    }
    bodies = {large.CSV: flights.csv_body(table), large.PARQUET: flights.parquet_body(table)}
    for content_type, body in bodies.items():
        file = folder / content_type.replace("/", "-")
        file.write_bytes(body)
        took = large.times(sides, bundle, file, content_type)
        print(
            f"  {LARGE_ROWS:,} rows, {content_type}: {took['kit']:.3f} s, "
            f"pandas + scikit-learn + Keras {took['chapter']:.3f} s"
        )
        kind = content_type.rpartition("/")[2]
        name = f"{LARGE_ROWS:,} rows of {kind} against pandas + Keras"
        yield Figure(name, took["chapter"] / took["kit"], "x", ">=", 3, 5)


def table(found: Mapping[str, Measured]) -> str:
    """One line a server, for context."""
    lines = [
        f"{'':<42}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'late 50':>9}{'late 99':>9}{'CPU µs':>9}"
        f"{'MB':>7}   p50, p99 at half the capacity, and how late the generator was itself, in µs; "
        "CPU a request; memory as PSS"
    ]
    for name, one in found.items():
        numbers = [
            _median(one.capacity),
            _median([paced.p50 for paced in one.paced]) * 1e3,
            _median([paced.p99 for paced in one.paced]) * 1e3,
            _median([paced.late_p50 for paced in one.paced]) * 1e6,
            _median([paced.late_p99 for paced in one.paced]) * 1e6,
            _median(one.cpu),
            one.memory,
        ]
        widths = ("9,.0f", "9.2f", "9.2f", "9,.0f", "9,.0f", "9,.0f", "7.0f")
        cells = "".join(f"{number:{width}}" for number, width in zip(numbers, widths, strict=True))
        told = f"   NOT COUNTED: {'; '.join(dict.fromkeys(one.problems))}" if one.problems else ""
        if doubt := _doubt(one):
            told += f"   LATENCY NOT TO BE BELIEVED: {doubt}"
        lines.append(f"{SERVERS[name].name:<42}{cells}{told}")
    return "\n".join(lines)


def machine() -> str:
    """What it all ran on."""
    model = "unknown processor"
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    ours = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    place = map(str, running.ENVIRONMENT.glob("lib/python*/site-packages"))
    found = importlib.metadata.distributions(path=list(place))
    there = {one.name.lower().replace("_", "-"): one.version for one in found}
    theirs = ", ".join(f"{name} {there[name]}" for name in OTHERS if name in there)
    said = subprocess.run([load.wrk(), "-v"], capture_output=True, text=True, check=False)
    busy = os.getloadavg()[0]
    return "\n".join(
        [
            f"{model}, {os.cpu_count()} cores, {platform.platform()}",
            f"Python {platform.python_version()}, {ours}, {said.stdout.split('[')[0].strip()}",
            theirs,
            f"load of the last minute: {busy:.2f}"
            + ("; THE MACHINE IS NOT IDLE" if busy > 0.5 else ""),
            stalls.told(),
        ]
    )


def figures(
    names: Sequence[str], bundle: Path, folder: Path, missed: list[str]
) -> Iterator[Figure]:
    """All figures, each as it is measured; what could not be measured is put into `missed`."""
    requests = Requests.write(flights.json_bodies(flights.rows(ROWS)), bundle, folder)
    everything = set(names) == set(SERVERS)
    if {"ours", "flask_keras"} <= set(names):
        yield from starts(bundle, requests)
        yield from many_rows(bundle, folder)
    found = compare(names, bundle, requests)
    print(table(found), flush=True)
    yield from ratios(found)
    missed += [SERVERS[name].name for name in names if not _counts(found, name)]
    if "ours" in names:
        missed += [f"p99 to p50: {doubt}"] if (doubt := _doubt(found["ours"])) else []
        ours = running.running(SERVERS["ours"], bundle, requests.first, WORKERS)
        body = folder / "large"
        body.write_bytes(flights.csv_body(flights.rows(LARGE_ROWS)))
        with ours as server:
            yield from overload.figures(server, requests.file, body, WORKERS)
    if everything:
        core = subprocess.run([sys.executable, "-m", "benchmarks.serving_core"], check=False)
        missed += ["the handler core"] * (core.returncode != 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether every must is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--bundle", type=Path, help="a flights bundle; else one is trained")
    given = parser.parse_args(arguments)
    names = given.servers or list(SERVERS)
    if unknown := [name for name in names if name not in SERVERS]:
        parser.error(f"there is no server {unknown[0]!r}; there are {', '.join(SERVERS)}")
    load.wrk()
    load.pace()
    for name in names:
        if reason := running.missing(SERVERS[name]):
            sys.exit(f"{SERVERS[name].name}: {reason}")
    # A benchmark that is ended must end its servers, which live in groups of their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    running.install()
    print(machine(), flush=True)
    bundle = given.bundle or flights.bundle()
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            code = report(figures(names, bundle, Path(folder), missed))
        except (load.LoadError, running.StartError) as error:
            sys.exit(str(error))
    for name in missed:
        print(f"not met or not measured: {name}")
    return int(code or bool(missed))


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else math.nan


def _doubt(one: Measured) -> str | None:
    """Why its latencies are not to be believed, if so."""
    if not one.paced:
        return None
    if statistics.median(paced.late_p99 / paced.p99 for paced in one.paced) > TOO_LATE:
        return "the generator was too late"
    if (others := statistics.median(one.others)) > DISTURBED:
        return f"other programs took {others:.1f} cores meanwhile"
    return None


def _counts(found: Mapping[str, Measured], other: str) -> bool:
    return all(name in found and not found[name].problems for name in ("ours", other))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
