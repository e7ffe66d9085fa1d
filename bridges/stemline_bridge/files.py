"""Write files so that a reader sees the old one or the whole new one, and read small JSON files."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PART_NAME = re.compile(r"\..+\.(?P<pid>\d+)-[0-9a-f]{8}\.part", re.DOTALL)
"""The name of a temporary file of `part_path`; `pid` is the process that made it."""
MAX_JSON_BYTES = 16 << 20
"""The largest file that `read_json_object` reads, in bytes."""
_NAME_BYTES = 180  # file systems take 255; the process id and the random part come on top


def part_path(path: Path) -> Path:
    """Return a new name for a hidden temporary file in the folder of `path`."""
    name = path.name.encode("utf-8", "ignore")[:_NAME_BYTES].decode("utf-8", "ignore")
    return path.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def put_in_place(part: Path, path: Path, durable: bool = False) -> None:
    """Rename the finished, closed file `part` to `path`, replacing what is there.

    Args:
        part: A file in the folder of `path`.
        path: The name the file gets.
        durable: Whether the file and its folder are flushed to the disk, so that the content is there under the new
            name even after a power failure. Use it for every file that a later run trusts without a check.

    Raises:
        OSError: The file cannot be flushed or renamed. `part` is still there.
    """
    if durable:
        with part.open("r+b") as file:
            os.fsync(file.fileno())
    part.replace(path)
    if durable:
        _sync_folder(path.parent)


@contextlib.contextmanager
def atomic_path(path: Path, durable: bool = False) -> Iterator[Path]:
    """Give the block a temporary path to write to, then rename it to `path`.

    Where the block raises, the temporary file is removed and `path` is left as it was. The block must close the file.
    The folder of `path` is made where it is missing. `durable` is that of `put_in_place`.

    Raises:
        OSError: The folder cannot be made or the file cannot be put in place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(path)
    try:
        yield part
        put_in_place(part, path, durable)
    finally:
        with contextlib.suppress(OSError):  # it has its name, or the block failed
            part.unlink()


def atomic_write(path: Path, data: bytes | str, durable: bool = False, mode: int = 0o666) -> None:
    """Write `data` (text as UTF-8, line ends as they are) to `path` in one step.

    Args:
        path: The file to write. Its folder is made where it is missing.
        data: The whole content.
        durable: Whether the content survives a power failure (see `put_in_place`).
        mode: The permissions of the new file, less the process's umask. 0o600 keeps a secret to its owner.

    Raises:
        OSError: The file cannot be written. Nothing is changed then, and no temporary file stays.
        UnicodeEncodeError: The text holds half of a surrogate pair, as file names that are not UTF-8 do.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    with atomic_path(path, durable) as part:
        descriptor = os.open(str(part), os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def read_json_object(path: Path, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any] | None:
    """Read a JSON object from a small UTF-8 file, which another program may have damaged or replaced.

    Returns:
        The object. None where the file cannot be read, holds anything else, or is larger than `max_bytes`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        value = json.loads(content.decode("utf-8")) if len(content) <= max_bytes else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entries. Windows cannot, and some network file systems refuse."""
    with contextlib.suppress(OSError):
        descriptor = os.open(str(folder), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
