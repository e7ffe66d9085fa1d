"""The hosts that are installed, found by the entry-point group `stemline.hosts`. The list is read once a process."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from stemline.errors import Code, EditError, HostError, UsageError
from stemline.hosts.description import HostDescription, Installer
from stemline.hosts.edits import EditFiles

GROUP = "stemline.hosts"


@dataclass(frozen=True, slots=True)
class HostList:
    """Descriptions by host name, and the reason for each entry point that gave none."""

    hosts: Mapping[str, HostDescription]
    broken: Mapping[str, str]

    @property
    def read_suffixes(self) -> tuple[str, ...]:
        """Return the suffixes of all edit files that some host reads."""
        return tuple(dict.fromkeys(suffix for host in self.hosts.values() for suffix in host.reads))

    @property
    def dialects(self) -> Mapping[str, str]:
        """Return every dialect by name, with the path of its implementation."""
        return {name: path for host in self.hosts.values() for name, path in host.dialects.items()}

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the formats that results can be written in beside the edit."""
        return tuple(dict.fromkeys(kind for host in self.hosts.values() for kind in host.writes))

    @property
    def install_targets(self) -> tuple[str, ...]:
        """Return the names of the hosts that `stemline install` knows."""
        return tuple(name for name, host in self.hosts.items() if host.installer)

    def is_edit(self, path: Path) -> bool:
        """Return whether `path` names an edit, by its suffix: one that a host reads, or one that it refuses."""
        suffix = path.suffix.lower()
        return any(suffix in host.reads or suffix in host.refuses for host in self.hosts.values())


@functools.cache
def host_list() -> HostList:
    """Return the hosts of this environment, those of other packages after Stemline's own, each sorted by name.

    An entry point that does not load is listed as broken; it affects no other host.
    """
    hosts: dict[str, HostDescription] = {}
    broken: dict[str, str] = {}
    for entry in sorted(entry_points(group=GROUP), key=_order):
        found = _described(entry)
        if isinstance(found, str):
            broken[entry.name] = found
        elif entry.name in hosts:
            broken[f"{entry.name} ({entry.value})"] = f"another package announces the host {entry.name!r}, too"
        else:
            hosts[entry.name] = found
    return HostList(hosts, broken)


def load(path: str) -> Any:
    """Return the module or object that a dotted path names. Raises HostError when it cannot be loaded."""
    module, _, attribute = path.partition(":")
    try:
        found = importlib.import_module(module)
        return functools.reduce(getattr, attribute.split("."), found) if attribute else found
    except Exception as error:  # code of other packages may raise anything while it is imported
        raise HostError(
            f"{path} of a host cannot be loaded ({type(error).__name__}: {error}).",
            code=Code.HOST_UNSUPPORTED,
            advice="Run `stemline doctor`, and update or remove that package.",
        ) from error


def edit_files_for(path: Path) -> EditFiles:
    """Return the code that opens the edit at `path`.

    That is the host that reads its suffix, else the first host that reads edits, which says why it cannot be read.
    Raises EditError (EDIT_FORMAT_UNKNOWN) when no host reads edits.
    """
    suffix = path.suffix.lower()
    readers = [host for host in host_list().hosts.values() if host.edit_files]
    for chosen in (
        next((host for host in readers if suffix in host.reads), None),
        next(iter(readers), None),
    ):
        if chosen is not None:
            return cast(EditFiles, load(chosen.edit_files))
    raise EditError(
        "No host that reads edits is installed.",
        code=Code.EDIT_FORMAT_UNKNOWN,
        advice="Run `stemline doctor`, or reinstall stemline.",
    )


def unreadable_edit(path: Path) -> EditError:
    """Return the error for an edit in a format that no host reads, with what the user does instead."""
    hosts = host_list()
    suffix = path.suffix.lower()
    known = list(hosts.read_suffixes)
    advice = f"Export the edit as {', '.join(known[:-1])} or {known[-1]}." if len(known) > 1 else ""
    for host in hosts.hosts.values():
        advice = host.refuses.get(suffix, advice)
    return EditError(
        f"Stemline cannot read edits of the type {suffix or 'without a suffix'} ({path.name}).",
        code=Code.EDIT_FORMAT_UNKNOWN,
        advice=advice,
    )


def load_dialect(name: str) -> Any:
    """Return the implementation of a dialect. Raises UsageError for a name that no host announces."""
    dialects = host_list().dialects
    if name not in dialects:
        raise UsageError(f"No host announces the dialect {name!r}.", advice=f"Known: {', '.join(sorted(dialects))}.")
    return load(dialects[name])


def load_installer(name: str) -> Installer:
    """Return the installer of a host. Raises UsageError for a host that has none."""
    host = host_list().hosts.get(name)
    if host is None or not host.installer:
        targets = ", ".join(host_list().install_targets)
        raise UsageError(f"{name!r} is not a host that can be installed.", advice=f"Known: {targets}.")
    return cast(Installer, load(host.installer))


def _order(entry: EntryPoint) -> tuple[bool, str, str]:
    own = entry.dist is not None and entry.dist.name == "stemline"
    return not own, entry.name, entry.value


def _described(entry: EntryPoint) -> HostDescription | str:
    """Return the description behind an entry point, or the reason why there is none."""
    try:
        found = entry.load()
    except Exception as error:  # noqa: BLE001 - code of other packages may raise anything while it is imported
        return f"{entry.value} does not load ({type(error).__name__}: {error})"
    if not isinstance(found, HostDescription):
        return f"{entry.value} is not a HostDescription"
    if found.name != entry.name:
        return f"{entry.value} describes the host {found.name!r}; the name of its entry point must be the same"
    return found
