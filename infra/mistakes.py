"""Everything wrong with one project file, collected and then said in one message.

Each mistake names the key by its dotted path, the value, what is allowed and, for an unknown key, the
nearest known one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.documents import show
from shared.errors import KitError, ProjectError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel, ValidationError

_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class Mistakes:
    """Collects mistakes of the file `where`."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._found: list[KitError] = []

    def add(self, key: str, message: str, cure: str | None = None) -> None:
        """Note one mistake."""
        self._found.append(ProjectError(message, where=key, cure=cure))

    @contextmanager
    def noted(self, key: str) -> Iterator[None]:
        """Note a KitError of the block instead of letting it pass; `key` is where it is said to be."""
        try:
            yield
        except KitError as error:
            place = error.where if error.where and error.where.startswith(key) else key
            detail = f" ({error.where})" if error.where and place != error.where else ""
            self.add(place, f"{error.message}{detail}", error.cure)

    def add_invalid(self, model: type[BaseModel], error: ValidationError, raw: object) -> None:
        """Note what pydantic found, in our words."""
        seen: set[str] = set()
        for item in error.errors(include_url=False):
            path = [str(part) for part in item["loc"]]
            key = ".".join(path)
            if key in seen:
                continue
            seen.add(key)
            table, field = _look_up(model, path)
            if item["type"] == "extra_forbidden":
                self.add(key, "unknown key", nearest(path[-1], table.model_fields))
            elif item["type"] == "missing":
                self.add(key, f"is missing; it must be {_allowed(field)}")
            elif item["type"] == "not_available":
                self.add(key, item["msg"])
            else:
                value = show(_value(raw, path))
                self.add(key, f"{value} is not allowed; it must be {_allowed(field)}")

    def raise_if_any(self) -> None:
        """Raise one ProjectError that tells all mistakes.

        Raises:
            ProjectError: there are any.
        """
        if len(self._found) == 1:
            one = self._found[0]
            raise ProjectError(one.message, where=f"{self._where}: {one.where}", cure=one.cure)
        if self._found:
            listed = "".join(f"\n  {error}" for error in self._found)
            raise ProjectError(f"{len(self._found)} mistakes{listed}", where=self._where)


def _look_up(model: type[BaseModel], path: Sequence[str]) -> tuple[type[BaseModel], Any]:
    """The model in which a path ends, and the field there (None when it has no such field)."""
    table: type[BaseModel] = model
    current: Any = model
    for part in path:
        if hasattr(current, "model_fields"):
            table = current
            field = table.model_fields.get(part)
            if field is None:
                return table, None
            current, last = _inner(field.annotation), field
        else:  # the name of an entry in a table of tables
            last = None
    return table, last


def _inner(annotation: Any) -> Any:
    """The model that an annotation holds: X, X | None or dict[str, X]."""
    for argument in getattr(annotation, "__args__", ()):
        if hasattr(argument, "model_fields"):
            return argument
    return annotation


def _allowed(field: Any) -> str:
    if field is None:
        return "a table"
    if field.description:
        return str(field.description)
    return _PLAIN.get(field.annotation, "a table")


def _value(raw: object, path: Sequence[str]) -> object:
    for part in path:
        if not isinstance(raw, Mapping) or part not in raw:
            break
        raw = raw[part]
    return raw
