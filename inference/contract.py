"""Whether clients of one model can go on with another: the same questions, the same answers.

Compared is what a client can see. What happens in between (transforms, parts of a datetime, levels)
is the model's own affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.errors import BundleError
from shared.schema import Column, Schema


def check(deployed: Schema, fresh: Schema) -> None:
    """Refuse a model that clients of the deployed one would notice by more than its scores.

    Every request that `deployed` accepts must be good for `fresh`, and answered in the same form:
    the same columns in the same order (CSV without a header relies on it) and of the same kinds,
    null wherever it was allowed, the same task and the same classes.

    Args:
        deployed: what clients were written for.
        fresh: the model that is to answer them.

    Raises:
        BundleError: naming what differs.
    """
    names, others = ([column.name for column in schema.columns] for schema in (deployed, fresh))
    if names != others:
        raise _breaks(f"its columns are {_listed(others)}, not {_listed(names)}")
    known = {column.name: column for column in fresh.columns}
    _check_columns(deployed.columns, known)
    _check_columns(
        deployed.source_columns, {column.name: column for column in fresh.source_columns}
    )
    for what, old, new in (
        ("task", deployed.target.task, fresh.target.task),
        ("classes", deployed.target.classes, fresh.target.classes),
    ):
        if repr(old) != repr(new):  # False and 0 are equal, but not one label
            raise _breaks(f"its {what}: {new!r:.200}, not {old!r:.200}")


def _check_columns(columns: Sequence[Column], known: Mapping[str, Column]) -> None:
    for column in columns:
        other = known.get(column.name)
        if other is None:
            raise _breaks(f"it does not know the column {column.name!r}")
        if other.kind != column.kind:
            raise _breaks(f"its column {column.name!r} is {other.kind}, not {column.kind}")
        if column.nullable and not other.nullable:
            raise _breaks(f"its column {column.name!r} may not be null")


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names):.200}"


def _breaks(difference: str) -> BundleError:
    return BundleError(
        f"clients of the deployed model would break: {difference}",
        cure="Deploy it as a new version instead of swapping it in",
    )
