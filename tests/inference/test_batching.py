"""Requests answered together get what each gets alone: the same bytes, and each its own mistake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inference import batching, codecs, handler
from inference.batching import Batcher
from inference.handler import Model
from shared.errors import InputError
from tests.support import bundles

TYPE, NPY = codecs.JSON, "application/x-npy"


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return handler.model_fn(bundles.build(tmp_path_factory.mktemp("bundle") / "b", request.param))


def answers(
    model: Model, requests: list[codecs.Request]
) -> list[tuple[handler.Answer, slice] | Exception]:
    """The answer and which of its rows, or the error, of each of the requests.

    They wait at the same moment.
    """

    async def inside() -> dict[int, tuple[handler.Answer, slice] | Exception]:
        found: dict[int, tuple[handler.Answer, slice] | Exception] = {}

        def tell(asked: Sequence[int], answer: handler.Answer, parts: Sequence[slice]) -> None:
            found.update(
                (number, (answer, rows)) for number, rows in zip(asked, parts, strict=True)
            )

        batcher = Batcher(asyncio.get_running_loop(), tell, found.__setitem__)
        for number, request in enumerate(requests):
            batcher.predict(number, request, model)
        assert not found
        while len(found) < len(requests):
            await asyncio.sleep(0)
        return found

    found = asyncio.run(inside())
    return [found[number] for number in range(len(requests))]


def together(model: Model, bodies: list[Any], accept: str) -> list[Any]:
    """What each of the bodies is answered with."""
    found = answers(model, [handler.input_fn(json.dumps(body), TYPE) for body in bodies])
    return [
        each if isinstance(each, Exception) else handler.output_each(each[0], [each[1]], accept)
        for each in found
    ]


def alone(model: Model, body: Any, accept: str) -> tuple[list[bytes], str]:
    request = handler.input_fn(json.dumps(body), TYPE)
    answer, content_type = handler.output_fn(handler.predict_fn(request, model), accept)
    return [answer], content_type


@pytest.mark.parametrize("accept", [codecs.JSON, "application/jsonlines", codecs.CSV, NPY])
def test_requests_of_one_batch_get_the_bytes_that_each_gets_alone(
    model: Model, accept: str
) -> None:
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
    assert together(model, bodies, accept) == [alone(model, body, accept) for body in bodies]


def test_a_mistake_is_told_to_who_made_it(model: Model) -> None:
    good, other = bundles.rows(2)
    bad = [{**good}, {**good, "distance": "far"}]
    found = together(model, [good, bad, other, {**good, "nothing": 1}, [5]], TYPE)
    assert found[0] == alone(model, good, TYPE)
    assert found[2] == alone(model, other, TYPE)
    assert isinstance(found[1], InputError)
    assert (found[1].code, found[1].row, found[1].column) == ("wrong_type", 1, "distance")
    assert isinstance(found[3], InputError)
    assert isinstance(found[4], InputError)


def test_all_of_a_batch_are_told_the_same_answer_and_their_own_rows(model: Model) -> None:
    rows = bundles.rows(10)
    bodies = [rows[0], rows[1:4], *rows[4:]]
    found = answers(model, [handler.input_fn(json.dumps(body), TYPE) for body in bodies])
    whole, parts = zip(*[each for each in found if isinstance(each, tuple)], strict=True)
    assert len({id(answer) for answer in whole}) == 1
    assert sum(len(encoded.codes) for _, encoded in whole[0].parts) == 10
    assert [(rows.start, rows.stop) for rows in parts[:3]] == [(0, 1), (1, 4), (4, 5)]


def test_requests_of_two_models_are_not_mixed(model: Model, tmp_path: Path) -> None:
    other = handler.model_fn(bundles.build(tmp_path / "other", "regression"))
    request = handler.input_fn(json.dumps(bundles.ROW), TYPE)

    async def inside() -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []

        def tell(asked: Sequence[Model], answer: handler.Answer, _: Sequence[slice]) -> None:
            found.extend((each.version, answer.version) for each in asked)

        batcher = Batcher(asyncio.get_running_loop(), tell, lambda *_: None)
        for each in (model, other, other, model):
            batcher.predict(each, request, each)
        while len(found) < 4:
            await asyncio.sleep(0)
        return found

    assert all(asked == answered for asked, answered in asyncio.run(inside()))


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The moments that a batcher let pass; to it, all comes soon after all else."""
    found: list[float] = []
    monkeypatch.setattr(batching.time, "sleep", found.append)
    monkeypatch.setattr(batching, "BUSY_NANOSECONDS", 10**12)
    return found


def sizes(model: Model, turns: Sequence[int]) -> list[int]:
    """Of each batch how many were answered; so many come in each turn of the loop."""
    request = handler.input_fn(json.dumps(bundles.ROW), TYPE)

    async def inside() -> list[int]:
        found: list[int] = []
        batcher = Batcher[int](
            asyncio.get_running_loop(),
            lambda asked, *_: found.append(len(asked)),
            lambda *_: pytest.fail("not answered"),
        )
        for count in turns:
            for number in range(count):
                batcher.predict(number, request, model)
            await asyncio.sleep(0)
        while sum(found) < sum(turns):
            await asyncio.sleep(0)
        return found

    return asyncio.run(inside())


def test_who_asks_alone_is_not_kept_waiting(model: Model, moments: list[float]) -> None:
    assert sizes(model, [1, 0, 1, 0, 1]) == [1, 1, 1]
    assert moments == []


def test_a_busy_worker_lets_company_come(model: Model, moments: list[float]) -> None:
    assert sizes(model, [2, 0, 1, 3]) == [2, 4]
    assert moments == [batching.MOMENT_SECONDS]


def test_nobody_waits_where_there_is_company_enough(model: Model, moments: list[float]) -> None:
    assert sizes(model, [2, 0, batching.COMPANY]) == [2, batching.COMPANY]
    assert moments == []


def test_a_worker_that_was_idle_does_not_wait(
    model: Model, moments: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BUSY_NANOSECONDS", 0)
    assert sizes(model, [2, 0, 1]) == [2, 1]
    assert moments == []
