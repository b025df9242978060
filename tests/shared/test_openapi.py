"""The OpenAPI document of a model: valid, and true of that model."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from inference import codecs, handler, limits
from inference.application import ROUTES
from shared import bundle as bundle_files
from shared import openapi
from shared.bundle import Bundle
from shared.errors import MAX_MISTAKES
from tests.support import bundles

spec = pytest.importorskip("openapi_spec_validator", reason="not installed: the dev extra has it")


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("openapi")
    return bundle_files.load(bundles.build(folder / "bundle", request.param))


@pytest.fixture(scope="module")
def document(bundle: Bundle) -> Any:
    return json.loads((bundle.path / openapi.FILE).read_text())


def fits(document: Any, name: str, value: Any) -> bool:
    """Whether a value is what a schema of the document says."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def test_it_is_valid_openapi(document: Any) -> None:
    spec.validate(document)


def test_the_bundle_vouches_for_it(bundle: Bundle) -> None:
    assert openapi.FILE in bundle.manifest.files


def test_its_version_is_that_of_the_contract(bundle: Bundle, document: Any) -> None:
    again = openapi.document("flights", bundle.schema, bundle.golden)
    assert json.loads(json.dumps(again)) == document
    assert len(document["info"]["version"]) == 12


def test_it_names_what_the_server_has(document: Any) -> None:
    assert set(document["paths"]) == set(ROUTES)
    for path, method in ROUTES.items():
        assert list(document["paths"][path]) == [method.lower()]
    post = document["paths"]["/invocations"]["post"]
    names = [name for one in codecs.FORMATS for name in one.names]
    assert list(post["requestBody"]["content"]) == names
    assert list(post["responses"]["200"]["content"]) == names


def test_its_limits_are_the_servers() -> None:
    assert (openapi.BODY_BYTES, openapi.ROWS) == (limits.BODY_BYTES, limits.ROWS)
    assert (openapi.COLUMNS, openapi.TEXT_LENGTH) == (limits.COLUMNS, limits.TEXT_LENGTH)
    assert openapi.MISTAKES == MAX_MISTAKES


def test_all_examples_are_rows_of_this_model(document: Any) -> None:
    content = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    examples = content["application/json"]["examples"]
    assert set(examples) == {"object", "instances", "arrays", "columns", "inputs"}
    for example in examples.values():
        assert fits(document, "Request", example["value"])
    for line in content["application/jsonlines"]["example"].splitlines():
        assert fits(document, "Row", json.loads(line))


def test_the_example_of_an_answer_is_one(document: Any) -> None:
    answers = document["paths"]["/invocations"]["post"]["responses"]["200"]["content"]
    predictions = answers["application/json"]["example"]["predictions"]
    assert len(predictions) == openapi.EXAMPLES


def test_all_examples_are_answered(bundle: Bundle, document: Any) -> None:
    model = handler.model_fn(bundle.path)
    post = document["paths"]["/invocations"]["post"]
    content = post["requestBody"]["content"]
    sent = [
        (name, example["value"])
        for name in ("application/json", "text/csv")
        for example in content[name]["examples"].values()
    ]
    sent += [(name, content[name]["example"]) for name in openapi.JSON_LINES]
    for name, value in sent:
        body = value if isinstance(value, str) else json.dumps(value)
        answer = handler.predict_fn(handler.input_fn(body, name), model)
        assert fits(document, "Answer", json.loads(handler.output_fn(answer, None)[0]))


def test_golden_rows_fit_the_row_and_spoilt_ones_do_not(bundle: Bundle, document: Any) -> None:
    for record in bundle.golden.records:
        assert fits(document, "Row", dict(record))
    good = dict(bundle.golden.records[0])
    assert not fits(document, "Row", {**good, "distance": "far"})
    assert not fits(document, "Row", {**good, "stranger": 1})
    assert not fits(document, "Row", {**good, "origin": None})
    assert not fits(document, "Row", {k: v for k, v in good.items() if k != "distance"})
