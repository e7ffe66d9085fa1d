"""Facts and nonces that prove that two processes see the same file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

_BLOCKS = 5
_BLOCK_BYTES = 16 * 1024
_INODE_BITS = 64
_MAX_NONCE_BYTES = 256


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What tells a file from any other without reading all of it.

    Attributes:
        size_bytes: Size of the file.
        modified_ns: Time of the last modification, in nanoseconds since 1970.
        inode: Lower 64 bits of the file's number in its file system. The device number is left out: it differs
            between mounts of the same file system.
        blocks_sha256: Digest of blocks spread evenly over the file, the first and the last included.
    """

    size_bytes: int
    modified_ns: int
    inode: int
    blocks_sha256: bytes


def file_facts(path: str | Path) -> FileFacts:
    """Return the facts of the file at `path`. Raises OSError, also for what is not a regular file."""
    if not Path(path).is_file():
        raise FileNotFoundError(path)
    with Path(path).open("rb") as file:
        status = os.fstat(file.fileno())
        digest = hashlib.sha256()
        last_start = max(0, status.st_size - _BLOCK_BYTES)
        for number in range(_BLOCKS):
            file.seek(last_start * number // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))
    return FileFacts(
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        inode=status.st_ino % (1 << _INODE_BITS),
        blocks_sha256=digest.digest(),
    )


def read_nonce(path: str | Path) -> bytes:
    """Return the nonce that a server wrote to `path`; empty where this process can't read it."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_MAX_NONCE_BYTES)
    except (OSError, ValueError):
        return b""
