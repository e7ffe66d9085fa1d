"""Processes and the lock they hold, without a third-party package."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stemline.locks import try_lock


def is_alive(pid: int) -> bool:
    """Whether a process of that id exists. It may be another one by now: ids are used again."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _is_alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def lock_state(state: Path) -> Iterator[bool]:
    """Holds the lock of a server's state folder, so that no server starts there; gives False where one runs."""
    try:
        handle = (state / "lock").open("ab")
    except FileNotFoundError:
        yield False
        return
    with handle:
        yield try_lock(handle)


if sys.platform == "win32":

    def _is_alive_on_windows(pid: int) -> bool:
        """os.kill(pid, 0) would end the process there."""
        synchronize, wait_timeout = 0x00100000, 0x00000102
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(synchronize, False, pid)
        if not handle:
            return False
        try:
            return bool(kernel.WaitForSingleObject(handle, 0) == wait_timeout)
        finally:
            kernel.CloseHandle(handle)
