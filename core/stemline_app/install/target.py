"""What can be installed, and what an installation says of itself."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol, cast


@dataclass(frozen=True, slots=True)
class Outcome:
    """`done` says what is where now, one sentence each; `next_step` what the user does now, empty for nothing."""

    done: tuple[str, ...]
    next_step: str = ""


class Target(Protocol):
    """A host program that a bridge can be put into."""

    def install(self) -> Outcome:
        """Installs or updates. Raises StemlineError with the one thing to do."""
        ...

    def uninstall(self) -> Outcome:
        """Takes away all that `install` put there. Nothing there is no error."""
        ...


def target(name: str) -> Target:
    """The target `name`: a module of this package."""
    return cast(Target, importlib.import_module(f"stemline_app.install.{name}"))
