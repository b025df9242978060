"""Look at a table and write a project.toml for it, to read, edit and deploy.

What each column is, what is to be predicted and how is inferred from the values; what could be
otherwise stands in comments.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.inferring import Inference
    from shared.schema import Task

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_CLASSES = 6


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of init."""
    parser.add_argument("--data", required=True, metavar="TABLE", help="a CSV or Parquet file")
    parser.add_argument("--label", required=True, metavar="COLUMN", help="what is to be predicted")
    parser.add_argument("--name", help="the project's name (default: from the file's name)")
    parser.add_argument(
        "--task",
        choices=("binary", "multiclass", "regression"),
        help="what kind of prediction (default: from the label's values)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the file."""
    from infra.project import FILE
    from infra.sections import NAME
    from shared import files
    from shared.errors import ProjectError

    for option, value in (("--data", args.data), ("--label", args.label)):
        if not value:
            raise ProjectError(
                "is empty", where=option, cure="Type: make init DATA=table.csv LABEL=column"
            )
    name = args.name or _name(args.data)
    if not re.fullmatch(NAME, name) or len(name) > 32:
        raise ProjectError(
            f"{name!r} cannot be a project's name",
            where="--name",
            cure="Lower-case letters, digits and single hyphens, 32 at most.",
        )
    path = Path("projects") / name / FILE
    text, inference = draft(name, args.data, args.label, args.task, path.parent)
    if path.exists():
        raise ProjectError(
            "is there already, and is not overwritten",
            where=str(path),
            cure="Edit it, delete it, or choose another name: make init … NAME=name (--name).",
        )
    files.write(path, text.encode())
    used = len(inference.columns) - len(inference.excluded)
    print(f"{path}: predict {args.label} ({inference.target.task}) from {used} columns.")
    print("Read it and edit it; then:")
    print(f"  make plan PROJECT={path.parent}\n  make deploy PROJECT={path.parent}")
    return 0


def draft(
    name: str, data: str, label: str, task: Task | None, directory: Path
) -> tuple[str, Inference]:
    """The text of a project file for a table, and what it was inferred from.

    Raises:
        DataError: the table cannot be read, or the label cannot be predicted.
    """
    from infra.channels import local_files
    from shared import tables
    from shared.errors import DataError
    from shared.inferring import infer

    if data.startswith("s3://"):
        raise DataError(
            "init looks at tables on this machine only",
            where=data,
            cure="Init with a part of it, then write the s3:// location into the file.",
        )
    table = tables.read(local_files(data, Path()))
    inference = infer(table, label, task)
    source = os.path.relpath(os.path.expanduser(data), directory)
    target = inference.target
    classes = ""
    if target.classes:
        shown = ", ".join(map(str, target.classes[:_SHOWN_CLASSES]))
        more = ", …" if len(target.classes) > _SHOWN_CLASSES else ""
        classes = f"   # {len(target.classes)} classes: {shown}{more}"
    lines = [
        f"# Predict {label} from {Path(data).name}: made by `make init`, to be read and edited.",
        "",
        f"name = {_text(name)}",
        "",
        "[data]",
        f"source = {_text(source)}",
        f"target = {_text(label)}",
        f"task   = {_text(target.task)}{classes}",
        'split  = { by = "random", validation = 0.1, test = 0.2, seed = 0 }',
        *_time_split(table, inference),
        "",
        "[data.columns]   # kind: numeric, category, boolean or datetime",
        *_columns(inference),
        "",
        "# [features.columns]   # what features.py beside this file makes: docs/features.md",
        '# ratio = { kind = "numeric" }',
        "",
        "[training]",
        "hyperparameters = {}        # all defaults; docs/project.md lists the knobs",
        'instance = "ml.m5.xlarge"   # on AWS only',
        'max_runtime = "1h"',
        "",
        "[tuning]",
        'strategy = "bayesian"   # or "random", "hyperband", "grid", "manual"',
        "trials   = 4",
        "",
        "[tuning.space]",
        'learning_rate = { min = 3e-4, max = 3e-3, scale = "log" }',
        "l2            = [0.0, 1e-5, 1e-4, 1e-3]",
        "dropout       = [0.0, 0.1, 0.2]",
        "",
        "[endpoint]",
        'instance = "ml.m5.large"    # on AWS only',
        "",
    ]
    return "\n".join(lines), inference


def _columns(inference: Inference) -> list[str]:
    used = [column for column in inference.columns if column.name not in inference.excluded]
    width = max((len(_key(column.name)) for column in used), default=0)
    lines = []
    for column in used:
        remark = inference.remarks.get(column.name)
        line = f"{_key(column.name):<{width}} = {{ kind = {_text(column.kind)} }}"
        lines.append(f"{line}   # {remark}" if remark else line)
    return lines + [
        f"# {_key(column.name)} = {{ kind = {_text(column.kind)} }}   # left out: {reason}"
        for column in inference.columns
        if (reason := inference.excluded.get(column.name))
    ]


def _time_split(table: Any, inference: Inference) -> list[str]:
    """A split by time to choose instead, where a column of times covers most rows."""
    import numpy as np

    from shared import tables, values

    for column in inference.columns:
        if column.kind != "datetime" or column.name in inference.excluded:
            continue
        times = tables.to_columns(table, [column], "")[column.name]
        known = np.sort(times[~values.is_missing(times)])
        first, second = (str(known[int(len(known) * part)])[:10] for part in (0.7, 0.8))
        if first < second:
            return [
                "# To learn from the past and be tested on what came later:",
                f'# split = {{ by = "time", time = {_text(column.name)}, '
                f"validation_from = {first}, test_from = {second} }}",
            ]
    return []


def _name(data: str) -> str:
    stem = Path(data).stem if Path(data).suffix else Path(data).name
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:32].strip("-") or "project"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
