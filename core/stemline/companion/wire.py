"""The values of the host protocol as JSON and back: clips, tracks and settings.

Whole numbers stay whole, a `Fraction` is the text "num/den", tuples are lists, enums are their text, and a mapping
(`carry`, `metadata`) passes through untouched. Unknown fields are ignored; a missing field or one of another type is
named.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from stemline.errors import HostError

T = TypeVar("T")

_FRACTION = re.compile(r"(-?[0-9]{1,40})/([1-9][0-9]{0,39})")
_ADVICE = "Update the older of the two: Stemline, or its bridge in the host."
_PLAIN: dict[type, str] = {str: "text", bool: "true or false", int: "a whole number"}


def to_wire(value: object) -> Any:
    """Return `value` in a form that JSON can hold. Raises TypeError for a value that has none."""
    if isinstance(value, StrEnum | Path):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, tuple | list):
        return [to_wire(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): to_wire(item) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_wire(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no form on the wire")


def from_wire(kind: type[T], data: object, where: str) -> T:
    """Return the `kind` of the JSON value. Raises HostError that names the field below `where` and its type."""
    return typing.cast(T, _decode(kind, data, where))


def _decode(kind: Any, data: object, where: str) -> object:  # noqa: PLR0911 - one line for each kind of value
    if kind in _PLAIN:
        return _plain(kind, data, where)
    if kind is float:
        return float(_plain_number(data, where))
    if kind is Fraction:
        return _fraction(data, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if data is None else _decode(_without_none(arguments), data, where)
    if origin is tuple:
        return tuple(_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(_list(data, where)))
    if origin is Mapping:
        return _mapping(arguments[1], data, where)
    if dataclasses.is_dataclass(kind):
        return _record(kind, data, where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _member(kind, data, where)
    if kind is Path:
        return Path(_plain(str, data, where))
    raise TypeError(f"{kind!r} has no form on the wire")


def _mapping(kind: Any, data: object, where: str) -> dict[str, object]:
    """Return a mapping with values of `kind`; one of any objects passes through untouched."""
    given = _object(data, where)
    if kind in (object, Any):
        return dict(given)
    return {name: _decode(kind, value, f"{where}.{name}") for name, value in given.items()}


def _record(kind: Any, data: object, where: str) -> object:
    given = _object(data, where)
    values: dict[str, object] = {}
    for name, hint, needed in _fields(kind):
        if name in given:
            values[name] = _decode(hint, given[name], f"{where}.{name}")
        elif needed:
            raise _error(f"{where}.{name} is missing.")
    return kind(**values)


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, object, bool], ...]:
    """Return (name, type, whether it is required) of each field of a dataclass."""
    hints = typing.get_type_hints(kind)
    unset = dataclasses.MISSING
    return tuple(
        (field.name, hints[field.name], field.default is unset and field.default_factory is unset)
        for field in dataclasses.fields(kind)
        if field.init
    )


def _plain(kind: type[T], data: object, where: str) -> T:
    if type(data) is not kind:  # exactly: a bool is an int to Python, and is none here
        raise _error(f"{where} must be {_PLAIN[kind]}, not {_described(data)}.")
    return data


def _plain_number(data: object, where: str) -> int | float:
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise _error(f"{where} must be a number, not {_described(data)}.")
    return data


def _fraction(data: object, where: str) -> Fraction:
    match = _FRACTION.fullmatch(data) if isinstance(data, str) else None
    if match is None:
        raise _error(f'{where} must be a fraction written "num/den", not {_described(data)}.')
    return Fraction(int(match[1]), int(match[2]))


def _member(kind: type[StrEnum], data: object, where: str) -> StrEnum:
    text = _plain(str, data, where)
    try:
        return kind(text)
    except ValueError as error:
        raise _error(f"{where} must be one of {', '.join(kind)}, not {_described(data)}.") from error


def _list(data: object, where: str) -> list[object]:
    if not isinstance(data, list):
        raise _error(f"{where} must be a list, not {_described(data)}.")
    return data


def _object(data: object, where: str) -> dict[str, object]:
    if not isinstance(data, dict):
        raise _error(f"{where} must be an object, not {_described(data)}.")
    return data


def _without_none(arguments: tuple[object, ...]) -> object:
    kinds = [argument for argument in arguments if argument is not types.NoneType]
    if len(kinds) != 1:
        raise TypeError("only X | None has a form on the wire")
    return kinds[0]


def _described(data: object) -> str:
    """Return the wrong value, short enough for a sentence."""
    if isinstance(data, dict | list):
        return "an object" if isinstance(data, dict) else "a list"
    text = repr(data)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _error(message: str) -> HostError:
    return HostError(message, advice=_ADVICE)
