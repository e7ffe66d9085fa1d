"""Finds out whether the server before this one crashed: jobs answer for crashes, not for kills from outside."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)

_LOGGED_CHARACTERS = 4000


class ExitRecord:
    """What a server process leaves in its state folder for the next one.

    A fatal signal within the process (SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL) writes its traceback into `crash.txt`:
    a decoder may have crashed on the media of a job. SIGKILL leaves no trace, and comes from outside.
    """

    def __init__(self, folder: Path) -> None:
        """Use the state folder `folder`."""
        self._crash = folder / "crash.txt"

    def crashed(self) -> bool:
        """Return whether a fatal signal ended the process before this one."""
        try:
            traceback = self._crash.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return False
        if traceback:
            _log.error("the server before this one crashed: %s", traceback[:_LOGGED_CHARACTERS])
        return bool(traceback)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record a crash of this process for as long as the block runs."""
        with self._crash.open("w", encoding="utf-8") as file:
            faulthandler.enable(file)
            try:
                yield
            finally:
                faulthandler.disable()
