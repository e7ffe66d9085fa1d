"""Checks of what Stemline needs on this computer. They change nothing and start no server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stemline.companion.wire import to_wire
from stemline.hosts.checks import Check, Status
from stemline_app.doctor.hosts import host_checks
from stemline_app.doctor.packages import package_checks
from stemline_app.doctor.places import place_checks
from stemline_app.doctor.server import server_checks

__all__ = ["Check", "Status", "all_checks", "report"]


def all_checks() -> Iterator[Check]:
    """Run the checks one by one, in the order in which they are shown."""
    yield from package_checks()
    yield from place_checks()
    yield from server_checks()
    yield from host_checks()


def report() -> dict[str, Any]:
    """Return every finding, and the first thing to do, as `doctor` of docs/host-protocol.md has them."""
    checks = list(all_checks())
    worst = [check for status in (Status.FAIL, Status.WARN) for check in checks if check.status is status]
    return {
        "works": all(check.status is not Status.FAIL for check in checks),
        "advice": next((check.advice for check in worst if check.advice), ""),
        "checks": to_wire(checks),
    }
