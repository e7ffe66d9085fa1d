"""One finding of `stemline doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Something does less than it could."""
    FAIL = "fail"
    """Stemline does not work as it is."""


@dataclass(frozen=True, slots=True)
class Check:
    """`message` says what was found; `advice` the one thing to do, empty when all is well."""

    name: str
    status: Status
    message: str
    advice: str = ""
