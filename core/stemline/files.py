"""Write small files in one step, and turn failed writes into errors."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

from stemline.errors import Code, OutputError, UsageError
from stemline_bridge import atomic_write

_OPEN_TO_OTHERS = 0o027  # a group may read: service managers hand out secrets that way


def check_private(path: Path, what: str) -> None:
    """Raise UsageError where users besides the owner can change a file, or users outside its group can read it.

    Args:
        path: An existing file. Raises OSError where it cannot be examined.
        what: What the file is, for the message ("token file").
    """
    if os.name == "posix" and path.stat().st_mode & _OPEN_TO_OTHERS:
        raise UsageError(f"Other users can read or change the {what} {path}.", advice=f"Run: chmod 600 {path}")


def write_json(path: Path, value: object, *, durable: bool = False, mode: int = 0o666) -> None:
    """Write `value` as JSON to `path` as `write_text` does."""
    write_text(path, json.dumps(value, ensure_ascii=False), durable=durable, mode=mode)


def write_text(path: Path, text: str, *, durable: bool = False, mode: int = 0o666) -> None:
    """Write UTF-8 text to `path` in one step: a reader sees the old file or the new one.

    Args:
        path: The file to write. Its folder is made where it is missing.
        text: The whole content.
        durable: Whether the content survives a power failure. Use it for what a later run trusts without a check.
        mode: The permissions of the new file, less the process's umask. 0o600 keeps a secret to its owner.

    Raises:
        OutputError: DISK_FULL, DISK_QUOTA or OUTPUT_UNWRITABLE. Nothing is changed then.
    """
    with output_errors(path):
        atomic_write(path, text, durable, mode)


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Raise OutputError for an OSError or UnicodeEncodeError in the block, which writes to `path`."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise OutputError(
            f"{path.name!a} cannot be written: it would hold a file name that is not UTF-8.",
            code=Code.OUTPUT_UNWRITABLE,
            advice="Rename that file or folder.",
        ) from error
    except OSError as error:
        raise output_error(path, error) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the error for a failed write to `path`."""
    if error.errno == errno.ENOSPC:
        return OutputError(
            f"The disk is full: {printable(path)} cannot be written.",
            code=Code.DISK_FULL,
            advice="Free some space and run again. Finished work is reused.",
        )
    if error.errno == errno.EDQUOT:
        return OutputError(
            f"Your disk quota is used up: {printable(path)} cannot be written.",
            code=Code.DISK_QUOTA,
            advice="Free some space and run again. Finished work is reused.",
        )
    return OutputError(
        f"{printable(path)} cannot be written: {error.strerror or error}.",
        code=Code.OUTPUT_UNWRITABLE,
        advice="Check the folder's permissions, or choose another folder.",
    )


def is_full(error: OSError) -> bool:
    """Return whether the disk, or the user's quota on it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def escape_controls(text: str) -> str:
    """Return text with its control characters escaped, so that it cannot control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def printable(path: str | Path) -> str:
    """Return a path as text for a message: control characters escaped, at most 300 characters."""
    shown = escape_controls(str(path))
    return shown if len(shown) <= 300 else f"{shown[:140]}…{shown[-140:]}"
