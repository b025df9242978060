"""What a client reads when a request was not answered."""

from __future__ import annotations

import json

from inference import errors
from shared.errors import BundleError, InputError


def test_a_clients_mistake_is_told_with_code_place_and_request_id() -> None:
    mistake = InputError("wrong_type", "a number is needed", row=3, column="age", status=400)
    told = json.loads(errors.body("id-1", mistake))["error"]
    assert told == {
        "code": "wrong_type",
        "message": "row 3, column 'age': a number is needed",
        "row": 3,
        "column": "age",
        "request_id": "id-1",
    }
    assert errors.status(mistake) == 400


def test_of_our_own_fault_nothing_is_told_but_where_to_look() -> None:
    for fault in (ValueError("secret"), BundleError("secret", where="/secret")):
        told = json.loads(errors.body("id-2", fault))["error"]
        assert (told["code"], told["request_id"]) == ("internal_error", "id-2")
        assert "secret" not in str(told)
        assert errors.status(fault) == 500
