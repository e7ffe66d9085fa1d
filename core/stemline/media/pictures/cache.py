"""Cache of what is made from pictures: proxies, followed masks and picture tracks, below a limit of disk space."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from stemline import paths
from stemline.files import output_errors
from stemline.identity import digest
from stemline.locks import file_lock
from stemline.media.decode.container import stat_media
from stemline_bridge import atomic_path

DEFAULT_LIMIT_BYTES = 8 << 30
_LOCK_NAME = ".lock"
_IN_USE_S = 3600
_ABANDONED_S = 86_400


def picture_cache() -> PictureCache:
    """Return the cache of this user."""
    return PictureCache(paths.cache_dir() / "pictures")


class PictureCache:
    """A folder of files named by a digest of what they are made from. Several processes may share it.

    Above the limit, the files that were used longest ago are deleted. A file that was used within the last hour stays:
    another process may be about to open it.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        """Take the folder, which is made on first use."""
        self.folder = folder
        self._limit_bytes = limit_bytes

    def path(self, identity: object, suffix: str) -> Path:
        """Return where the file of an identity (JSON values) is, whether or not it exists."""
        return self.folder / f"{digest(identity)}{suffix}"

    def get(self, identity: object, suffix: str, make: Callable[[Path], None]) -> Path:
        """Return the file of an identity, and make it first where it does not exist.

        `make` writes the file to the path it gets. What it raises leaves nothing behind.

        Raises:
            OutputError: The disk is full.
        """
        found = self.find(identity, suffix)
        if found is not None:
            return found
        path = self.path(identity, suffix)
        with output_errors(path), atomic_path(path) as part:
            make(part)
        self._make_room()
        return path

    def find(self, identity: object, suffix: str) -> Path | None:
        """Return the file of an identity and mark it as used now; None where it does not exist."""
        path = self.path(identity, suffix)
        if not path.exists():
            return None
        with output_errors(self.folder), file_lock(self.folder / _LOCK_NAME):
            try:
                os.utime(path)
            except FileNotFoundError:
                return None
        return path

    def _make_room(self) -> None:
        """Delete abandoned parts, then the files that were used longest ago until the rest is below the limit."""
        now = time.time()
        with output_errors(self.folder), file_lock(self.folder / _LOCK_NAME):
            entries: list[tuple[float, int, Path]] = []
            for entry in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    facts = entry.stat()
                    if not entry.name.startswith("."):
                        entries.append((facts.st_mtime, facts.st_size, entry))
                    elif entry.name != _LOCK_NAME and now - facts.st_mtime > _ABANDONED_S:
                        entry.unlink()
            held = sum(size for _, size, _ in entries)
            for used, size, entry in sorted(entries):
                if held <= self._limit_bytes or now - used < _IN_USE_S:
                    return
                with contextlib.suppress(OSError):  # Windows refuses to delete an open file
                    entry.unlink()
                    held -= size


def file_identity(path: str | Path) -> list[object]:
    """Return values that change with a file. Raises MediaError where there is none."""
    return [os.fsencode(Path(path).absolute()).hex(), *stat_media(path)]
