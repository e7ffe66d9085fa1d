"""Locks on places in the user's folders. Their files lie in the cache, so that nothing of ours is left there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from stemline.media.wave.stem_writer import disk_errors
from stemline.paths import cache_dir


def lock_of(place: Path) -> Path:
    """The file to lock for a place, the same for every process of this user. Raises OutputError."""
    folder = cache_dir() / "locks"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / hashlib.sha256(str(place.absolute()).encode(errors="surrogateescape")).hexdigest()[:32]
