"""The checks that hosts announce, and the hosts that do not load."""

from __future__ import annotations

from collections.abc import Iterator

from stemline.errors import HostError
from stemline.hosts.checks import Check, Status
from stemline.hosts.description import HostDescription
from stemline.hosts.registry import host_list, load


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
