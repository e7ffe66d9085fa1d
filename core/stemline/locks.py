"""Locks between processes, held for as long as a file is open, and whether a process is alive."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from stemline.files import output_errors
from stemline.paths import cache_dir

if sys.platform == "win32":
    import msvcrt

    def try_lock(file: IO[bytes]) -> bool:
        """Lock `file` until it is closed. Return False if another process has locked it."""
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            except OSError:  # msvcrt gives up after ten seconds
                continue
            return
else:
    import fcntl

    def try_lock(file: IO[bytes]) -> bool:
        """Lock `file` until it is closed. Return False if another process has locked it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds `path`, and hold it for as long as the block runs. The file is not deleted."""
    with path.open("ab") as file:
        _lock(file)
        yield


def lock_of(place: Path) -> Path:
    """Return the lock file for a place, the same for every process of this user. Raises OutputError."""
    folder = cache_dir() / "locks"
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / hashlib.sha256(str(place.absolute()).encode(errors="surrogateescape")).hexdigest()[:32]


def is_alive(pid: int) -> bool:
    """Return whether a process with that id exists. It may be another one: ids are reused."""
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


@contextlib.contextmanager
def lock_state(state: Path) -> Iterator[bool]:
    """Hold the lock of a server's state folder, so that no server starts there. Gives False where one runs."""
    try:
        handle = (state / "lock").open("ab")
    except FileNotFoundError:
        yield False
        return
    with handle:
        yield try_lock(handle)


if sys.platform == "win32":

    def _is_alive_on_windows(pid: int) -> bool:
        """Return whether the process exists; os.kill(pid, 0) would end it on Windows."""
        synchronize, wait_timeout = 0x00100000, 0x00000102
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(synchronize, False, pid)
        if not handle:
            return False
        try:
            return bool(kernel.WaitForSingleObject(handle, 0) == wait_timeout)
        finally:
            kernel.CloseHandle(handle)
