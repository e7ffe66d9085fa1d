"""What Stemline needs of this machine, looked at one by one. Nothing here changes anything or starts a server."""

from __future__ import annotations

from collections.abc import Iterator

from stemline_app.doctor.check import Check, Status
from stemline_app.doctor.packages import package_checks
from stemline_app.doctor.places import place_checks
from stemline_app.doctor.resolve import resolve_checks
from stemline_app.doctor.server import server_checks

__all__ = ["Check", "Status", "all_checks"]


def all_checks() -> Iterator[Check]:
    yield from package_checks()
    yield from place_checks()
    yield from server_checks()
    yield from resolve_checks()
