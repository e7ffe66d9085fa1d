"""Reports a full disk by the folder on it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from stemline.errors import Code, OutputError
from stemline.files import is_full


def disk_full(folder: Path) -> OutputError:
    """Return the error for a full disk (DISK_FULL)."""
    return OutputError(
        f"The server's disk is full: {folder} has no room.",
        code=Code.DISK_FULL,
        advice="Free some space there, then run it again.",
    )


@contextlib.contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Raise OutputError (DISK_FULL) in place of what files and SQLite report for a full disk or quota."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise disk_full(folder) from error
        raise
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise disk_full(folder) from error
        raise
