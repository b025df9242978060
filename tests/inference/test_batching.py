"""Requests answered together get what each gets alone: the same bytes, and each its own mistake."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from inference import codecs, handler
from inference.batching import Batcher
from inference.handler import Model
from shared.errors import InputError
from tests.support import bundles

TYPE = codecs.JSON


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return handler.model_fn(bundles.build(tmp_path_factory.mktemp("bundle") / "b", request.param))


def answers(model: Model, requests: list[codecs.Request]) -> list[handler.Answer | Exception]:
    """The answer, or the error, of each of the requests, which wait at the same moment."""

    async def inside() -> dict[int, handler.Answer | Exception]:
        found: dict[int, handler.Answer | Exception] = {}
        batcher = Batcher(asyncio.get_running_loop(), found.__setitem__)
        for number, request in enumerate(requests):
            batcher.predict(number, request, model)
        assert not found
        while len(found) < len(requests):
            await asyncio.sleep(0)
        return found

    found = asyncio.run(inside())
    return [found[number] for number in range(len(requests))]


def together(model: Model, bodies: list[Any]) -> list[Any]:
    """What each of the bodies is answered with."""
    found = answers(model, [handler.input_fn(json.dumps(body), TYPE) for body in bodies])
    return [
        each if isinstance(each, Exception) else handler.output_fn(each, TYPE)[0] for each in found
    ]


def alone(model: Model, body: Any) -> bytes:
    request = handler.input_fn(json.dumps(body), TYPE)
    return handler.output_fn(handler.predict_fn(request, model), TYPE)[0]


def test_requests_of_one_batch_get_the_bytes_that_each_gets_alone(model: Model) -> None:
    rows = bundles.rows(150)
    with_source = {**rows[0], "weather.temp": 3.0}
    bodies = [
        *rows[:100],
        rows[100:115],
        [rows[115]],
        rows[116:],
        with_source,
        {"instances": rows[:3]},
    ]
    assert together(model, bodies) == [alone(model, body) for body in bodies]


def test_a_mistake_is_told_to_who_made_it(model: Model) -> None:
    good, other = bundles.rows(2)
    bad = [{**good}, {**good, "distance": "far"}]
    found = together(model, [good, bad, other, {**good, "nothing": 1}, [5]])
    assert found[0] == alone(model, good)
    assert found[2] == alone(model, other)
    assert isinstance(found[1], InputError)
    assert (found[1].code, found[1].row, found[1].column) == ("wrong_type", 1, "distance")
    assert isinstance(found[3], InputError)
    assert isinstance(found[4], InputError)


def test_a_batch_counts_its_rows_once(model: Model) -> None:
    rows = bundles.rows(10)
    found = answers(model, [handler.input_fn(json.dumps(row), TYPE) for row in rows])
    assert [len(answer.predictions) for answer in found] == [1] * 10
    assert sum(len(encoded.codes) for answer in found for _, encoded in answer.parts) == 10


def test_requests_of_two_models_are_not_mixed(model: Model, tmp_path: Path) -> None:
    other = handler.model_fn(bundles.build(tmp_path / "other", "regression"))
    request = handler.input_fn(json.dumps(bundles.ROW), TYPE)

    async def inside() -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []

        def tell(asked: Model, answer: handler.Answer | Exception) -> None:
            assert isinstance(answer, handler.Answer)
            found.append((asked.version, answer.version))

        batcher = Batcher(asyncio.get_running_loop(), tell)
        for each in (model, other, other, model):
            batcher.predict(each, request, each)
        while len(found) < 4:
            await asyncio.sleep(0)
        return found

    assert all(asked == answered for asked, answered in asyncio.run(inside()))
