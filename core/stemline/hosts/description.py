"""How a host announces itself: a plain description that loads none of the host's code.

A package registers one under the entry-point group `stemline.hosts`; the name of the entry point is the name of the
host. Everything that is code is given as a dotted path, `package.module` or
`package.module:attribute`, and loaded when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_SUFFIX = re.compile(r"\.[a-z0-9]+")
_DOTTED_PATH = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")


@dataclass(frozen=True, slots=True)
class HostDescription:
    """What a host offers.

    Attributes:
        name: The host's name in commands and entry points: lower-case letters, digits, `-` and `_`.
        title: The name that users know, such as "DaVinci Resolve".
        reads: Suffixes of the edit files that the host reads, in lower case with the dot.
        writes: Formats that `--to` accepts because of this host.
        refuses: Suffixes of edit files that look readable and are not, and what the user does instead.
        edit_files: Path of a `stemline.hosts.EditFiles`, for a host that reads edits from files.
        installer: Path of an `Installer`, for a host that `stemline install` puts a bridge into.
        checks: Paths of functions without arguments that return an iterable of `Check`, for `stemline doctor`.
        dialects: Spellings of the result that a program needs to import it (`--for`): name to path.

    Raises:
        ValueError: A name, suffix or path is malformed.
    """

    name: str
    title: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    refuses: Mapping[str, str] = field(default_factory=dict, hash=False)
    edit_files: str = ""
    installer: str = ""
    checks: tuple[str, ...] = ()
    dialects: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the form of names, suffixes and paths."""
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise ValueError(f"{self.name!r} is not a host name")
        for suffix in (*self.reads, *self.refuses):
            if not _SUFFIX.fullmatch(suffix):
                raise ValueError(f"{suffix!r} is not a suffix in lower case, such as '.otio'")
        for path in (self.edit_files, self.installer, *self.checks, *self.dialects.values()):
            if path and not _DOTTED_PATH.fullmatch(path):
                raise ValueError(f"{path!r} is not a path such as 'package.module:attribute'")
        if self.reads and not self.edit_files:
            raise ValueError("a host that reads edit files needs edit_files")


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installer did: one sentence for each thing in `done`, and the user's next step (may be empty)."""

    done: tuple[str, ...]
    next_step: str = ""


class Installer(Protocol):
    """Puts a bridge into a host program. A module with these two functions is one."""

    def install(self) -> Installed:
        """Install or update the bridge. Raises StemlineError with the one thing to do."""
        ...

    def uninstall(self) -> Installed:
        """Remove everything that `install` put there. Removing nothing is no error."""
        ...


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
