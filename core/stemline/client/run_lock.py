"""Tells of runs that are at work, so that nobody clears the cache under them: each holds a locked file meanwhile."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stemline.locks import try_lock
from stemline.paths import cache_dir

_PREFIX = "run-"


@contextmanager
def at_work() -> Iterator[None]:
    """A run is at work meanwhile. Where its file cannot be written it is not known of, and goes on."""
    path = _folder() / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    except OSError:
        yield
        return
    try:
        with file:
            try_lock(file)
            yield
    finally:
        path.unlink(missing_ok=True)


def is_any_at_work() -> bool:
    """Whether some process of this user is in the middle of a run. Removes the files of those that were killed."""
    for path in _folder().glob(f"{_PREFIX}*"):
        with suppress(OSError), path.open("r+b") as file:  # gone since it was listed
            if not try_lock(file):
                return True
            path.unlink(missing_ok=True)
    return False


def _folder() -> Path:
    return cache_dir() / "locks"
