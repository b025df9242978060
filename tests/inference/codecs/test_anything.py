"""Whatever bytes come in whatever content type: an answer, or the client's mistake."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import codecs, errors, handler
from inference.handler import Model
from shared.errors import MAX_MISTAKES, InputError
from tests.support import bundles, requests

GOOD = requests.bodies(bundles.rows(3), bundles.COLUMNS)
NAMES = [name for one in codecs.FORMATS for name in one.names]
CHARSETS = ["", "; charset=utf-16", "; charset=windows-1252", "; header=present", "; header=absent"]
PLACES = st.floats(0, 1, exclude_max=True)
EDITS = st.lists(
    st.tuples(
        PLACES,
        st.integers(0, 4),
        st.binary(max_size=4)
        | st.sampled_from(
            [b'"', b",", b"[", b"{", b"}", b"null", b"-1e999", b"\xff" * 8, b"\0" * 8]
        ),
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return handler.model_fn(bundles.build(tmp_path_factory.mktemp("model") / "bundle"))


def ask(model: Model, body: bytes, content_type: str, accept: str) -> None:
    """Any other exception than the client's mistake fails the test."""
    try:
        answer = handler.predict_fn(handler.input_fn(body, content_type), model)
        assert handler.output_fn(answer, accept)[0]
    except InputError as error:
        mistake = error
    else:
        return
    assert 400 <= mistake.status < 500
    assert len(mistake.others) < MAX_MISTAKES
    assert len(errors.body("id", mistake)) < 20_000


@given(body=st.binary(), content_type=st.sampled_from(NAMES), more=st.sampled_from(CHARSETS))
def test_any_bytes(model: Model, body: bytes, content_type: str, more: str) -> None:
    ask(model, body, content_type + more, content_type)


@settings(max_examples=400, deadline=None)
@given(good=st.sampled_from(sorted(GOOD)), edits=EDITS)
def test_a_good_body_with_some_bytes_changed(model: Model, good: str, edits: Any) -> None:
    content_type, body = GOOD[good]
    for place, cut, put in edits:
        start = int(place * len(body))
        body = body[:start] + put + body[start + cut :]
    ask(model, body, content_type, content_type.partition(";")[0])


@pytest.mark.parametrize("good", GOOD)
def test_a_good_body_cut_short(model: Model, good: str) -> None:
    content_type, body = GOOD[good]
    for length in range(0, len(body), max(1, len(body) // 60)):
        ask(model, body[:length], content_type, "application/json")


@settings(max_examples=60, deadline=None)
@given(good=st.sampled_from(sorted(GOOD)), content_type=st.sampled_from(NAMES), accept=st.text())
def test_a_good_body_under_another_name(
    model: Model, good: str, content_type: str, accept: str
) -> None:
    ask(model, GOOD[good][1], content_type, accept)
