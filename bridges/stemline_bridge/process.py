"""The companion process: finds the user's Stemline and starts it, never with the host's own Python."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .constants import INSTALLATION_FILE
from .peers import HostPeer

_HOSTS_OWN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH")
_NO_WINDOW = 0x08000000 if sys.platform == "win32" else 0  # CREATE_NO_WINDOW


class Installation(NamedTuple):
    """How to start Stemline. `command` starts its command line; `version` is empty where only a preference names it."""

    command: tuple[str, ...]
    version: str = ""


class NotInstalled(Exception):
    """No Stemline was found. Its text is one sentence; `command` is what the user can run."""

    def __init__(self, sentence: str, command: str) -> None:
        """Make an error with the command that the user can run."""
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


def clean_environment() -> dict[str, str]:
    """Return this environment without what a host sets for its own Python and libraries.

    Another Python must not find them.
    """
    return {name: value for name, value in os.environ.items() if name.upper() not in _HOSTS_OWN}


class CompanionProcess:
    """A running companion: its `process`, and the `peer` that talks to it."""

    def __init__(self, process: subprocess.Popen[bytes], peer: HostPeer, log: Path) -> None:
        """Take a running process and its peer. Use `start` to make both."""
        self.process = process
        self.peer = peer
        self._log = log

    @classmethod
    def start(
        cls,
        installation: Installation,
        handlers: Mapping[str, Callable[[dict[str, Any]], Any]],
        log: Path,
        arguments: Sequence[str] = ("host",),
    ) -> CompanionProcess:
        """Start the companion with its standard error in the file `log`.

        Args:
            installation: The Stemline to start.
            handlers: Answer calls and notifications of the companion, by name.
            log: The file for its standard error. Its folder is made where it is missing.
            arguments: The arguments of Stemline's command line.

        Raises:
            OSError: It cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [*installation.command, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment(),
                creationflags=_NO_WINDOW,
            )
        assert process.stdin is not None  # noqa: S101 - they are pipes
        assert process.stdout is not None  # noqa: S101
        return cls(process, HostPeer(process.stdout, process.stdin, handlers), log)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the companion by closing its input.

        It is killed when it does not end within `timeout_s`.
        """
        self.peer.close(0.0)  # its writer sends what is queued and closes the pipe
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # a line may be half written
                    pipe.close()

    def last_words(self) -> str:
        """Return the last line of its standard error, which says why it ended."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
