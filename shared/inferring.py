"""Guess a schema from a table, for a person to read and correct. Serving never guesses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shared import tables, values
from shared.documents import show
from shared.errors import DataError, nearest
from shared.schema import Column, Target, Task
from shared.values import Kind, Mistake

if TYPE_CHECKING:
    import pyarrow

MAX_CLASSES = 20
SAMPLE = 1000
ODD_SHARE = 0.01
MOST_ODD = 20
_LOOKS_LIKE_DATE = re.compile(
    r"(\d{1,2}[/.-]\d{1,2}[/.-]\d{4}|\d{4}[/.]\d{1,2}[/.]\d{1,2})"
    r"(,?[ T]\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp][Mm])?)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Inference:
    """A guess.

    Args:
        columns: all columns but the target, in the table's order.
        target: with its classes.
        excluded: why a column has feature = False, by name.
        remarks: what to look at in columns that are features, by name.
    """

    columns: tuple[Column, ...]
    target: Target
    excluded: Mapping[str, str]
    remarks: Mapping[str, str]


def infer(table: pyarrow.Table, target: str, task: Task | None = None) -> Inference:
    """Guess the columns' kinds and the target's task and classes.

    Kinds come from the Arrow types. Text whose every value is a number is numeric,
    true/false/yes/no boolean, an ISO 8601 date datetime; all other text is category. Whole numbers
    stay numeric even when there are few of them, since they mostly count or rank. Not features:
    columns without any value, with one value only, category columns whose every value is different
    (identifiers), whole numbers that count the rows, dates that are not written as ISO 8601, and
    columns of types that are no data (lists, bytes). A category of which less than 1 % of the
    cells are no numbers is remarked upon.

    Raises:
        DataError: the target is not a column, or as `infer_target`.
    """
    found = infer_target(table, target, task)
    columns, excluded, remarks = [], {}, {}
    for name in table.column_names:
        if name != target:
            data = _plain(table.column(name))
            kind, reason = _judge(data)
            columns.append(Column(name, kind, feature=reason is None))
            if reason:
                excluded[name] = reason
            elif kind == "category" and (remark := _nearly_numeric(data)):
                remarks[name] = remark
    return Inference(tuple(columns), found, excluded, remarks)


def infer_target(table: pyarrow.Table, name: str, task: Task | None = None) -> Target:
    """Guess the task and find the classes.

    Two different values, or true and false, are binary; text, and 3 to 20 different whole numbers
    of which each occurs 5 times or more on average, multiclass; all other numbers regression.
    Classes are sorted, numbers by value; 0.0 and 1.0 are the classes 0 and 1. Text stays as it is,
    yes and no included, since labels are answered as the data has them.

    Args:
        table: the training data.
        name: the target's column.
        task: what the person says it is; None: guess.

    Raises:
        DataError: the target is not a column, has no values or one class only, or does not fit the
            task.
    """
    where = f"target {name!r}"
    if name not in table.column_names:
        cure = nearest(name, table.column_names)
        raise DataError(f"{name!r} is not a column", where="target", cure=cure)
    data = _plain(table.column(name))
    kind = _label_kind(data)
    if kind is None:
        raise DataError(f"the Arrow type {data.type} cannot be predicted", where=where)
    column = Column(name, kind)
    array = tables.to_columns(table, [column], where)[name]
    known = array[~values.is_missing(array)]
    if not known.size:
        raise DataError("every value is missing", where=where)
    if kind == "datetime":
        raise DataError("a date cannot be predicted", where=where)
    whole = kind == "numeric" and bool((known == np.floor(known)).all())
    distinct = sorted(set(known.tolist()))
    if task is None:
        task = _guess(kind, len(distinct), whole and len(known) >= 5 * len(distinct))
    if len(distinct) == 1:
        raise DataError(
            f"the only value is {distinct[0]!r}; two or more are needed to learn from", where=where
        )
    if task == "regression":
        if kind != "numeric":
            raise DataError(f"a {kind} column cannot be a regression target", where=where)
        return Target(name, task)
    if kind == "numeric" and not whole:
        raise DataError(
            f"the value {float(known[known != np.floor(known)][0])!r} is no class", where=where,
            cure='Use task = "regression"',
        )  # fmt: skip
    if task == "binary" and len(distinct) != 2:
        raise DataError(
            f"{len(distinct)} different values, but a binary target has 2", where=where,
            cure='Use task = "multiclass"',
        )  # fmt: skip
    convert: Any = {"boolean": bool, "numeric": int}.get(kind, str)
    return Target(name, task, tuple(convert(value) for value in distinct))


def _guess(kind: Kind, distinct: int, classes: bool) -> Task:
    if kind == "boolean" or distinct == 2:
        return "binary"
    if kind == "category" or (classes and distinct <= MAX_CLASSES):
        return "multiclass"
    return "regression"


def _judge(data: Any) -> tuple[Kind, str | None]:
    """A column's kind, and why it should not be a feature."""
    import pyarrow.compute

    kind = _kind(data)
    if kind is None:
        return "category", f"the Arrow type {data.type} is no data for a network"
    known = len(data) - data.null_count
    if not known:
        return kind, "every value is missing"
    distinct = pyarrow.compute.count_distinct(data).as_py()
    if distinct == 1 and not data.null_count:
        return kind, "there is only one value"
    if kind == "category" and _look_like_dates(data):
        return kind, "looks like dates; write them as ISO 8601 to use them"
    if kind == "category" and distinct == known and known > 2:
        remark = _nearly_numeric(data)
        return kind, remark or "every value is different, as in an identifier"
    if kind == "numeric" and distinct == len(data) > 2 and _counts_rows(data):
        return kind, "it counts up by one, as row numbers do"
    return kind, None


def _counts_rows(data: Any) -> bool:
    import pyarrow

    try:
        numbers = tables.to_columns(pyarrow.table({"x": data}), [Column("x", "numeric")], "")["x"]
    except DataError:
        return False
    return bool((np.diff(numbers) == 1).all() and numbers[0] == np.floor(numbers[0]))


def _look_like_dates(data: Any) -> bool:
    known = _known_texts(data)
    return bool(known) and all(map(_LOOKS_LIKE_DATE.fullmatch, known))


def _nearly_numeric(data: Any) -> str | None:
    """Which cell keeps a column of text from being numeric, if there are only a few of them."""
    import pyarrow
    import pyarrow.compute

    texts, odd = _known_texts(data), []
    if any(map(_code, texts)):
        return None
    while True:
        try:
            values.from_texts("numeric", texts)
            break
        except Mistake as mistake:
            odd.append(texts[mistake.row])
            texts = texts[mistake.row + 1 :]
        if len(odd) > MOST_ODD:
            return None
    if not odd:
        return None
    cells = pyarrow.compute.is_in(data, value_set=pyarrow.array(odd, data.type))
    count = pyarrow.compute.sum(cells).as_py()
    if count >= ODD_SHARE * (len(data) - data.null_count):
        return None
    row = pyarrow.compute.index(cells, True).as_py()
    return (
        f"numbers but for {count} of {len(data)} cells; the first is row {row}: "
        f"{show(data[row].as_py())}"
    )


def _known_texts(data: Any) -> list[str]:
    """The distinct texts of a column that are not missing; none if it is not of text."""
    import pyarrow.compute

    if not _is_text(data.type):
        return []
    distinct = pyarrow.compute.unique(data).to_pylist()
    return [text for text in distinct if text is not None and text not in values.MISSING_TEXTS]


def _is_text(type_: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)
    )


def _plain(data: Any) -> Any:
    from pyarrow import types

    return data.cast(data.type.value_type) if types.is_dictionary(data.type) else data


def _kind(data: Any) -> Kind | None:
    from pyarrow import types

    type_ = data.type
    if types.is_boolean(type_):
        return "boolean"
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_):
        return "numeric"
    if types.is_timestamp(type_) or types.is_date(type_):
        return "datetime"
    if _is_text(type_):
        return _text_kind(data)
    return "category" if types.is_null(type_) else None


def _label_kind(data: Any) -> Kind | None:
    import pyarrow.compute

    kind = _kind(data)
    if kind == "boolean":
        words = {str(value).lower() for value in pyarrow.compute.unique(data).to_pylist()}
        return "category" if words & {"yes", "no"} else kind
    return kind


def _text_kind(data: Any) -> Kind:
    known = _known_texts(data)
    if not known:
        return "category"
    if {text.lower() for text in known} <= {"true", "false", "yes", "no"}:
        return "boolean"
    for kind in ("numeric", "datetime"):
        if _all_are(kind, known) and not (kind == "numeric" and any(map(_code, known))):
            return kind
    return "category"


def _all_are(kind: Kind, texts: list[str]) -> bool:
    """A sample answers for most columns that are not of the kind, before all are parsed."""
    try:
        values.from_texts(kind, texts[:SAMPLE])
        values.from_texts(kind, texts)
    except Mistake:
        return False
    return True


def _code(text: str) -> bool:
    """Digits with a leading zero, such as a postal code, are a name and not a number."""
    return len(text) > 1 and text[0] == "0" and text.isdigit()
