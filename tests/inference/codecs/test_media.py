"""Content types, charsets and what a client accepts."""

from __future__ import annotations

import contextlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import codecs
from inference.codecs import as_csv
from inference.codecs.request import Records
from shared.errors import InputError

ARROW = [name for one in codecs.FORMATS if one.arrow for name in one.names]


def refusal(body: bytes, content_type: str | None) -> InputError:
    with pytest.raises(InputError) as caught:
        codecs.decode(body, content_type)
    return caught.value


@pytest.fixture
def no_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image without pyarrow."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    codecs._reader.cache_clear()
    codecs._negotiated.cache_clear()


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "Application/JSON ;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json;",
        "application/json; verbose; x=y",
        "",
        None,
    ],
)
def test_parameters_and_case_of_the_content_type_do_not_matter(content_type: str | None) -> None:
    assert codecs.decode(b'{"age": 39}', content_type) == Records([{"age": 39}])


def test_no_two_formats_have_one_name() -> None:
    names = [name for one in codecs.FORMATS for name in one.names]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/octet-stream", "json", "/", ";", "a/b/c;;=", "\0"]
)
def test_another_content_type_is_refused_with_415_that_lists_those_there_are(
    content_type: str,
) -> None:
    error = refusal(b"{}", content_type)
    assert (error.status, error.code) == (415, "unsupported_media_type")
    for one in codecs.FORMATS:
        assert one.names[0] in str(error)


@pytest.mark.parametrize("content_type", ARROW)
@pytest.mark.usefixtures("no_arrow")
def test_where_pyarrow_is_not_installed_its_types_are_a_415_that_says_so(content_type: str) -> None:
    error = refusal(b"x", content_type)
    assert (error.status, error.code) == (415, "unsupported_media_type")
    assert "pyarrow is needed, which is not installed" in error.message
    with pytest.raises(InputError) as caught:
        codecs.answer_type(content_type)
    assert caught.value.status == 406
    assert codecs.answer_type(f"{content_type}, text/csv;q=0.1") == codecs.CSV


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("UTF-8", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16le", "utf-16-le"),
        ("utf-16be", "utf-16-be"),
        ("iso-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
    ],
)
def test_text_may_come_in_other_charsets(charset: str, encoding: str) -> None:
    body = "café,naïve\n".encode(encoding)
    assert codecs.decode(body, f"text/csv; charset={charset}") == as_csv.read("café,naïve".encode())
    body = '{"a": "café"}'.encode(encoding)
    assert codecs.decode(body, f"application/json; charset={charset}") == Records([{"a": "café"}])


def test_another_charset_is_refused_with_415() -> None:
    error = refusal(b"{}", "application/json; charset=koi8-r")
    assert (error.status, error.code) == (415, "unsupported_charset")
    assert "koi8-r" in error.message


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"age,job\n39,caf\xe9\n", "text/csv", "byte 14 is 0xe9"),
        (b"\xff\xfea\0", "text/csv", "byte 0 is 0xff"),
        (b"a\0\x00\xd8", "text/csv; charset=utf-16le", "byte 2 is 0x00"),
        (b"a\x81", "text/csv; charset=windows-1252", "byte 1 is 0x81"),
        (b"abc", "application/json; charset=utf-16", "byte 2 is 0x63"),
    ],
)
def test_what_is_not_text_in_its_charset_is_refused_at_the_byte(
    body: bytes, content_type: str, words: str
) -> None:
    error = refusal(body, content_type)
    assert (error.status, error.code) == (400, "wrong_charset")
    assert words in error.message


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize(
    "content_type", [name for one in codecs.FORMATS if one.text for name in one.names]
)
def test_a_body_without_anything_is_refused(body: bytes, content_type: str) -> None:
    assert refusal(body, content_type).code == "empty_body"


@pytest.mark.parametrize(
    "content_type", [name for one in codecs.FORMATS if not one.text for name in one.names]
)
def test_an_empty_body_is_refused_in_any_type(content_type: str) -> None:
    assert refusal(b"", content_type).code == "empty_body"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, codecs.JSON),
        ("", codecs.JSON),
        ("*/*", codecs.JSON),
        ("application/json", codecs.JSON),
        ("application/json; charset=utf-8", codecs.JSON),
        ("application/json;verbose=true", codecs.JSON),
        ("text/csv", codecs.CSV),
        ("TEXT/CSV", codecs.CSV),
        ("text/*", codecs.CSV),
        ("application/*", codecs.JSON),
        ("text/html, text/csv;q=0.5", codecs.CSV),
        ("application/json;q=0.2, text/csv;q=0.9", codecs.CSV),
        ("*/*;q=0.1, text/csv", codecs.CSV),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", codecs.JSON),
        ("*;q=.1, text/csv;q=0.1001", codecs.CSV),
        ("text/csv, */*", codecs.CSV),
        ("application/json;q=0, */*", codecs.CSV),
        ("text/csv;header=present", codecs.WITH_HEADER),
        ('text/csv; header="present"; q=0.5, text/html', codecs.WITH_HEADER),
        ("text/csv;header=absent", codecs.CSV),
        ('text/html;x="a,b;q=1", application/x-npy', "application/x-npy"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("application/json;q=0.3, application/jsonlines;q=0.4", "application/jsonlines"),
    ],
)
def test_the_answer_comes_in_the_type_the_client_likes_best(
    accept: str | None, expected: str
) -> None:
    assert codecs.answer_type(accept) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "text/html, image/*",
        "*/*;q=0",
        "text/csv;q=x",
        "text/csv;q=nan",
        "text/csv;q=2",
        "text/csv;q=1.5",
        "text/csv;q=-1",
        ",;,=",
    ],
)
def test_a_client_that_accepts_nothing_we_have_gets_406(accept: str) -> None:
    with pytest.raises(InputError) as caught:
        codecs.answer_type(accept)
    assert caught.value.status == 406


@given(content_type=st.text(), accept=st.text())
def test_any_headers_are_understood_or_a_clients_mistake(content_type: str, accept: str) -> None:
    with contextlib.suppress(InputError):
        assert callable(codecs.decode(b"{}", content_type).columns)
    known = {codecs.WITH_HEADER, *(name for one in codecs.FORMATS for name in one.names)}
    with contextlib.suppress(InputError):
        assert codecs.answer_type(accept) in known


PIECES = st.sampled_from(
    ["text/csv", "*/*", "application/*", ";", ",", "q=", "0.5", '"', "\\", "=", " ", "header="]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_pieces_of_headers_are_understood_or_a_clients_mistake(header: str) -> None:
    for read in (codecs.answer_type, lambda text: codecs.decode(b"[]", text)):
        with contextlib.suppress(InputError):
            assert read(header)
