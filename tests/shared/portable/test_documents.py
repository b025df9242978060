"""JSON is read strictly, and every refusal names its place."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import documents
from shared.errors import BundleError, ProjectError


@dataclass(frozen=True)
class Inner:
    x: float

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ProjectError("x is negative", where="inner", cure="Use a positive one")


@dataclass(frozen=True)
class Outer:
    name: str
    mode: Literal["auto"] | bool
    pair: tuple[int, str] = (1, "a")
    many: tuple[Inner, ...] = ()
    table: Mapping[str, int] | None = None


def decode(**data: Any) -> Outer:
    return documents.decode(Outer, {"name": "n", "mode": True} | data, "doc", BundleError)


def test_a_whole_document_is_read() -> None:
    read = decode(mode="auto", pair=[2, "b"], many=[{"x": 1}, {"x": 0.5}], table={"k": 3})
    assert read == Outer("n", "auto", (2, "b"), (Inner(1.0), Inner(0.5)), {"k": 3})
    assert documents.decode(Outer, documents.loads(documents.dumps(read), "d"), "d") == read


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": 5}, "doc.name: text is needed, not 5"),
        ({"nam": "x"}, "doc: unknown key 'nam'. Did you mean 'name'?"),
        ({"mode": "automatic"}, "doc.mode: 'automatic' is not one of 'auto' / true or false is"),
        ({"mode": 1}, "doc.mode: 1 is not one of 'auto' / true or false is needed, not 1"),
        ({"pair": [1]}, "doc.pair: 2 items are needed, not 1"),
        ({"pair": [1.5, "a"]}, "doc.pair[0]: a whole number is needed, not 1.5"),
        ({"pair": {}}, "doc.pair: a list is needed, not {}"),
        ({"many": [{"x": True}]}, "doc.many[0].x: a number is needed, not True"),
        ({"many": [{"x": 10**400}]}, "doc.many[0].x: a number is needed, not a whole number of"),
        ({"many": [{}]}, "doc.many[0]: the key 'x' is missing"),
        ({"many": [{"x": -1}]}, "doc.many[0]: inner: x is negative. Use a positive one"),
        ({"many": [5]}, "doc.many[0]: an object is needed, not 5"),
        ({"table": {"k": "v"}}, "doc.table.k: a whole number is needed, not 'v'"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(data: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        decode(**data)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "text", ["", "{", "[NaN]", "[-Infinity]", "1" * 5000, "[" * 100_000, b"\xff"]
)
def test_what_is_not_json_is_refused(text: Any) -> None:
    with pytest.raises(BundleError, match="doc: not JSON"):
        documents.loads(text, "doc", BundleError)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_read_back_exactly(number: float) -> None:
    again = documents.loads(documents.dumps(number), "doc")
    assert repr(again) == repr(number)


@given(st.text())
def test_any_text_is_read_back_exactly(text: str) -> None:
    assert documents.loads(documents.dumps(text).encode("ascii"), "doc") == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["name", "mode", "pair", "many", "x"]) | st.text(), inner)
    ),
)


@given(JSON)
def test_any_other_json_is_refused_with_a_kit_error(data: Any) -> None:
    with contextlib.suppress(BundleError):
        documents.decode(Outer, data, "doc", BundleError)
