"""Track active runs with lock files, so that `cache clear` never deletes data in use."""

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
def run_lock() -> Iterator[None]:
    """Mark a run as active for as long as the block runs. A run whose file cannot be written goes on without a mark."""
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


def is_any_run_active() -> bool:
    """Return whether a process of this user is in a run. Files of killed runs are removed."""
    for path in _folder().glob(f"{_PREFIX}*"):
        with suppress(OSError), path.open("r+b") as file:  # deleted since it was listed
            if not try_lock(file):
                return True
            path.unlink(missing_ok=True)
    return False


def _folder() -> Path:
    return cache_dir() / "locks"
