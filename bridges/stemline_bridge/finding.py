"""Where the user's Stemline is: what a preference of the host names, else what `stemline install` wrote down."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from .constants import INSTALLATION_FILE


class Installation(NamedTuple):
    """`command` starts Stemline's command line; `version` is empty where only the preference names it."""

    command: tuple[str, ...]
    version: str = ""


class NotInstalled(Exception):
    """One sentence for people; `command` is what they can run to mend it."""

    def __init__(self, sentence: str, command: str) -> None:
        super().__init__(sentence)
        self.command = command


def home_dir() -> Path:
    """The folder of the record: `STEMLINE_HOME`, else the user's data folder as the operating system names it."""
    named = os.environ.get("STEMLINE_HOME")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "stemline" / "stemline"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "stemline"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "stemline"


def find_installation(preference: str, bridge: str) -> Installation:
    """The Stemline to start; `bridge` is the name that `stemline install` gives the caller.

    `preference` is the path of a `stemline` program, or empty. Raises NotInstalled.
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
