"""A log in which each line holds the hash of the line before, so that changed and missing lines are found.

A cut-off end is not found: note the last hash elsewhere if that matters. One file holds one month.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stemline.errors import InputError, OutputError
from stemline.files import output_error, printable
from stemline_bridge import atomic_write

_LONGEST_LINE = 1 << 20
_FIRST = "0" * 64
_MONTH = re.compile(r"\.(\d{4}-\d{2})$")
_KEY_BYTES = 32


class AuditLog:
    """Appends to the log. A torn last line, as a kill or a full disk leaves one, is replaced by a line that says so.

    One process writes to one log.
    """

    def __init__(self, path: Path, *, keep_days: int) -> None:
        """Open the log: `audit.jsonl` is written as `audit.2026-11.jsonl`. Raises OutputError."""
        self._path, self._keep = path, timedelta(days=keep_days)
        self._lock = threading.Lock()
        self._before = ""
        self._month = ""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files = log_files(path)
            self._before = _FIRST
            for file in reversed(files):
                if last := self._mended(file):
                    self._before = last
                    break
            self._drop_old()
        except OSError as error:
            raise output_error(path, error) from error

    def write(self, entries: Iterable[Mapping[str, object]]) -> None:
        """Append entries, each with the time, and flush them to the disk. Raises OutputError; then none is there."""
        with self._lock:
            now = datetime.now(UTC)
            lines, before = [], self._before
            for entry in entries:
                line = _line({"time": now.isoformat(timespec="milliseconds"), **entry, "before": before})
                before = hashlib.sha256(line).hexdigest()
                lines.append(line + b"\n")
            if not lines:
                return
            month = f"{now:%Y-%m}"
            try:
                if month != self._month:
                    self._drop_old()
                _append(_file_of(self._path, month), b"".join(lines))
            except OSError as error:
                raise output_error(self._path, error) from error
            self._month, self._before = month, before

    def _mended(self, file: Path) -> str:
        """Return the hash of the last line of a file, after replacing a torn one."""
        data = file.read_bytes()
        whole, newline, torn = data.rpartition(b"\n")
        last = whole.rpartition(b"\n")[2]
        before = hashlib.sha256(last).hexdigest() if last else self._before
        if not torn:
            return before if last else ""
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": "repaired"}
        line = _line({**entry, "torn_sha256": hashlib.sha256(torn).hexdigest(), "before": before})
        os.truncate(file, len(whole) + len(newline))
        _append(file, line + b"\n")
        return hashlib.sha256(line).hexdigest()

    def _drop_old(self) -> None:
        """Delete the files of months that are over for longer than the log is kept."""
        oldest = f"{datetime.now(UTC) - self._keep:%Y-%m}"
        for file in log_files(self._path):
            if _month_of(file) < oldest:
                file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of checking a log.

    Attributes:
        lines: Number of lines.
        first: Time of the first line; empty where there is none.
        last: Time of the last line.
        last_hash: Hash of the last line, to be noted elsewhere against a cut-off end.
        starts_after: Hash of the line before the first, where older files were deleted; empty at the very start.
        faults: What is wrong, one sentence each.
    """

    lines: int
    first: str
    last: str
    last_hash: str
    starts_after: str
    faults: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "lines": self.lines,
            "first": self.first,
            "last": self.last,
            "last_hash": self.last_hash,
            "starts_after": self.starts_after,
            "whole": not self.faults,
            "faults": list(self.faults),
        }


def check_log(files: Sequence[Path]) -> AuditReport:
    """Check the lines of a log.

    Args:
        files: Its files, of which the names order them; or its path without the month.

    Raises:
        InputError: There is no such file, or it cannot be read.
    """
    chosen = [found for file in files for found in ([file] if file.is_file() else log_files(file))]
    if not chosen:
        raise InputError(
            f"There is no log at {printable(files[0])}.", advice="Name the file or the path in the policy."
        )
    count, before, starts_after, times = 0, "", "", [""]
    faults: list[str] = []
    for file in sorted(set(chosen), key=lambda path: (_month_of(path), path.name)):
        for number, line in enumerate(_lines(file), 1):
            place = f"{file.name}, line {number}"
            try:
                values = json.loads(line) if line.endswith(b"\n") and len(line) <= _LONGEST_LINE else None
            except (ValueError, RecursionError):
                values = None
            if not isinstance(values, dict) or not isinstance(values.get("before"), str):
                faults.append(f"{place} is not a line of a log.")
                before = ""
                continue
            if not count:
                starts_after = "" if values["before"] == _FIRST else values["before"]
            elif values["before"] != before:
                faults.append(
                    f"{place} does not follow the line before it: that one was changed, or lines are missing."
                )
            before = hashlib.sha256(line[:-1]).hexdigest()
            count += 1
            times = [times[0] or str(values.get("time", "")), str(values.get("time", ""))]
    return AuditReport(count, times[0], times[-1], before, starts_after, tuple(faults))


def hashed_words(words: str, how: str, key_file: Path) -> str:
    """Return how the log names a prompt: "full", as an HMAC with a key in `key_file` ("hash"), or not ("omit").

    Raises:
        OutputError: The key cannot be read or written.
    """
    if how == "full" or not words:
        return words
    if how == "omit":
        return ""
    try:
        if not key_file.is_file():
            atomic_write(key_file, secrets.token_hex(_KEY_BYTES), durable=True, mode=0o600)
        key = bytes.fromhex(key_file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise OutputError(f"The key of the log cannot be used: {error}.", advice=f"Remove {key_file}.") from error
    return f"hmac-sha256:{hmac.new(key, words.encode(), hashlib.sha256).hexdigest()}"


def log_files(path: Path) -> list[Path]:
    """Return the files of a log, one for each month, in order."""
    files = path.parent.glob(f"{path.stem}.*{path.suffix}") if path.parent.is_dir() else ()
    return sorted(file for file in files if _month_of(file))


def _file_of(path: Path, month: str) -> Path:
    return path.with_name(f"{path.stem}.{month}{path.suffix}")


def _month_of(file: Path) -> str:
    month = _MONTH.search(file.stem)
    return month[1] if month else ""


def _line(values: Mapping[str, object]) -> bytes:
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _lines(file: Path) -> Iterable[bytes]:
    try:
        with file.open("rb") as stream:
            while line := stream.readline(_LONGEST_LINE + 1):
                yield line
    except OSError as error:
        raise InputError(f"{printable(file)} cannot be read: {error.strerror}.") from error


def _append(file: Path, data: bytes) -> None:
    """Append to a file that its owner alone can read; after an error it is as before."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
