"""Checks of the folders that Stemline writes to, and of their free space."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stemline import paths
from stemline.hosts.description import Check, Status

_GB = 1_000_000_000
_LITTLE_BYTES = 5 * _GB
_TOO_LITTLE_BYTES = _GB // 2


def place_checks() -> Iterator[Check]:
    """Check the cache, temporary and models folders."""
    yield _writable("cache folder", paths.cache_dir(), "Set STEMLINE_CACHE to a folder on a disk with room.")
    yield _writable("temporary folder", Path(tempfile.gettempdir()), "Set TMPDIR to a folder on a disk with room.")
    yield _models()


def _writable(name: str, folder: Path, advice: str) -> Check:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir():
        return Check(name, Status.FAIL, f"{there} is not a folder", advice)
    try:
        with tempfile.TemporaryFile(dir=there if os.access(there, os.W_OK) else folder):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name, Status.FAIL, f"{folder} cannot be written ({error.strerror})", advice)
    found = f"{folder}, {free / _GB:.1f} GB free"
    if free < _TOO_LITTLE_BYTES:
        return Check(name, Status.FAIL, found, advice)
    return Check(name, Status.WARN, found, advice) if free < _LITTLE_BYTES else Check(name, Status.OK, found)


def _models() -> Check:
    folder = paths.models_dir()
    try:
        held = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        held = []
    except OSError as error:
        message = f"{folder} cannot be read ({error.strerror})"
        return Check("models folder", Status.WARN, message, "Set STEMLINE_MODELS to a folder that can.")
    return Check("models folder", Status.OK, f"{folder}: {', '.join(held) or 'nothing there, none is needed'}")
