"""What AWS's own description of its API says of a request, beyond what botocore looks at.

botocore checks names, types and least lengths. The services also refuse what is too long, what does
not match a pattern, and lists of too many; this says where a request has such a thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.session import get_session
from botocore.validate import ParamValidator

# What the descriptions leave out, though the services' guides say it: in signs.
LONGEST = {
    ("s3", "Bucket"): 63,
    ("s3", "Key"): 1024,
    ("iam", "PolicyDocument"): 10_240,
    ("codebuild", "name"): 255,
}
# Java's classes of signs and its way to write them, in Python's.
_CLASSES = {
    r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]": r"[\s\S]",
    r"\p{Print}": " -~",
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\p{L}": r"\w",
    r"\p{M}": "",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
    r"\p{S}": r"$+<=>^`|~",
    r"\p{P}": r"!-/:-@\[-`{-}",
}


@cache
def _model(service: str) -> Any:
    return get_session().get_service_model(service)


def wrong(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """Everything in a request that the service would refuse for its form, and where.

    Args:
        service, operation: by their boto3 names.
        parameters: of the call.
    """
    model = _model(service)
    name = next(one for one in model.operation_names if _plain(one) == _plain(operation))
    shape = model.operation_model(name).input_shape
    if shape is None:
        return [f"{operation} takes nothing"] if parameters else []
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        return [str(report.generate_report())]
    return list(_walk(service, shape, parameters, operation))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _walk(service: str, shape: Any, value: Any, place: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, one in value.items():
            yield from _walk(service, shape.members[name], one, f"{place}.{name}")
    elif shape.type_name == "list":
        yield from _bounds(service, shape, value, place)
        for one in value:
            yield from _walk(service, shape.member, one, f"{place}[]")
    elif shape.type_name == "map":
        yield from _bounds(service, shape, value, place)
        for name, one in value.items():
            yield from _walk(service, shape.key, name, f"{place}.{name}")
            yield from _walk(service, shape.value, one, f"{place}.{name}")
    elif isinstance(value, str):
        yield from _bounds(service, shape, value, place)
        pattern = shape.metadata.get("pattern")
        if pattern and not _compiled(pattern).fullmatch(value):
            yield f"{place}: {value!r} does not match {pattern}"
        if shape.enum and value not in shape.enum:
            yield f"{place}: {value!r} is none of {shape.enum}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        least, most = (shape.metadata.get(end) for end in ("min", "max"))
        if (least is not None and value < least) or (most is not None and value > most):
            yield f"{place}: {value} is not within {least} and {most}"


def _bounds(service: str, shape: Any, value: Any, place: str) -> Iterator[str]:
    most = LONGEST.get((service, place.rpartition(".")[2]), shape.metadata.get("max"))
    least = shape.metadata.get("min", 0)
    if not least <= len(value) <= (len(value) if most is None else most):
        yield f"{place}: {len(value)} signs or entries, not {least} to {most}: {value!r}"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _CLASSES.items():
        inside = python if java.startswith("[") or not pattern.startswith(java) else f"[{python}]"
        pattern = pattern.replace(java, inside)
    # "$" followed by a repetition is a slip of theirs: it bounds the length, which max does.
    return re.compile(re.sub(r"\$\{\d+,\d+\}$", "$", pattern))
