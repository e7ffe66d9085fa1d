"""Finds the user's Stemline: from a preference of the host, else from what `stemline install` recorded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from .constants import INSTALLATION_FILE


class Installation(NamedTuple):
    """How to start Stemline. `command` starts its command line; `version` is empty where only a preference names it."""

    command: tuple[str, ...]
    version: str = ""


class NotInstalled(Exception):
    """No Stemline was found. Its text is one sentence; `command` is what the user can run."""

    def __init__(self, sentence: str, command: str) -> None:
        super().__init__(sentence)
        self.command = command


def home_dir() -> Path:
    """Return Stemline's data folder: `STEMLINE_HOME`, else the user's data folder of the operating system."""
    named = os.environ.get("STEMLINE_HOME")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "stemline" / "stemline"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "stemline"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "stemline"


def find_installation(preference: str, bridge: str) -> Installation:
    """Return the Stemline to start.

    Args:
        preference: The path of a `stemline` program, or empty.
        bridge: The name that `stemline install` gives the caller.

    Raises:
        NotInstalled: There is none, or it is gone.
    """
    if preference:
        program = Path(preference).expanduser()
        if not program.is_file():
            raise NotInstalled(f"There is no program {program}.", f"stemline install {bridge}")
        return Installation((str(program),))
    record = home_dir() / INSTALLATION_FILE
    try:
        held = json.loads(record.read_text(encoding="utf-8"))
        installation = Installation(tuple(map(str, held["command"])), str(held["stemline"]))
    except FileNotFoundError:
        raise NotInstalled(
            "Stemline is not installed for this user: install it as its README says, then run this.",
            f"stemline install {bridge}",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise NotInstalled(f"{record} cannot be read.", f"stemline install {bridge}") from None
    if not installation.command or not Path(installation.command[0]).is_file():
        raise NotInstalled(
            "The Stemline that was installed is gone: install it as its README says, then run this.",
            f"stemline install {bridge}",
        )
    return installation
