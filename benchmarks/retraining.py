"""What going on from a deployed model brings: `make bench-retraining`.

Two tables are cut in two. examples/adult: a model is trained on one half, drawn at random, and goes
on with the other. examples/flights: one is trained on January to June and goes on with July and
August, whose last flights are held out. The jobs are those of `make deploy` and `make retrain`,
without a search, each in a process of its own. For each share of old rows that is learnt again a
line says what the new model answers beside the old one, on new rows held out and on old test rows.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.figures import Figure, report
from infra import project
from infra.project import Settings
from shared import bundle, tables
from shared.problem import Split, Tuning
from shared.retraining import OUTCOME, SETTINGS, Outcome, Retraining

ROOT = Path(__file__).parent.parent
SHARES = (Retraining.old_share, 0.5, 0.0)


def adult() -> tuple[Settings, pa.Table, pa.Table]:
    """The project and the two halves of its rows."""
    settings = example("adult")
    table = tables.read(settings.data.files)
    first = np.random.default_rng(0).random(table.num_rows) < 0.5
    return settings, table.filter(pa.array(first)), table.filter(pa.array(~first))


def flights() -> tuple[Settings, pa.Table, pa.Table]:
    """The project, split before July, and its flights before July and until September."""
    settings = example("flights")
    limits = {"validation_from": "2013-05-15", "test_from": "2013-06-10"}
    how: Split = dataclasses.replace(settings.problem.split, **limits)
    settings = dataclasses.replace(
        settings, problem=dataclasses.replace(settings.problem, split=how)
    )
    table = tables.read(settings.data.files)
    time = pc.cast(table[str(how.time)], pa.timestamp("us"))
    july, september = (pa.scalar(datetime(2013, month, 1), time.type) for month in (7, 9))
    later = pc.and_(pc.greater_equal(time, july), pc.less(time, september))
    return settings, table.filter(pc.less(time, july)), table.filter(later)


def example(name: str) -> Settings:
    """An example's project without its search."""
    settings = project.load(ROOT / "examples" / name)
    problem = dataclasses.replace(settings.problem, tuning=Tuning(trials=0))
    return dataclasses.replace(settings, problem=problem)


def run(base: Path, channels: dict[str, Path], hyperparameters: dict[str, Any]) -> Path:
    """Run one job; where its bundle lies."""
    knobs = base / "input/config/hyperparameters.json"
    knobs.parent.mkdir(parents=True)
    knobs.write_text(json.dumps(hyperparameters))
    words = [sys.executable, "-m", "training.train", "--base", str(base)]
    for name, place in channels.items():
        words += ["--channel", f"{name}={place.resolve()}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"training failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return base / "model"


def measured(
    name: str, settings: Settings, old: pa.Table, new: pa.Table
) -> Iterator[tuple[float, Outcome]]:
    """What came of a retraining with each share of old rows."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "project").mkdir()
        (here / "project/project.json").write_text(settings.problem.to_json())
        rows = {"train": here / "old.parquet", "new": here / "new.parquet"}
        pq.write_table(old, rows["train"])
        pq.write_table(new, rows["new"])
        sources = {f"source_{name}": place.files[0] for name, place in settings.sources.items()}
        channels = {"train": rows["train"], "project": here / "project"}
        first = run(here / "first", channels | sources, settings.encoded_hyperparameters())
        bundle.pack(first, here / "model.tar.gz")
        for share in SHARES:
            (here / "project" / SETTINGS).write_text(Retraining(old_share=share).to_json())
            model = {"model": here / "model.tar.gz", "new": rows["new"]}
            made = run(here / f"next-{share}", channels | model, {})
            came = Outcome.from_json((made / OUTCOME).read_bytes())
            print(
                f"  {name}, old_share {share}: {came.decision.words}\n    {came.memory}", flush=True
            )
            yield share, came


def main() -> int:
    """Print what came of both; adult's halves differ by chance alone, so there a win is asked."""
    outcomes = {name: list(measured(name, *cut())) for name, cut in TABLES.items()}
    gain = outcomes["adult"][0][1].decision.gain
    return report([Figure("adult, AUC won by the other half", gain, "", ">=", 0.001, 0.003)])


TABLES = {"adult": adult, "flights": flights}


if __name__ == "__main__":
    sys.exit(main())
