"""The real server, as a container starts it, asked over HTTP on 127.0.0.1."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import bundles, serving
from tests.support.clients import parse
from tests.support.hostile import EVIL
from tests.support.serving import Reply, Server

pytestmark = pytest.mark.slow

TOO_LARGE = 7_000_000
ROW = bundles.ROW


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.build(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving.serve(bundle, tmp_path_factory.mktemp("log") / "stderr") as running:
        yield running


def error(reply: Reply) -> dict[str, Any]:
    found = reply.json()["error"]
    assert set(found) == {"code", "message", "row", "column", "request_id"}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-amzn-requestid"] == found["request_id"]
    return dict(found)


def answers_well(server: Server) -> bool:
    return server.invoke({"instances": [ROW]}).status == 200


def test_ping_is_200_when_the_model_is_ready(server: Server) -> None:
    assert server.request("GET", "/ping").status == 200


def test_json_rows_get_one_prediction_each_and_the_version_of_the_model(server: Server) -> None:
    reply = server.invoke({"instances": [ROW, ROW]})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    body = reply.json()
    assert len(body["predictions"]) == 2
    assert set(body["predictions"][0]) == {"label", "score", "scores"}
    assert len(body["model_version"]) == 12


def test_csv_rows_get_one_line_each_when_csv_is_accepted(server: Server) -> None:
    names = ",".join(ROW)
    cells = ",".join("" if value is None else str(value) for value in ROW.values())
    with_header = server.invoke(f"{names}\n{cells}\n{cells}\n", "text/csv", Accept="text/csv")
    without = server.invoke(f"{cells}\n{cells}\n", "text/csv; charset=utf-8", Accept="text/csv")
    assert (with_header.status, with_header.headers["content-type"]) == (200, "text/csv")
    assert with_header.body == without.body
    assert len(with_header.body.splitlines()) == 2


def test_json_and_csv_of_the_same_row_get_the_same_score(server: Server) -> None:
    line = server.invoke(ROW, Accept="text/csv").body.decode().strip()
    assert float(line.split(",")[1]) == server.invoke(ROW).json()["predictions"][0]["score"]


def test_one_row_alone_is_scored_as_in_a_batch(server: Server) -> None:
    rows = bundles.rows(50)
    batch = server.invoke({"instances": rows}).json()["predictions"]
    alone = [server.invoke(row).json()["predictions"][0] for row in rows]
    assert [one["label"] for one in alone] == [one["label"] for one in batch]
    assert [one["score"] for one in alone] == pytest.approx([one["score"] for one in batch])


MALFORMED = {
    "not JSON": (b"{'age': 1}", "invalid_json", None, None),
    "NaN": (json.dumps({**ROW, "distance": float("nan")}).encode(), "invalid_json", None, None),
    "empty": (b"", "empty_body", None, None),
    "no rows": (b'{"instances": []}', "no_rows", None, None),
    "wrong type": (json.dumps([ROW, {**ROW, "distance": "far"}]), "wrong_type", 1, "distance"),
    "unknown column": (json.dumps([{**ROW, "distanse": 1}]), "unknown_column", 0, "distanse"),
    "missing column": (
        json.dumps([{name: ROW[name] for name in ROW if name != "distance"}]),
        "missing_column",
        0,
        "distance",
    ),
    "too large for a number": (json.dumps({**ROW, "distance": 10**400}), None, None, None),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_a_400_and_the_next_good_one_succeeds(
    server: Server, name: str
) -> None:
    body, code, row, column = MALFORMED[name]
    reply = server.invoke(body)
    assert reply.status == 400
    found = error(reply)
    if code is not None:
        assert (found["code"], found["row"], found["column"]) == (code, row, column)
    assert answers_well(server)


def test_an_unparsable_csv_cell_is_a_400_with_its_row_and_column(server: Server) -> None:
    names = ",".join(ROW)
    good = ["" if value is None else str(value) for value in ROW.values()]
    bad = [("far" if name == "distance" else cell) for name, cell in zip(ROW, good, strict=True)]
    reply = server.invoke("\n".join([names, ",".join(good), ",".join(bad)]), "text/csv")
    assert reply.status == 400
    assert (error(reply)["row"], error(reply)["column"]) == (1, "distance")


def test_seven_megabytes_are_a_413_and_the_connection_goes_on(server: Server) -> None:
    connection = server.connect()
    reply = server.request("POST", "/invocations", b"x" * TOO_LARGE, over=connection)
    assert (reply.status, error(reply)["code"]) == (413, "too_large")
    assert server.request("POST", "/invocations", json.dumps(ROW), over=connection).status == 200
    connection.close()


def test_seven_megabytes_of_unannounced_length_are_a_413_too(server: Server) -> None:
    connection = server.connect()
    parts = (b"x" * 10_000 for _ in range(TOO_LARGE // 10_000))
    reply = server.request("POST", "/invocations", parts, over=connection)
    assert (reply.status, error(reply)["code"]) == (413, "too_large")
    assert server.request("POST", "/invocations", json.dumps(ROW), over=connection).status == 200
    connection.close()


def test_a_client_that_asks_before_sending_too_much_is_refused_at_once(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Length: 7000000\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert answers_well(server)


def test_a_body_of_unannounced_length_is_read(server: Server) -> None:
    parts = iter([b'{"instances": [', json.dumps(ROW).encode(), b"]}"])
    assert server.request("POST", "/invocations", parts).status == 200


def test_a_client_that_leaves_half_way_harms_nobody(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"
        )
    assert answers_well(server)


def test_ping_is_answered_again_and_again_while_a_large_request_is(server: Server) -> None:
    line = ",".join("" if value is None else str(value) for value in ROW.values())
    body = "\n".join([line] * 100_000).encode()
    head = "POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: text/csv\r\n"
    pings = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        connection = server.connect()
        while not select.select([client], [], [], 0)[0]:
            assert server.request("GET", "/ping", over=connection).status == 200
            pings += 1
        connection.close()
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert pings > 20


def test_another_content_type_is_a_415(server: Server) -> None:
    reply = server.invoke(b"x", "text/plain")
    assert (reply.status, error(reply)["code"]) == (415, "unsupported_media_type")


def test_an_answer_that_nobody_accepts_is_a_406(server: Server) -> None:
    reply = server.invoke(ROW, Accept="image/png")
    assert (reply.status, error(reply)["code"]) == (406, "not_acceptable")


def test_the_openapi_document_is_the_bundles_own(server: Server, bundle: Path) -> None:
    reply = server.request("GET", "/openapi.json")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.body == (bundle / "openapi.json").read_bytes()


def test_an_unknown_path_is_a_404(server: Server) -> None:
    assert error(server.request("GET", "/models"))["code"] == "not_found"
    assert server.request("GET", "/models").status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/invocations", "POST, OPTIONS"), ("POST", "/ping", "GET, HEAD, OPTIONS")],
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(
    server: Server, method: str, path: str, allowed: str
) -> None:
    reply = server.request(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert error(reply)["code"] == "method_not_allowed"


@pytest.mark.parametrize("header", ["X-Amzn-SageMaker-Inference-Id", "X-Amzn-RequestId"])
def test_the_id_the_caller_gave_comes_back(server: Server, header: str) -> None:
    assert server.invoke(ROW, **{header: "mine"}).headers["x-amzn-requestid"] == "mine"
    assert error(server.invoke(b"", **{header: "mine"}))["request_id"] == "mine"


def test_an_id_that_cannot_be_echoed_is_replaced(server: Server) -> None:
    replies = [server.invoke(ROW, X_Amzn_RequestId="x" * 65) for _ in range(3)]
    ids = {reply.headers["x-amzn-requestid"] for reply in replies}
    assert len(ids) == 3
    assert all(16 < len(each) <= 64 for each in ids)


def test_the_log_has_a_line_for_each_refusal_and_none_of_the_clients_values(
    server: Server,
) -> None:
    secret = "a-very-private-value"
    server.invoke({**ROW, "distance": secret}, X_Amzn_RequestId="the-refused-one")
    lines = [line for line in server.log() if line.get("request_id") == "the-refused-one"]
    assert [(line["event"], line["status"], line["column"]) for line in lines] == [
        ("refused", 400, "distance")
    ]
    assert secret not in server.stderr.read_text()


def test_what_is_not_sound_http_is_refused_and_harms_nobody_else(server: Server) -> None:
    for name, data in EVIL.items():
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            with contextlib.suppress(ConnectionError):  # it need not take all of it
                client.sendall(data.replace(b" /echo ", b" /invocations "))
            got = b""
            while part := client.recv(65_536):
                got += part
        answer = parse(got)
        assert (name, 400 <= answer.status < 500) == (name, True)
        assert answer.json()["error"]["code"] == "bad_request"
        assert answer.json()["error"]["request_id"] == answer.headers["x-amzn-requestid"]
    assert answers_well(server)


def test_eight_clients_at_once_all_get_their_own_answers(bundle: Path, tmp_path: Path) -> None:
    rows = bundles.rows(40)
    with serving.serve(bundle, tmp_path / "stderr", workers=2) as server:
        expected = server.invoke({"instances": rows}).json()["predictions"]

        def ask(client: int) -> list[float]:
            connection = server.connect()
            scores = [
                server.request("POST", "/invocations", json.dumps(row), over=connection).json()
                for row in rows
            ]
            connection.close()
            return [answer["predictions"][0]["score"] for answer in scores]

        with ThreadPoolExecutor(8) as clients:
            for scores in clients.map(ask, range(8)):
                assert scores == pytest.approx([one["score"] for one in expected])


def test_sigterm_finishes_what_is_under_way_and_exits_0(bundle: Path, tmp_path: Path) -> None:
    with serving.serve(bundle, tmp_path / "stderr") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            body = json.dumps(ROW).encode()
            head = f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body[:5])
            idle = server.connect()
            assert server.request("GET", "/ping", over=idle).status == 200
            server.process.send_signal(signal.SIGTERM)
            client.sendall(body[5:])
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(15) == 0
        idle.close()
        assert server.log()[-1]["event"] == "stopped"
        assert not serving.listens(server.port)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + serving.START_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(server: Server) -> set[int]:
    return {line["pid"] for line in server.log() if line["event"] == "ready"}


STOPPED = """\
import os, signal, sys, time
from inference import handler, server

def load(_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

handler.model_fn = load
sys.exit(server.main([]))
"""


def test_sigterm_while_it_starts_ends_it_with_0(bundle: Path) -> None:
    # Without a handler of its own the first process of a container would not notice.
    variables = {"SM_MODEL_DIR": str(bundle), "SERVER_ADDRESS": "127.0.0.1"}
    variables["SAGEMAKER_BIND_TO_PORT"] = str(serving.free_port())
    command = [sys.executable, "-c", STOPPED]
    environment = {**os.environ, **variables}
    assert (
        subprocess.run(
            command, check=False, cwd=serving.ROOT, env=environment, timeout=50
        ).returncode
        == 0
    )


def test_a_worker_that_dies_is_replaced(bundle: Path, tmp_path: Path) -> None:
    with serving.serve(bundle, tmp_path / "stderr") as server:
        [worker] = workers_of(server)
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: len(workers_of(server)) == 2)
        serving.wait_until_ready(server)
        assert answers_well(server)


def test_a_server_whose_workers_die_again_and_again_ends(bundle: Path, tmp_path: Path) -> None:
    with serving.serve(bundle, tmp_path / "stderr", workers=2) as server:
        killed: set[int] = set()
        # Both are killed, and so is one that came in place of another.
        while server.process.poll() is None:
            for worker in workers_of(server) - killed:
                killed.add(worker)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            time.sleep(0.02)
        assert server.process.returncode == 1
        events = [line["event"] for line in server.log()]
        assert events[-2:] == ["workers die again and again", "stopped"]
        assert events.count("worker died") >= 2


def test_no_worker_outlives_a_server_that_is_killed(bundle: Path, tmp_path: Path) -> None:
    with serving.serve(bundle, tmp_path / "stderr", workers=2) as server:
        server.process.kill()
        server.process.wait()
        eventually(lambda: not serving.listens(server.port))


def refused_start(model_dir: Path, port: int, tmp_path: Path) -> str:
    """The reason in the one line of a server that does not start."""
    process = serving.start(model_dir, port, stderr=tmp_path / "refused")
    opened = False
    while process.poll() is None:
        opened |= serving.listens(port)
    assert not opened
    assert process.returncode == 1
    [line] = (tmp_path / "refused").read_text().splitlines()
    assert json.loads(line)["event"] == "cannot start"
    return str(json.loads(line)["reason"])


@pytest.mark.parametrize("name", ["model.onnx", "transforms.json", "schema.json", "golden.json"])
def test_a_bundle_that_was_tampered_with_never_opens_the_port(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    copy = bundles.copy(bundle, tmp_path / "bundle")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert name in refused_start(copy, serving.free_port(), tmp_path)


def test_no_bundle_at_all_is_one_clear_line(tmp_path: Path) -> None:
    assert str(tmp_path / "nothing") in refused_start(
        tmp_path / "nothing", serving.free_port(), tmp_path
    )


def test_a_busy_port_is_one_clear_line(bundle: Path, tmp_path: Path, server: Server) -> None:
    process = serving.start(bundle, server.port, stderr=tmp_path / "refused")
    assert process.wait(60) == 1
    [line] = (tmp_path / "refused").read_text().splitlines()
    assert f"127.0.0.1 port {server.port}" in json.loads(line)["reason"]


HEAVY = ("tensorflow", "keras", "pandas", "sklearn", "pyarrow", "boto3", "training", "infra")


def test_what_answers_has_never_imported_tensorflow_or_its_like(bundle: Path) -> None:
    program = f"""
import json, sys
from inference import application, handler, server
app = application.Application(handler.model_fn({str(bundle)!r}))
request = handler.input_fn({json.dumps(ROW)!r}, "application/json")
body, _ = handler.output_fn(handler.predict_fn(request, app.model), "text/csv")
assert body
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=serving.ROOT, capture_output=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert {"inference", "shared", "onnxruntime", "uvloop", "httptools"} <= loaded
    assert not loaded & set(HEAVY)


def test_help_names_every_variable() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inference.server", "--help"],
        cwd=serving.ROOT,
        capture_output=True,
        check=True,
    )
    for name in (
        "SM_MODEL_DIR",
        "SERVER_ADDRESS",
        "SAGEMAKER_BIND_TO_PORT",
        "MODEL_SERVER_WORKERS",
        "MODEL_POINTER",
    ):
        assert name.encode() in done.stdout
