"""How good the models are, beside what others have published: `make bench-quality`.

Each example is trained as `make deploy` trains it, by training.train in a process of its own, but
with 30 trials: examples/adult and examples/flights on the splits that they come with,
examples/diamonds on five, each with its own search. Trials and early stopping see training and
validation rows only; the test rows are scored once, at the end. Published figures stand in
published.toml. `python -m benchmarks.quality adult` measures only what it names.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.compute as pc

from benchmarks.figures import Figure, report
from infra import project
from infra.project import Settings
from shared import tables

ROOT = Path(__file__).parent.parent
TRIALS = 30
SPLITS = 5
SHOWN = ("[stage]", "[trial]", "[failure]")


def train(settings: Settings, note: str) -> dict[str, float]:
    """Run the training job of a project; its scores on the test rows."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "project.json").write_text(settings.problem.to_json())
        knobs = base / "input/config/hyperparameters.json"
        knobs.parent.mkdir(parents=True)
        knobs.write_text(json.dumps(settings.encoded_hyperparameters()))
        channels = {"train": settings.data, "project": None} | {
            f"source_{name}": location for name, location in settings.sources.items()
        }
        words = [sys.executable, "-m", "training.train", "--base", folder]
        for name, location in channels.items():
            file = location.files[0] if location else base / "project.json"
            words += ["--channel", f"{name}={file.resolve()}"]
        started = time.monotonic()
        said: list[str] = []
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as job:
            assert job.stdout is not None
            for line in job.stdout:
                said.append(line)
                if line.startswith(SHOWN):
                    print(
                        f"  {note} {time.monotonic() - started:5.0f} s {line}", end="", flush=True
                    )
        if job.returncode:
            sys.exit(f"training {settings.name} failed:\n{''.join(said[-20:])}")
    result = next(line for line in reversed(said) if line.startswith("[result]"))
    answer = json.loads(result.removeprefix("[result]"))
    print(
        f"  {note} chose {json.dumps(_searched(settings, answer['hyperparameters']))}", flush=True
    )
    return dict(answer["test"])


def example(name: str) -> Settings:
    """An example's project, with as many trials as are measured here."""
    settings = project.load(ROOT / "examples" / name)
    tuning = dataclasses.replace(settings.problem.tuning, trials=TRIALS)
    return dataclasses.replace(
        settings, problem=dataclasses.replace(settings.problem, tuning=tuning)
    )


def adult() -> Iterator[Figure]:
    """Accuracy on the official test rows."""
    scores = train(example("adult"), "adult")
    print(f"  adult AUC {scores['auc']:.4f}, log loss {scores['log_loss']:.4f}")
    yield Figure("adult, accuracy", scores["accuracy"], "", ">=", 0.869, 0.8725)


def diamonds() -> Iterator[Figure]:
    """RMSE over the standard deviation of the price: mean and deviation of the splits."""
    settings = example("diamonds")
    table = tables.read(settings.data.files)
    deviation = pc.stddev(table[settings.problem.target.name]).as_py()
    found = []
    for seed in range(SPLITS):
        split = dataclasses.replace(settings.problem.split, seed=seed)
        problem = dataclasses.replace(settings.problem, split=split)
        scores = train(dataclasses.replace(settings, problem=problem), f"diamonds {seed}")
        found.append(scores["rmse"] / deviation)
        print(f"  diamonds {seed} RMSE / sd {found[-1]:.4f}, MAE {scores['mae']:.1f}", flush=True)
    spread = statistics.stdev(found)
    name = f"diamonds, RMSE / sd, mean of {SPLITS} splits (sd {spread:.4f})"
    yield Figure(name, statistics.fmean(found), "", "<=", 0.137, 0.1335)


def flights() -> Iterator[Figure]:
    """AUC on the flights of November and December."""
    scores = train(example("flights"), "flights")
    print(f"  flights log loss {scores['log_loss']:.4f}, accuracy {scores['accuracy']:.4f}")
    yield Figure("flights, AUC", scores["auc"], "", ">=", 0.685, 0.70)


MEASURED = {"adult": adult, "diamonds": diamonds, "flights": flights}


def beside(figure: Figure, published: Sequence[Mapping[str, object]]) -> str:
    """Our score among the published ones, best first."""
    rows = [(float(str(one["score"])), str(one["method"]), str(one["source"])) for one in published]
    rows.append((figure.value, "this kit", f"this run, {TRIALS} trials"))
    rows.sort(reverse=figure.sense == ">=")
    width = max(len(method) for _, method, _ in rows)
    lines = [f"    {score:.4f}  {method:<{width}}  {source}" for score, method, source in rows]
    return "\n".join([f"  {figure.name}", *lines])


def _searched(settings: Settings, chosen: Mapping[str, object]) -> dict[str, object]:
    values = {name: chosen[name] for name in sorted(settings.problem.tuning.space)}
    return {
        name: float(f"{value:.3g}") if isinstance(value, float) and math.isfinite(value) else value
        for name, value in values.items()
    }


def main(names: Sequence[str]) -> int:
    """Measure what is named, or all; say by the exit code whether every must is met."""
    published = tomllib.loads((Path(__file__).parent / "published.toml").read_text())
    unknown = set(names) - MEASURED.keys()
    if unknown:
        sys.exit(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MEASURED)}")
    figures = []
    for name in names or MEASURED:
        for figure in MEASURED[name]():
            figures.append(figure)
            print(beside(figure, published[name]), flush=True)
    return report(figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
