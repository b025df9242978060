"""SageMaker's two wire protocols: reading, checking and answering requests.

The control plane speaks awsJson1.1 (one POST, the operation named in ``X-Amz-Target``); the
runtime speaks REST-JSON. Requests are checked against botocore's own service model, so that a
name, a number or a value that AWS would refuse is refused here in AWS's words. What an operation
does is not here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_JAVA_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\p{Print}": r"\x20-\x7e",
}


class RefusalError(Exception):
    """A request that is answered with an AWS error.

    Args:
        code: AWS's error code, such as ``ValidationException``.
        message: what AWS would say.
        status: the HTTP status.
        fields: further members of the error.
    """

    def __init__(
        self, code: str, message: str, status: int = 400, fields: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = dict(fields or {})


def invalid(message: str) -> RefusalError:
    """The refusal that most of SageMaker's checks end in."""
    return RefusalError("ValidationException", message)


def ended(kind: str, status: str) -> RefusalError:
    """The refusal to stop a job that runs no more."""
    return invalid(f"The request was rejected because the {kind} job is in status {status}.")


def not_offered(what: str) -> RefusalError:
    """A request that AWS might accept and the local cloud does not."""
    return invalid(f"The local cloud does not offer {what}.")


@functools.cache
def service(name: str) -> Any:
    """The botocore model of a service."""
    import botocore.session

    return botocore.session.get_session().get_service_model(name)


def read(shape: Any, value: Any) -> Any:
    """The parameters of a request: known members only, checked.

    Raises:
        RefusalError: ``SerializationException`` for a wrong JSON type, ``ValidationException``
            naming every member that breaks a constraint.
    """
    cleaned = _cast(shape, value)
    broken = list(_broken(shape, cleaned, ""))
    if broken:
        errors = "error" if len(broken) == 1 else "errors"
        raise invalid(f"{len(broken)} validation {errors} detected: {'; '.join(broken)}")
    return cleaned


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}


def _cast(shape: Any, value: Any) -> Any:
    allowed = _JSON_TYPES.get(shape.type_name)
    wrong = allowed is not None and not isinstance(value, allowed)
    if wrong or (isinstance(value, bool) and shape.type_name != "boolean"):
        raise RefusalError(
            "SerializationException",
            f"{type(value).__name__.upper()}_VALUE can not be converted to {shape.type_name}",
        )
    if shape.type_name == "structure":
        members = shape.members
        return {
            name: _cast(members[name], each)
            for name, each in value.items()
            if name in members and each is not None
        }
    if shape.type_name == "list":
        return [_cast(shape.member, each) for each in value]
    if shape.type_name == "map":
        return {_cast(shape.key, key): _cast(shape.value, each) for key, each in value.items()}
    return value


def _broken(shape: Any, value: Any, path: str) -> Iterator[str]:
    """AWS's sentence for each constraint of `shape` that `value` does not satisfy."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            place = _join(path, name)
            if name in value:
                yield from _broken(member, value[name], place)
            elif name in shape.required_members:
                yield (
                    f"Value null at '{place}' failed to satisfy constraint: Member must not be null"
                )
        return
    for constraint in _constraints(shape, value):
        yield f"Value '{_shown(value)}' at '{path}' failed to satisfy constraint: {constraint}"
    if shape.type_name == "list":
        for number, each in enumerate(value, 1):
            yield from _broken(shape.member, each, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, each in value.items():
            for kind, part, content in (("keys", shape.key, key), ("value", shape.value, each)):
                for constraint in _constraints(part, content):
                    yield (
                        f"Value '{_shown(value)}' at '{path}' failed to satisfy constraint: "
                        f"Map {kind} must satisfy constraint: [{constraint}]"
                    )


def _constraints(shape: Any, value: Any) -> Iterator[str]:
    rules = shape.metadata
    if isinstance(value, str):
        enum = rules.get("enum")
        if enum and value not in enum:
            yield f"Member must satisfy enum value set: [{', '.join(enum)}]"
        pattern = rules.get("pattern")
        compiled = _compiled(pattern) if pattern else None
        if compiled is not None and not compiled.fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {pattern}"
    if isinstance(value, str | list | dict):
        size, what = len(value), "length"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        size, what = value, "value"  # type: ignore[assignment]
    else:
        return
    low, high = rules.get("min"), rules.get("max")
    if low is not None and size < low:
        yield f"Member must have {what} greater than or equal to {low}"
    if high is not None and size > high:
        yield f"Member must have {what} less than or equal to {high}"


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """The model's pattern as Python's; None for the few that only Java understands."""
    text = pattern.replace(r"\z", r"\Z").replace(r"\p{ASCII}", r"[\x00-\x7f]")
    text = re.sub(r"(?<!\[)\\p\{Print\}", r"[\\x20-\\x7e]", text)
    for java, python in _JAVA_CLASSES.items():
        text = text.replace(java, python)
    try:
        return re.compile(text)
    except re.error:
        return None


def _join(path: str, name: str) -> str:
    lower = name[:1].lower() + name[1:]
    return f"{path}.{lower}" if path else lower


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "…"


def render(shape: Any, value: Any) -> Any:
    """An answer as JSON: members that the model knows and that have a value."""
    if shape.type_name == "structure":
        return {
            name: render(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type_name == "list":
        return [render(shape.member, each) for each in value]
    if shape.type_name == "map":
        return {key: render(shape.value, each) for key, each in value.items()}
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    return value


def error_body(refusal: RefusalError, *, declared: bool) -> dict[str, Any]:
    """The JSON of an error; SageMaker's own error shapes spell ``Message`` with a capital."""
    body = {"__type": refusal.code, "Message" if declared else "message": refusal.message}
    return {**body, **refusal.fields}
