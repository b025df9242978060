"""features.py: what it may hold, what it may answer, and how each mistake in it is told."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import purity, values
from shared.cells import FEW, Cells
from shared.errors import DataError, InputError, ProjectError
from shared.feature_rules import Declaration, check
from shared.features import Features, complete, complete_table
from shared.schema import Column, Schema, Target
from shared.sources import Source, SourceTable
from shared.transforms import Transforms
from shared.values import Array, Columns
from tests.shared import strategies

OWN = (
    Column("x", "numeric"),
    Column("y", "numeric"),
    Column("place", "category"),
    Column("at", "datetime"),
    Column("wet", "boolean"),
)
COLUMNS: Columns = {
    "x": np.array([1.0, 2.0, 0.0, np.nan]),
    "y": np.array([4.0, -8.0, 3.0, 1.0]),
    "place": values.from_texts("category", ["a", "b", "", "a"]),
    "at": values.from_texts("datetime", ["2013-01-01", "2013-01-02T12:00", "", "1969-12-31"]),
    "wet": np.array([1.0, 0.0, np.nan, 1.0]),
}
GOOD = """\
from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

HALF = math.sqrt(0.25)


def features(columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    x, y, at = columns["x"], columns["y"], columns["at"]
    place = columns["place"]
    joined = np.array([None if p is None else f"{p}!" for p in place.tolist()], dtype=object)
    return {
        "ratio": np.where(x > 0, y / x, np.nan) * HALF,
        "big": np.where(np.isnan(x), np.nan, x > 1),
        "shout": joined,
        "bin": np.floor(y / 4),
        "next": at + np.timedelta64(1, "D"),
    }
"""
MADE = (
    Column("ratio", "numeric"),
    Column("big", "boolean"),
    Column("shout", "category"),
    Column("bin", "category"),
    Column("next", "datetime"),
)


def schema(*made: Column) -> Schema:
    return Schema(OWN, (), Target("late", "binary"), made)


def read(body: str, kind: Any = "numeric") -> Features:
    """A features.py that makes one column, `made`, in the given lines."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    text = f"import numpy as np\ndef features(columns):\n{lines}\n"
    return Features(text.encode(), schema(Column("made", kind)))


def told(body: str, kind: Any = "numeric") -> str:
    with pytest.raises(ProjectError) as caught:
        read(body, kind)(COLUMNS)
    return str(caught.value)


def test_what_it_makes_becomes_canonical_arrays() -> None:
    made = Features(GOOD.encode(), schema(*MADE))(COLUMNS)
    assert {name: array.dtype for name, array in made.items()} == {
        column.name: values.dtype(column.kind) for column in MADE
    }
    assert np.array_equal(made["ratio"], [2.0, -2.0, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(made["big"], [0.0, 1.0, 0.0, np.nan], equal_nan=True)
    assert made["shout"].tolist() == ["a!", "b!", None, "a!"]
    assert made["bin"].tolist() == ["1", "-2", "0", "0"]
    assert str(made["next"][1]) == "2013-01-03T12:00:00.000000"
    assert np.isnat(made["next"][2])


@st.composite
def tables(draw: st.DrawFn) -> tuple[Columns, list[int]]:
    """Columns, and where they are cut into pieces."""
    rows = draw(st.integers(1, 20))
    columns = {column.name: draw(strategies.data(column.kind, rows)) for column in OWN}
    return columns, sorted(draw(st.lists(st.integers(0, rows), max_size=4)))


@given(tables())
def test_how_many_rows_come_together_changes_no_bit(drawn: tuple[Columns, list[int]]) -> None:
    columns, cuts = drawn
    rows = len(columns["x"])
    features = Features(GOOD.encode(), schema(*MADE))
    whole = features.made(columns)
    parts = [
        features.made({name: array[start:end] for name, array in columns.items()})
        for start, end in zip([0, *cuts], [*cuts, rows], strict=True)
    ]
    for name, made in whole.items():
        joined = np.concatenate([part[name] for part in parts])
        if made.dtype == object:
            assert joined.tolist() == made.tolist()
        else:
            assert joined.tobytes() == made.tobytes()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def features(columns)\n  pass", "features.py, line 1: is not Python: expected ':'"),
        ("import pandas as pd", "line 1: imports pandas. It may import numpy and math only"),
        ("import numpy as np\nfrom os import path", "line 2: imports os"),
        ("from . import helper", "line 1: imports ."),
        ("def features(c):\n  import scipy.stats", "line 2: imports scipy.stats"),
        ("def features(c):\n  return open('x')", "line 2: uses open"),
        ("np = __import__('numpy')", "line 1: uses __import__"),
        ("n = 0\ndef features(c):\n  global n\n  n += 1", "line 3: keeps state in a global"),
        ("def feature(columns): ...", "has no function 'features'. Write def features(columns)"),
        ("async def features(columns): ...", "has no function 'features'"),
        ("def features(columns, more): ...", "line 1: the function 'features' takes one argument"),
        ("def features(*columns): ...", "takes one argument"),
        ("x = '\udcff'", "is not Python"),
        ("x = 1\0", "is not Python"),
    ],
)
def test_what_it_may_not_hold_is_told_with_its_line_and_without_running_it(
    source: str, message: str
) -> None:
    with pytest.raises(ProjectError) as caught:
        check(source.encode(errors="surrogateescape"))
    assert message in str(caught.value)


def test_what_fails_outside_of_the_function_is_told_with_its_line() -> None:
    text = b"import math\nx = math.sqrt(-1)\ndef features(columns): ..."
    features = Features(text, schema(*MADE))
    with pytest.raises(ProjectError) as caught:
        features(COLUMNS)
    assert "features.py, line 2: ValueError" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1]", "must answer a dict of arrays by column, not list"),
        ("return {}", "makes no column 'made', which [features.columns] declares"),
        (
            'return {"made": columns["x"], "mode": columns["x"]}',
            "makes a column 'mode', which [features.columns] does not declare. Did you mean",
        ),
        (
            'return {"made": columns["x"][1:]}',
            "shape (4,) is needed, one value a row, not an array",
        ),
        ('return {"made": columns["x"].mean()}', "shape (4,) is needed"),
        ('return {"made": list(columns["x"])}', "shape (4,) is needed, one value a row, not list"),
        (
            'return {"made": columns["place"]}',
            "a numeric column is an array of numbers, not of obj",
        ),
        ('return {"made": columns["x"] * 1j}', "not of complex128"),
        (
            'size = 2\nreturn {"made": columns["z"]}',
            'features.py, line 4, row 0: KeyError: \'z\', at `return {"made": columns["z"]}`. '
            "There is no such column. ",
        ),
        ('columns["x"][0] = 1', "ValueError: assignment destination is read-only"),
        ('columns["new"] = 1', "TypeError: 'Given' object does not support item assignment"),
        ("raise SystemExit(3)", "features.py, line 3, row 0: SystemExit: 3"),
    ],
)
def test_what_it_must_not_do_or_answer_is_told(body: str, message: str) -> None:
    assert message in told(body)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("boolean", 'return {"made": columns["y"]}', "row 0: 4.0 is not 0, 1 or NaN"),
        ("category", 'return {"made": columns["x"] / 0}', "inf cannot be a category"),
        ("datetime", 'return {"made": columns["x"]}', "an array of datetime64, not of float64"),
        (
            "category",
            'a = np.empty(4, dtype=object)\na[:] = [None, ("b",), "c", "d"]\nreturn {"made": a}',
            "row 1: text, a number or a boolean is needed, not a list",
        ),
    ],
)
def test_each_kind_has_its_own_values(kind: Any, body: str, message: str) -> None:
    assert message in told(body, kind)


def test_the_row_that_fails_is_found_among_many() -> None:
    features = read('return {"made": np.array([int(p[0], 16) for p in columns["place"]])}')
    columns = {name: np.repeat(array[:1], 5000) for name, array in COLUMNS.items()}
    columns["place"][3210] = None
    with pytest.raises(ProjectError) as caught:
        features(columns)
    assert "features.py, line 3, row 3210: TypeError" in str(caught.value)


def test_what_only_fails_together_names_no_row() -> None:
    text = told('if len(columns["x"]) > 1: raise ValueError("many")\nreturn {"made": columns["x"]}')
    assert "features.py, line 3: ValueError: many" in text


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        ("numeric", 'return {"made": columns["y"] / columns["x"]}', "makes inf of this row"),
        ("datetime", 'return {"made": columns["at"] + np.timedelta64(10**7, "D")}', "makes 29392"),
    ],
)
def test_what_is_no_value_is_a_mistake_of_the_row(kind: Any, body: str, shown: str) -> None:
    with pytest.raises(InputError) as caught:
        read(body, kind)(COLUMNS)
    row = 2 if kind == "numeric" else 0
    assert (caught.value.code, caught.value.row, caught.value.column) == ("not_finite", row, "made")
    assert (caught.value.status, shown in str(caught.value)) == (400, True)


def test_in_a_table_it_is_a_mistake_of_the_data_with_the_table_s_own_row() -> None:
    features = read('return {"made": columns["y"] / columns["x"]}')
    with pytest.raises(DataError) as caught:
        complete_table(COLUMNS, [], features, rows=[5, 6, 9, 12], where="train")
    assert str(caught.value).startswith("train, row 9, column 'made': features.py makes inf of")
    assert "np.where" in str(caught.value)


def test_it_sees_what_the_sources_know() -> None:
    source = Source("town", keys={"place": "id"}, columns=(Column("size", "numeric"),))
    table = SourceTable.from_columns(
        source,
        {"id": values.from_texts("category", ["a", "b"])},
        {},
        {"size": np.array([10.0, 20.0])},
    )
    joined = Schema(OWN, source.named_columns, Target("late", "binary"), (Column("d", "numeric"),))
    text = b'def features(columns):\n  return {"d": columns["town.size"] * 2}'
    found = complete_table(COLUMNS, [table], Features(text, joined), rows=range(4), where="train")
    assert np.array_equal(found["d"], [20.0, 40.0, np.nan, 20.0], equal_nan=True)


def test_the_order_of_the_columns_does_not_depend_on_the_request() -> None:
    features = read('return {"made": sum(a for a in columns.values() if a.dtype == float)}')
    backwards = dict(reversed(COLUMNS.items()))
    assert features(COLUMNS)["made"].tobytes() == features(backwards)["made"].tobytes()


def whole(features: Features) -> Columns:
    return {**COLUMNS, **features.made(COLUMNS)}


@pytest.mark.parametrize(
    ("kind", "body", "how"),
    [
        ("numeric", 'return {"made": columns["y"] - columns["y"].mean()}', "alone"),
        ("numeric", 'return {"made": np.arange(len(columns["y"])) * 1.0}', "order of rows"),
        ("numeric", 'return {"made": np.random.random(len(columns["y"]))}', "asked again"),
        ("category", 'return {"made": np.sort(columns["place"].astype(str))}', "order of rows"),
        ("numeric", 'return {"made": columns["y"] * (len(columns["y"]) == 4)}', "of the table"),
        ("numeric", 'seen.append(1)\nreturn {"made": columns["y"] + len(seen)}', "asked again"),
    ],
)
def test_values_that_depend_on_other_rows_are_refused(kind: Any, body: str, how: str) -> None:
    lines = "\n".join(f"  {line}" for line in body.splitlines())
    text = f"import numpy as np\nseen = []\ndef features(columns):\n{lines}"
    features = Features(text.encode(), schema(Column("made", kind)))
    with pytest.raises(ProjectError) as caught:
        purity.prove(features, whole(features), schema(Column("made", kind)), range(4))
    assert str(caught.value).startswith("features.py, column 'made': of ")
    assert how in str(caught.value)
    assert "no mean, rank or order of rows" in str(caught.value)


def test_a_pure_function_passes() -> None:
    joined = schema(*MADE)
    features = Features(GOOD.encode(), joined)
    purity.prove(features, whole(features), joined, range(4))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            'return {"made": np.array([len(p or "") / len(p) for p in columns["place"]])}',
            "null in 'place'",
        ),
        (
            'size = {"a": 1.0, None: 2.0, "b": 3.0}\n'
            'return {"made": np.array([size[p] for p in columns["place"]])}',
            "an unknown level in 'place'",
        ),
        ('return {"made": np.array([float(int(x)) for x in columns["x"]])}', "null in 'x'"),
        (
            'return {"made": np.array([max(y, 0) ** 9.0 for y in columns["y"].tolist()])}',
            "1e+300 in 'y'",
        ),
    ],
)
def test_a_row_that_a_request_may_bring_and_that_fails_is_told_in_words(
    body: str, words: str
) -> None:
    features = read(body)
    real = {name: array[:2] for name, array in COLUMNS.items()}
    with pytest.raises(ProjectError) as caught:
        purity.prove(
            features, {**real, **features.made(real)}, schema(Column("made", "numeric")), range(2)
        )
    assert f"a request may bring a row with {words}, and for such a row it fails" in str(
        caught.value
    )
    assert str(caught.value).startswith("features.py, line ")


def test_an_overflow_of_an_odd_row_is_no_reason_to_refuse() -> None:
    features = read('return {"made": columns["x"] * columns["y"] * columns["y"]}')
    purity.prove(features, whole(features), schema(Column("made", "numeric")), range(4))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (Column("a.b", "numeric"), "a dot is for the columns of sources"),
        (Column("a", "numeric", nullable=False), "nullable is for what a request brings"),
    ],
)
def test_a_made_column_has_a_name_of_its_own_and_may_be_missing(
    column: Column, message: str
) -> None:
    with pytest.raises(ProjectError, match=message):
        Declaration((column,), "0" * 64)


@pytest.mark.parametrize("name", ["x", "late"])
def test_what_is_made_is_new(name: str) -> None:
    with pytest.raises(ProjectError, match=r"two columns have this name|target cannot be an input"):
        schema(Column(name, "numeric"))


def test_a_request_cannot_bring_what_is_made() -> None:
    record = {"x": 1, "y": 2, "place": "a", "at": None, "wet": None, "ratio": 3}
    with pytest.raises(InputError, match="the model has no such column"):
        schema(*MADE).from_records([record])
    assert "ratio" not in schema(*MADE).json_schema()["properties"]


@given(tables())
def test_a_small_request_held_as_cells_is_encoded_to_the_same_bits(
    drawn: tuple[Columns, list[int]],
) -> None:
    columns, _ = drawn
    whole = schema(*MADE)
    features = Features(GOOD.encode(), whole)
    kinds = {column.name: column.kind for column in OWN}
    few = {name: array[:FEW] for name, array in columns.items()}
    cells = Cells(kinds, {name: _cells(array) for name, array in few.items()}, len(few["x"]))
    fitted = Transforms.fit({**COLUMNS, **features(COLUMNS)}, whole.features)
    try:
        expected = fitted.encode(complete(few, [], features))
    except InputError as refused:
        with pytest.raises(InputError, match=re.escape(str(refused))):
            complete(cells, [], features)
        return
    found = fitted.encode(complete(cells, [], features))
    assert found.numeric.tobytes() == expected.numeric.tobytes()
    assert found.codes.tobytes() == expected.codes.tobytes()


def _cells(array: Array) -> list[Any]:
    if array.dtype.kind != "M":
        return list(array.tolist())
    moments = zip(array.astype(np.int64).tolist(), np.isnat(array), strict=True)
    return [None if absent else moment for moment, absent in moments]
