"""The small application: the server's own answers, and a page to try it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from inference.flask_app import create_app
from tests.support import bundles, clients, serving
from tests.support.asking import BAD, GOOD, Asked
from tests.support.hostile import post
from tests.support.serving import ROOT, Server


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.build(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def client(bundle: Path) -> FlaskClient:
    return create_app(bundle).test_client()


@pytest.fixture(scope="module")
def own(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving.serve(bundle, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@contextmanager
def started(bundle: Path, log: Path) -> Iterator[Server]:
    port = serving.free_port()
    variables = {
        "SM_MODEL_DIR": str(bundle),
        "SERVER_ADDRESS": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }
    command = (sys.executable, "-m", "inference.flask_app")
    with serving.running(command, log, cwd=ROOT, variables=variables) as process:
        server = Server(port, process, log)
        serving.wait_until_ready(server)
        yield server


@pytest.fixture(scope="module")
def program(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(bundle, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("asked", [*GOOD, *BAD], ids=str)
def test_an_answer_is_that_of_the_server_byte_for_byte_and_so_is_a_mistake(
    program: Server, own: Server, asked: Asked
) -> None:
    theirs, ours = asked.of(program), asked.of(own)
    assert (theirs.status, theirs.body) == (ours.status, ours.body)
    for name in ("content-type", "x-amzn-requestid"):
        assert theirs.headers[name] == ours.headers[name]


@pytest.mark.slow
def test_a_body_of_unannounced_length_is_read(program: Server) -> None:
    parts = iter([b'{"instances": [', json.dumps(bundles.ROW).encode(), b"]}"])
    assert program.request("POST", "/invocations", parts).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/invocations", "/"])
@pytest.mark.parametrize("wrong", [b"zz\r\nabc\r\n0\r\n\r\n", b"2\r\nabc\r\n0\r\n\r\n"])
def test_chunks_that_are_not_sound_are_refused(program: Server, path: str, wrong: bytes) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    lines = ("Transfer-Encoding: chunked", form)
    with socket.create_connection(("127.0.0.1", program.port), 30) as client:
        client.sendall(post(b"", *lines, path=path, length=False) + wrong)
        assert clients.read(client).status == 400


@pytest.mark.slow
def test_the_program_ends_at_sigterm_and_its_log_is_json(bundle: Path, tmp_path: Path) -> None:
    with started(bundle, tmp_path / "log") as server:
        server.invoke(b"{")
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert [line["event"] for line in server.log()] == ["starting", "refused"]


def test_without_flask_one_line_says_what_to_install(bundle: Path) -> None:
    hidden = "import sys; sys.modules['flask'] = None; from inference.flask_app import main; "
    done = subprocess.run(
        [sys.executable, "-c", hidden + "sys.exit(main([]))"],
        env={"SM_MODEL_DIR": str(bundle), "PATH": ""},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stderr)["reason"] == "Flask is not installed. pip install flask"


def test_unknown_paths_and_methods_are_refused_in_the_form_of_all_errors(
    client: FlaskClient,
) -> None:
    missing, wrong = client.get("/nothing"), client.get("/invocations")
    assert (missing.status_code, missing.json["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["Allow"]


def test_our_own_fault_is_a_500_that_tells_nothing(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("inference.handler.predict_fn", fail)
    reply = client.post("/invocations", json=bundles.ROW)
    assert (reply.status_code, reply.json["error"]["code"]) == (500, "internal_error")
    assert b"secret" not in reply.data


def test_tailored_rows_are_those_that_the_network_is_given(client: FlaskClient) -> None:
    rows = client.post("/tailored", json=[bundles.ROW, *bundles.rows(9)]).json["rows"]
    assert len(rows) == 10
    assert rows[0]["columns"]["price"] is None
    assert rows[0]["columns"]["departure"].startswith("2013-07-01T15:30")
    assert isinstance(rows[0]["columns"]["weather.temp"], float)
    assert set(rows[0]["codes"]) == {"carrier", "origin", "weather.sky"}
    assert rows[0]["numeric"]


def test_outcomes_are_compared_with_what_was_predicted_once(client: FlaskClient) -> None:
    reply = client.post("/invocations", json=bundles.rows(4))
    labels = [one["label"] for one in reply.json["predictions"]]
    told = {
        "request_id": reply.headers["x-amzn-requestid"],
        "outcomes": [labels[0], labels[1], not labels[2], None],
    }
    assert client.post("/outcomes", json=told).json == {"counted": 3}
    again = client.post("/outcomes", json=told)
    assert (again.status_code, again.json["error"]["code"]) == (404, "unknown_request")
    found = client.get("/measures").json
    assert (found["requests"], found["rows"], found["outcomes"]) == (1, 4, 3)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["refused"] == {"unknown_request": 1}
    assert set(found["milliseconds"]) == {"validate", "transform", "predict"}


@pytest.mark.parametrize(
    "outcomes", [["late"], [1], [True, True], True, None], ids=["class", "number", "2", "-", "null"]
)
def test_an_outcome_that_cannot_be_is_refused_and_can_be_corrected(
    client: FlaskClient, outcomes: Any
) -> None:
    reply = client.post("/invocations", json=bundles.ROW)
    told = {"request_id": reply.headers["x-amzn-requestid"], "outcomes": outcomes}
    assert client.post("/outcomes", json=told).status_code == 400
    assert client.post("/outcomes", json={**told, "outcomes": [True]}).json == {"counted": 1}


def test_of_a_regression_the_mean_absolute_error_is_told(tmp_path: Path) -> None:
    client = create_app(bundles.build(tmp_path / "bundle", "regression")).test_client()
    reply = client.post("/invocations", json=[bundles.ROW, bundles.ROW])
    values = [one["value"] for one in reply.json["predictions"]]
    told = {
        "request_id": reply.headers["x-amzn-requestid"],
        "outcomes": [values[0] + 1, values[1] - 3],
    }
    client.post("/outcomes", json=told)
    assert client.get("/measures").json["mean_absolute_error"] == pytest.approx(2)


class Page(HTMLParser):
    """What matters of a page: its controls, labels, and everything that could load something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def test_the_page_has_a_labelled_and_described_control_for_each_column(client: FlaskClient) -> None:
    page = Page(client.get("/").text)
    controls = page.all("input", "select")
    assert [control["name"] for control in controls] == [one.name for one in bundles.COLUMNS]
    assert [label["for"] for label in page.all("label")] == [control["id"] for control in controls]
    described = {each.get("id") for _, each in page.tags}
    assert all(control["aria-describedby"] in described for control in controls)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("main")) == len(page.all("h1")) == len(page.all("title")) == 1


def test_the_page_loads_nothing_and_the_browser_is_told_so(client: FlaskClient) -> None:
    reply = client.get("/")
    page = Page(reply.text)
    assert not page.all("script", "link", "img", "iframe", "object")
    assert not any(name in each for _, each in page.tags for name in ("src", "href", "onclick"))
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_the_form_as_it_comes_gets_a_prediction(client: FlaskClient) -> None:
    page = Page(client.get("/").text)
    form = {str(each["name"]): each.get("value") or "" for each in page.all("input")}
    reply = client.post("/", data=form)
    assert reply.status_code == 200
    assert re.search(r"<dt>label</dt><dd>(True|False)</dd>\s*<dt>score</dt><dd>0\.\d+", reply.text)


def test_the_form_gets_the_prediction_that_the_api_gives(client: FlaskClient) -> None:
    form = {name: "" if value is None else str(value) for name, value in bundles.ROW.items()}
    expected = client.post("/invocations", json=bundles.ROW).json["predictions"][0]["score"]
    assert f"<dd>{expected}</dd>" in client.post("/", data=form).text


def test_a_mistake_in_the_form_is_told_at_its_field_which_keeps_what_was_written(
    client: FlaskClient,
) -> None:
    form = {"distance": "<far>", "night": "true", "origin": "JFK"}
    reply = client.post("/", data=form)
    page = Page(reply.text)
    (wrong,) = [each for each in page.all("input") if "aria-invalid" in each]
    assert (reply.status_code, wrong["name"], wrong["value"]) == (400, "distance", "<far>")
    assert str(wrong["aria-describedby"]).split()[1] == "mistake"
    assert 'role="alert"' in reply.text
    assert "<far>" not in reply.text
    assert "selected" in next(each for each in page.all("option") if "selected" in each)


def test_what_is_missing_and_must_not_be_is_told(client: FlaskClient) -> None:
    reply = client.post("/", data={"distance": "1"})
    assert reply.status_code == 400
    assert "origin" in reply.text
