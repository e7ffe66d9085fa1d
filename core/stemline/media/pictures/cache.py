"""Cache of what is made from pictures: proxies, followed masks and picture tracks, below a limit of disk space."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from stemline import paths
from stemline.files import output_errors
from stemline.identity import digest
from stemline.media.decode.container import stat_media

DEFAULT_LIMIT_BYTES = 8 << 30


def picture_cache() -> PictureCache:
    """Return the cache of this user."""
    return PictureCache(paths.cache_dir() / "pictures")


class PictureCache:
    """A folder of files named by a digest of what they are made from. Several processes may share it."""

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
        path = self.path(identity, suffix)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)  # marks it as recently used
            return path
        with output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{suffix}")
        try:
            make(part)
            with output_errors(path):
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self._make_room(path)
        return path

    def _make_room(self, fresh: Path) -> None:
        """Delete the files that were used longest ago until the rest is below the limit."""
        entries: list[tuple[int, int, Path]] = []
        for entry in self.folder.iterdir():
            with contextlib.suppress(OSError):
                facts = entry.stat()
                entries.append((facts.st_mtime_ns, facts.st_size, entry))
        held = sum(size for _, size, _ in entries)
        for _, size, entry in sorted(entries):
            if held <= self._limit_bytes:
                return
            if entry != fresh:
                with contextlib.suppress(OSError):  # Windows refuses to delete an open file
                    entry.unlink()
                    held -= size


def file_identity(path: str | Path) -> list[object]:
    """Return values that change with a file. Raises MediaError where there is none."""
    return [os.fsencode(Path(path).absolute()).hex(), *stat_media(path)]
