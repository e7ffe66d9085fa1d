"""Findings of `stemline doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARN = "warn"
    """Something does less than it could."""
    FAIL = "fail"
    """Stemline does not work as it is."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `message` says what was found and `advice` the one thing to do; it is empty when all is well."""

    name: str
    status: Status
    message: str
    advice: str = ""
