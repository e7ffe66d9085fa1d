"""Read the values of a JSON object that may come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")
Json = dict[str, Any]


class RecordError(ValueError):
    """A value that is not the record of a stem."""


class JsonReader:
    """Reads the values of a JSON object one by one. `rest` holds the values that have not been read."""

    def __init__(self, value: object) -> None:
        """Read from a JSON value. Raises RecordError if it is not an object."""
        if not isinstance(value, Mapping):
            raise RecordError("A record is an object.")
        self.rest: Json = dict(value)

    def take(self, name: str, kind: type[_T], default: _T | None = None) -> _T:
        """Read one value. Raises RecordError if it is missing without a default, or of another type."""
        value = self.rest.pop(name, default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise RecordError(f"{name!r} is missing or is not a {kind.__name__}.")
        return value

    def take_float(self, name: str, default: float | None = None) -> float:
        """Read a number. Raises RecordError."""
        value = self.rest.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RecordError(f"{name!r} is missing or is not a number.")
        return value
