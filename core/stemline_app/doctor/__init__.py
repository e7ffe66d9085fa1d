"""Checks of what Stemline needs on this computer. They change nothing and start no server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stemline.companion.wire import to_wire
from stemline.errors import HostError
from stemline.hosts.description import Check, HostDescription, Status
from stemline.hosts.registry import host_list, load
from stemline_app.doctor.environment import package_checks, place_checks
from stemline_app.doctor.panel import panel_checks
from stemline_app.doctor.server import generator_checks, server_checks
from stemline_app.doctor.trust import trust_checks

__all__ = ["Check", "Status", "all_checks", "host_checks", "report"]


def all_checks() -> Iterator[Check]:
    """Run the checks one by one, in the order in which they are shown."""
    yield from package_checks()
    yield from place_checks()
    yield from trust_checks()
    yield from server_checks()
    yield from generator_checks()
    yield from panel_checks()
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


def host_checks() -> Iterator[Check]:
    """Yield the findings of every host. A host whose check fails to load or to run is a finding of its own."""
    hosts = host_list()
    for description in hosts.hosts.values():
        yield from _checks_of(description)
    for name, reason in hosts.broken.items():
        advice = "Update or remove the package that announces it."
        yield Check(f"host {name}", Status.WARN, f"cannot be used: {reason}", advice)


def _checks_of(description: HostDescription) -> Iterator[Check]:
    advice = f"Update the package of the host {description.name}."
    for path in description.checks:
        try:
            yield from load(path)()
        except HostError as error:
            yield Check(f"host {description.name}", Status.WARN, error.message, advice)
        except Exception as error:  # noqa: BLE001 - code of other packages may raise anything
            message = f"its check failed ({type(error).__name__}: {error})"
            yield Check(f"host {description.name}", Status.WARN, message, advice)
