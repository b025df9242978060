"""What operators rely on: limits and overload, metrics, log levels, what batch transform asks."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inference import limits
from inference.metrics import FLUSH_SECONDS
from tests.support import bundles, serving
from tests.support.clients import asking, read, request
from tests.support.serving import Server

pytestmark = pytest.mark.slow

ROW = bundles.ROW
CHUNKED = (
    b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
VARIABLES = {
    "LOG_LEVEL": "debug",
    "METRICS_SECONDS": "1",
    "ENDPOINT_NAME": "flights",
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": "10",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.build(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "stderr"
    with serving.serve(bundle, log, workers=2, variables=VARIABLES) as running:
        yield running


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + serving.START_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def metric(server: Server, name: str) -> float:
    """The value of a line of GET /metrics; 0 where there is none."""
    for line in server.request("GET", "/metrics").body.decode().splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_batch_transform_is_told_how_to_send(server: Server) -> None:
    reply = server.request("GET", "/execution-parameters")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json() == {
        "MaxConcurrentTransforms": 2,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 10,
    }


def test_custom_attributes_and_the_inference_id_come_back(server: Server) -> None:
    headers = {
        "X-Amzn-SageMaker-Custom-Attributes": "trace=1,caller=test",
        "X-Amzn-SageMaker-Inference-Id": "mine",
    }
    reply = server.invoke(ROW, **headers)
    for name, value in headers.items():
        assert reply.headers[name.lower()] == value
    too_long = server.invoke(ROW, **{"X-Amzn-SageMaker-Custom-Attributes": "x" * 1025})
    assert too_long.status == 200
    assert "x-amzn-sagemaker-custom-attributes" not in too_long.headers


def test_head_and_options_are_answered(server: Server) -> None:
    head = server.request("HEAD", "/ping")
    assert (head.status, head.body) == (200, b"")
    options = server.request("OPTIONS", "/invocations")
    assert (options.status, options.headers["allow"]) == (204, "POST, OPTIONS")


def test_a_chunked_body_that_breaks_off_is_refused(server: Server) -> None:
    # What has come would be good JSON by itself: only the missing last chunk tells.
    body = json.dumps([ROW]).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(CHUNKED + f"{len(body):x}\r\n".encode() + body + b"\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = read(client)
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "incomplete_body"
    assert server.invoke(ROW).status == 200


def test_a_chunked_body_that_ends_as_it_should_is_answered(server: Server) -> None:
    body = json.dumps([ROW]).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(CHUNKED + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        assert read(client).status == 200


def test_every_answer_has_a_line_in_the_log_at_debug(server: Server) -> None:
    server.invoke([ROW, ROW], X_Amzn_RequestId="the-good-one")
    server.invoke({**ROW, "nothing": 1}, X_Amzn_RequestId="the-bad-one")
    lines = {line.get("request_id"): line for line in server.log()}
    good, bad = lines["the-good-one"], lines["the-bad-one"]
    assert (good["event"], good["level"], good["status"], good["rows"]) == (
        "answered", "debug", 200, 2
    )  # fmt: skip
    assert good["ms"] > 0
    assert (bad["event"], bad["level"], bad["status"]) == ("refused", "warning", 400)
    assert (
        good["model_version"] == bad["model_version"] == server.invoke(ROW).json()["model_version"]
    )


def test_metrics_count_over_all_workers_what_was_asked(server: Server) -> None:
    def counts() -> dict[str, float]:
        return {
            name: metric(server, name)
            for name in (
                'inference_requests_total{status="200",code=""}',
                'inference_requests_total{status="400",code="unknown_column"}',
                "inference_rows_total",
                'inference_stage_seconds_count{stage="predict"}',
                "inference_quality_rows_total",
                'inference_values_missing_total{column="price"}',
                'inference_values_unknown_total{column="carrier"}',
                'inference_values_out_of_range_total{column="distance"}',
            )
        }

    def settled() -> dict[str, float]:
        """The counts once no worker has anything left to write down."""
        found = counts()
        while True:
            time.sleep(2 * FLUSH_SECONDS)
            found, earlier = counts(), found
            if found == earlier:
                return found

    before = settled()
    for _ in range(6):  # a connection each: both workers are asked
        server.invoke([{**ROW, "price": 5.0}, {**ROW, "carrier": "??", "distance": 1e9}])
        server.invoke({**ROW, "nothing": 1})
    added = [after - before[name] for name, after in settled().items()]
    assert added == [6, 6, 12, 6, 12, 6, 6, 6]
    version = server.invoke(ROW).json()["model_version"]
    assert metric(server, f'inference_model_info{{version="{version}"}}') == 2


def test_prometheus_itself_can_read_the_metrics(server: Server) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    reply = server.request("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {
        each.name: each for each in parser.text_string_to_metric_families(reply.body.decode())
    }
    assert families["inference_stage_seconds"].type == "histogram"
    assert families["inference_requests"].type == "counter"


def test_cloudwatch_is_told_once_a_period(server: Server) -> None:
    server.invoke({**ROW, "price": None})
    eventually(lambda: sum(line["MissingValues"] for line in server.metrics()) > 0)
    line = server.metrics()[-1]
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "SageMakerKerasKit"
    assert directive["Dimensions"] == [
        ["EndpointName", "VariantName"],
        ["EndpointName", "VariantName", "ModelVersion"],
    ]
    for name in directive["Dimensions"][-1]:
        assert line[name]
    for each in directive["Metrics"]:
        value = line[each["Name"]]
        if each["Unit"] == "Milliseconds":
            assert len(value["Values"]) == len(value["Counts"]) <= 100
            assert sum(value["Counts"]) == value["Count"]
        else:
            assert value >= 0


def test_an_overloaded_server_refuses_early_and_recovers_at_once(server: Server) -> None:
    capacity = 2 * limits.IN_FLIGHT
    data = request(json.dumps([ROW] * 30).encode())
    with asking(server.port, data, 2 * capacity) as clients:
        refused = lambda: [  # noqa: E731
            answer for client in clients for answer in list(client.answers) if answer.status == 503
        ]
        eventually(lambda: len(refused()) > 20)
    answers = [answer for client in clients for answer in client.answers]
    assert {answer.status for answer in answers} == {200, 503}
    assert sum(answer.status == 200 for answer in answers) > len(clients)
    one = refused()[0]
    assert one.headers["retry-after"] == "1"
    assert one.json()["error"]["code"] == "overloaded"
    assert server.invoke(ROW).status == 200
    eventually(lambda: any(line["event"] == "overloaded" for line in server.log()))
    assert metric(server, 'inference_requests_total{status="503",code="overloaded"}') > 0


def test_senders_that_stall_keep_nobody_out(server: Server) -> None:
    stalled = []
    for _ in range(2 * limits.IN_FLIGHT + 20):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{")
        stalled.append(client)
    eventually(lambda: server.invoke(ROW).status == 200)
    for client in stalled:
        linger = struct.pack("ii", 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.close()
    eventually(lambda: metric(server, 'inference_in_flight{size="small"}') == 0)


def test_in_a_batch_transform_job_a_body_may_be_larger_and_have_more_rows(
    bundle: Path, tmp_path: Path
) -> None:
    variables = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "8"}
    with serving.serve(bundle, tmp_path / "stderr", variables=variables) as server:
        padding = b" " * 7_000_000
        assert server.invoke(json.dumps([ROW]).encode() + padding).status == 200
        assert server.invoke(json.dumps([ROW]).encode() + 2 * padding).status == 413
        lines = b",,,,,JFK,\n" * (limits.ROWS + 1)
        answered = server.invoke(lines, "text/csv", Accept="text/csv")
        assert answered.body.count(b"\n") == limits.ROWS + 1
