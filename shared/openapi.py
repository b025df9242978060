"""OpenAPI 3.1 of one model's endpoint, made from its schema; it travels in the bundle.

Here: paths, bodies, answers, errors and limits as the server has them, with synthetic rows as
examples. Not here: the server itself (inference), which the suite holds to this document.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.golden import Golden
from shared.schema import Schema
from shared.values import text_of

FILE = "openapi.json"

JSON, CSV = "application/json", "text/csv"
JSON_LINES = (
    "application/jsonlines",
    "application/x-jsonlines",
    "application/jsonl",
    "application/x-ndjson",
)
BINARY = {
    "application/x-npy": "numpy.save: [rows, columns] in the schema's order, or [rows] of fields",
    "application/x-npz": "numpy.savez: one array [rows] a column, under its name",
    "application/x-parquet": "Parquet, one column of it a column; 415 where pyarrow is missing",
    "application/vnd.apache.parquet": "Parquet, by its registered name",
    "application/vnd.apache.arrow.stream": "Arrow's stream format; 415 where pyarrow is missing",
    "application/vnd.apache.arrow.file": "Arrow's file format; 415 where pyarrow is missing",
}
BODY_BYTES = 6_291_456
ROWS = 100_000
COLUMNS = 10_000
TEXT_LENGTH = 10_000
MISTAKES = 20
"""Limits of the server; the suite compares them with its own."""

EXAMPLES = 2
_VERSION = "0123456789ab"
_ID = "X-Amzn-SageMaker-Inference-Id"
_REFUSALS = {
    "400": "The request is wrong; code, message, row and column say how",
    "406": "None of the content types in Accept can be answered",
    "408": "The body did not arrive in time",
    "413": f"More than {BODY_BYTES:,} bytes, {ROWS:,} rows or {COLUMNS:,} columns",
    "415": "The content type or its charset is not read here",
    "500": "The server's own fault; its log has the reason under the request's id",
}


def document(project: str, schema: Schema, golden: Golden) -> dict[str, Any]:
    """The document as JSON has it.

    Args:
        project: the project's name.
        schema: of the model.
        golden: its first rows and their answers are the examples.
    """
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": project,
            # Of the contract: a model trained anew with the same schema keeps it.
            "version": hashlib.sha256(schema.to_json().encode()).hexdigest()[:12],
            "description": f"Predicts {schema.target.name!r} ({schema.target.task}). On SageMaker, "
            "clients call InvokeEndpoint, which passes body, Content-Type and Accept on to "
            "/invocations.",
        },
        "paths": {
            "/ping": {"get": _ping()},
            "/invocations": {"post": _invocations(schema, golden)},
            "/execution-parameters": {"get": _execution_parameters()},
            "/metrics": {"get": _metrics()},
            "/openapi.json": {"get": _itself()},
        },
        "components": {"schemas": _schemas(schema), "headers": _HEADERS, "responses": _responses()},
    }


def _ping() -> dict[str, Any]:
    return {
        "operationId": "ping",
        "summary": "Whether the model answers",
        "responses": {
            "200": {
                "description": "It does",
                "headers": _headers("X-Amzn-RequestId"),
                "content": {JSON: {"schema": {"type": "object"}, "example": {}}},
            },
            "503": _ref("responses", "503"),
        },
    }


def _execution_parameters() -> dict[str, Any]:
    whole = {"type": "integer", "minimum": 1}
    return {
        "operationId": "executionParameters",
        "summary": "How a batch transform job should send its requests",
        "responses": {
            "200": {
                "description": "Its parameters",
                "headers": _headers("X-Amzn-RequestId"),
                "content": {
                    JSON: {
                        "schema": {
                            "type": "object",
                            "properties": {
                                "MaxConcurrentTransforms": whole,
                                "BatchStrategy": {"enum": ["MULTI_RECORD", "SINGLE_RECORD"]},
                                "MaxPayloadInMB": whole,
                            },
                            "required": [
                                "MaxConcurrentTransforms",
                                "BatchStrategy",
                                "MaxPayloadInMB",
                            ],
                        }
                    }
                },
            }
        },
    }


def _metrics() -> dict[str, Any]:
    return {
        "operationId": "metrics",
        "summary": "Counters and latencies, in Prometheus's text format",
        "responses": {
            "200": {
                "description": "All metrics of this server",
                "headers": _headers("X-Amzn-RequestId"),
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    }


def _itself() -> dict[str, Any]:
    return {
        "operationId": "openapi",
        "summary": "This document",
        "responses": {
            "200": {
                "description": "As it lies in the bundle",
                "headers": _headers("X-Amzn-RequestId"),
                "content": {JSON: {"schema": {"type": "object"}}},
            },
            "404": {
                "description": "An earlier version made the bundle, without this document",
                "headers": _headers("X-Amzn-RequestId"),
                "content": {JSON: {"schema": _ref("schemas", "Error")}},
            },
        },
    }


def _invocations(schema: Schema, golden: Golden) -> dict[str, Any]:
    records = golden.records[:EXAMPLES]
    return {
        "operationId": "invoke",
        "summary": f"Predict {schema.target.name!r} of each row",
        "parameters": [
            {
                "name": _ID,
                "in": "header",
                "description": "Comes back as X-Amzn-RequestId, and stands in the log",
                "schema": {"type": "string", "maxLength": 64},
            }
        ],
        "requestBody": {"required": True, "content": _requests(schema, records)},
        "responses": {
            "200": {
                "description": "One prediction a row, in the order of the rows",
                "headers": _headers("X-Amzn-RequestId"),
                "content": _answers(golden.predictions[:EXAMPLES]),
            },
            **{status: _ref("responses", status) for status in (*_REFUSALS, "503")},
        },
    }


def _requests(schema: Schema, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = [column.name for column in schema.columns]
    rows = [[record[name] for name in names] for record in records]
    inputs = {name: [record[name] for record in records] for name in names}
    lines = "".join(json.dumps(record) + "\n" for record in records)
    forms = {
        "object": ("One row", records[0]),
        "instances": ("Rows as objects", {"instances": records}),
        "arrays": ("Rows in the order of the schema", {"instances": rows}),
        "columns": ("Rows in an order of their own", {"columns": names, "data": rows}),
        "inputs": ("Column by column", {"inputs": inputs}),
    }
    return {
        JSON: {
            "schema": _ref("schemas", "Request"),
            "examples": {
                name: {"summary": summary, "value": value}
                for name, (summary, value) in forms.items()
            },
        },
        CSV: {
            "schema": {
                "type": "string",
                "description": "Lines in the order of the schema, or below a line of names; an "
                "empty cell is a missing value",
            },
            "examples": {
                "lines": {"summary": "In the order of the schema", "value": _csv(rows)},
                "header": {"summary": "With names", "value": _csv([names, *rows])},
            },
        },
        **{
            name: {
                "schema": {"type": "string", "description": "On each line one row"},
                "example": lines,
            }
            for name in JSON_LINES
        },
        **{name: {"schema": {"description": text}} for name, text in BINARY.items()},
    }


def _answers(predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    lines = "".join(
        json.dumps({**prediction, "model_version": _VERSION}) + "\n" for prediction in predictions
    )
    return {
        JSON: {
            "schema": _ref("schemas", "Answer"),
            "example": {"predictions": predictions, "model_version": _VERSION},
        },
        CSV: {"schema": {"type": "string"}},
        **{name: {"schema": {"type": "string"}, "example": lines} for name in JSON_LINES},
        **{name: {} for name in BINARY},
    }


def _schemas(schema: Schema) -> dict[str, Any]:
    row = schema.json_schema()
    del row["$schema"]
    for described in row["properties"].values():
        if "string" in described["type"]:
            described["maxLength"] = TEXT_LENGTH
    own = [row["properties"][column.name] for column in schema.columns]
    cell = {"type": ["string", "number", "boolean", "null"], "maxLength": TEXT_LENGTH}
    listed = {
        "type": "array",
        "description": "The columns in this order: " + ", ".join(row["required"]),
        "prefixItems": own,
        "items": False,
        "minItems": len(own),
    }
    rows = {"type": "array", "minItems": 1, "maxItems": ROWS}
    many = {
        "anyOf": [
            {**rows, "items": _ref("schemas", "Row")},
            {**rows, "items": _ref("schemas", "RowAsList")},
        ]
    }
    names = {"type": "array", "items": {"enum": list(row["properties"])}, "uniqueItems": True}
    table = {
        "columns": {**names, "allOf": [{"contains": {"const": name}} for name in row["required"]]},
        "data": {**rows, "items": {"type": "array", "items": cell}},
        "index": {"description": "Names of the rows, as pandas adds them; not read"},
    }
    columns = {name: {**rows, "items": described} for name, described in row["properties"].items()}
    return {
        "Row": row,
        "RowAsList": listed,
        "Request": {
            "anyOf": [
                _ref("schemas", "Row"),
                many,
                _object({"instances": many}),
                _object(table, required=["columns", "data"]),
                _object({"inputs": _object(columns, required=row["required"])}),
            ]
        },
        "Prediction": _prediction(schema),
        "Answer": _object(
            {
                "predictions": {**rows, "items": _ref("schemas", "Prediction")},
                "model_version": {"type": "string", "description": "Begins the bundle's digest"},
            }
        ),
        "Mistake": _object(_MISTAKE),
        "Error": _object(
            {
                "error": _object(
                    {
                        **_MISTAKE,
                        "request_id": {"type": "string", "maxLength": 64},
                        "details": {
                            "type": "array",
                            "maxItems": MISTAKES,
                            "items": _ref("schemas", "Mistake"),
                            "description": "Several mistakes of one request, the first included",
                        },
                    },
                    required=[*_MISTAKE, "request_id"],
                )
            }
        ),
    }


def _prediction(schema: Schema) -> dict[str, Any]:
    target = schema.target
    if target.task == "regression":
        return _object({"value": {"type": "number"}})
    share = {"type": "number", "minimum": 0, "maximum": 1}
    names = [text_of(label) for label in target.classes]
    whose = f"of {names[1]!r}" if target.task == "binary" else "of the label"
    return _object(
        {
            "label": {"enum": list(target.classes)},
            "score": {**share, "description": f"The probability {whose}"},
            "scores": {**_object(dict.fromkeys(names, share)), "description": "Of each class"},
        }
    )


_MISTAKE: dict[str, Any] = {
    "code": {"type": "string", "description": "A short stable word for programs"},
    "message": {"type": "string"},
    "row": {"type": ["integer", "null"], "minimum": 0, "description": "Counted from 0"},
    "column": {"type": ["string", "null"]},
}
_HEADERS: dict[str, Any] = {
    "X-Amzn-RequestId": {
        "description": f"What the request gave as {_ID}, or a new one",
        "required": True,
        "schema": {"type": "string", "maxLength": 64},
    },
    "Retry-After": {
        "description": "Seconds after which to try again",
        "schema": {"type": "integer", "minimum": 0},
    },
}


def _responses() -> dict[str, Any]:
    content = {JSON: {"schema": _ref("schemas", "Error")}}
    refusals = {
        status: {
            "description": text,
            "headers": _headers("X-Amzn-RequestId"),
            "content": content,
        }
        for status, text in _REFUSALS.items()
    }
    overload = {
        "description": "More requests are under way than can be answered in time",
        "headers": _headers("X-Amzn-RequestId", "Retry-After"),
        "content": content,
    }
    return {**refusals, "503": overload}


def _headers(*names: str) -> dict[str, Any]:
    return {name: _ref("headers", name) for name in names}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(properties: Mapping[str, Any], required: Sequence[str] | None = None) -> dict[str, Any]:
    """An object of these properties and no others, all required unless said otherwise."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if required is None else required),
        "additionalProperties": False,
    }


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([json.dumps(c) if isinstance(c, bool) else c for c in row] for row in rows)
    return text.getvalue()
