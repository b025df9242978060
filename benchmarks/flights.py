"""The flights bundle and the requests that the serving benchmark sends to it.

The bundle is trained by the kit's own training job on examples/flights: the network that is
deployed from there, but one epoch and no search, since only its shape decides how long an answer
takes. It is kept under build/ by the digest of everything it is made from. Requests are flights of
the test months, as a client would send them: weather, plane and airport are left to be looked up.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from infra import project
from infra.project import Settings

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "build" / "serving"
TEST_FROM = datetime(2013, 11, 1, tzinfo=UTC)
EPOCHS = 1


def bundle() -> Path:
    """The trained bundle's directory; training takes about a minute, the first time."""
    settings = project.load(ROOT / "examples" / "flights")
    tuning = dataclasses.replace(settings.problem.tuning, trials=0)
    problem = dataclasses.replace(settings.problem, tuning=tuning).to_json()
    knobs = {**settings.encoded_hyperparameters(), "epochs": str(EPOCHS)}
    path = KEPT / _digest(settings, problem, knobs)
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT, prefix="training-") as folder:
            print("the flights bundle is trained first; later runs find it in build/", flush=True)
            os.replace(_train(Path(folder), settings, problem, knobs), path)
    return path


def rows(count: int) -> pyarrow.Table:
    """`count` flights of the test months, spread over them, without the target."""
    table = pyarrow.parquet.read_table(ROOT / "examples/flights/data/flights.parquet")
    late = pc.greater_equal(table["departure_scheduled"], pyarrow.scalar(TEST_FROM))
    table = table.filter(late).drop_columns(["late"])
    return table.take([number * len(table) // count for number in range(count)])


def json_bodies(table: pyarrow.Table) -> list[bytes]:
    """One request a row."""
    return [json.dumps({"instances": [_plain(row)]}).encode() for row in table.to_pylist()]


def csv_body(table: pyarrow.Table) -> bytes:
    """All rows in one request, with a header."""
    sink = io.BytesIO()
    moments = pc.strftime(table["departure_scheduled"], "%Y-%m-%dT%H:%M:%SZ")
    texts = table.set_column(0, "departure_scheduled", pc.replace_substring(moments, ".000000", ""))
    options = pyarrow.csv.WriteOptions(quoting_style="needed", quoting_header="none")
    pyarrow.csv.write_csv(texts, sink, options)
    return sink.getvalue()


def parquet_body(table: pyarrow.Table) -> bytes:
    """All rows in one request."""
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    moment = row["departure_scheduled"].strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**row, "departure_scheduled": moment}


def _tables(settings: Settings) -> dict[str, Path]:
    sources = {f"source_{name}": place for name, place in settings.sources.items()}
    places = {"train": settings.data, **sources}
    return {name: place.files[0].resolve() for name, place in places.items()}


def _digest(settings: Settings, problem: str, knobs: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps([problem, knobs]).encode())
    code: Sequence[Path] = [*ROOT.glob("training/**/*.py"), *ROOT.glob("shared/*.py")]
    for path in [*sorted(code), *_tables(settings).values()]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _train(folder: Path, settings: Settings, problem: str, knobs: dict[str, str]) -> Path:
    (folder / "project.json").write_text(problem)
    channels = {**_tables(settings), "project": folder / "project.json"}
    words = [sys.executable, "-m", "training.train", "--base", str(folder)]
    words += [word for name, path in channels.items() for word in ("--channel", f"{name}={path}")]
    words += [word for name, text in knobs.items() for word in ("--set", f"{name}={text}")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"training failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return folder / "model"
