"""Finds out why the server before this one died: jobs answer for crashes, not for kills from outside."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)

_VMSTAT = Path("/proc/vmstat")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOGGED_CHARACTERS = 4000


class ExitRecord:
    """What a server process leaves in its state folder for the next one.

    A fatal signal within the process (SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL) writes its traceback into `crash.txt`.
    SIGKILL leaves no trace, and comes from outside; but the kernel counts the processes that it kills for their memory.
    """

    def __init__(self, folder: Path) -> None:
        """Use the state folder `folder`."""
        self._crash = folder / "crash.txt"
        self._process = folder / "process.json"

    def crashed(self) -> bool:
        """Return whether the process before this one died of what it did: a fatal signal, or its use of memory."""
        traceback = _read(self._crash).strip()
        if traceback:
            _log.error("the server before this one crashed: %s", traceback[:_LOGGED_CHARACTERS])
            return True
        try:
            before = json.loads(_read(self._process))
            boot, kills = str(before["boot"]), int(before["oom_kills"])
        except (ValueError, KeyError, TypeError):
            return False
        killed = boot == _boot_id() and _oom_kills() > kills
        if killed:
            _log.error("the system ran out of memory and may have killed the server before this one")
        return killed

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record a crash of this process for as long as the block runs."""
        self._process.write_text(json.dumps({"boot": _boot_id(), "oom_kills": _oom_kills()}), encoding="ascii")
        with self._crash.open("w", encoding="utf-8") as file:
            faulthandler.enable(file)
            try:
                yield
            finally:
                faulthandler.disable()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _boot_id() -> str:
    return _read(_BOOT_ID).strip()


def _oom_kills() -> int:
    """Return how many processes the kernel has killed for memory since it started; 0 where it does not say."""
    for line in _read(_VMSTAT).splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdigit():
            return int(value)
    return 0
