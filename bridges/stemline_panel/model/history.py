# SPDX-License-Identifier: GPL-3.0-or-later
"""Earlier prompts with what they found, newest first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stemline.companion.wire import from_wire
from stemline.errors import StemlineError
from stemline.files import write_json

_MAX_PROMPTS = 200


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A prompt that a run understood.

    Attributes:
        text: The words.
        asked_ns: When it was asked for, in nanoseconds since 1970; 0 if that is unknown.
        model: Id of the model that ran.
        result: What was found and how surely, in words.
        where: The clip or the number of clips.
    """

    text: str
    asked_ns: int = 0
    model: str = ""
    result: str = ""
    where: str = ""


class PromptHistory:
    """Prompts in a small JSON file. A file that cannot be read or written counts as empty."""

    def __init__(self, path: Path) -> None:
        """Read the history from `path`."""
        self._path = path
        self._entries = _read(path)

    def add(self, entry: HistoryEntry) -> None:
        """Put a prompt first and remove an earlier entry with the same text."""
        text = " ".join(entry.text.split())
        if not text:
            return
        others = (old for old in self._entries if old.text.casefold() != text.casefold())
        self._entries = [replace(entry, text=text), *others][:_MAX_PROMPTS]
        self._write()

    def clear(self) -> None:
        """Delete all prompts."""
        self._entries = []
        self._write()

    def search(self, query: str = "") -> list[str]:
        """Return the prompts that contain every word of `query`, newest first; those that start with it come first."""
        words = query.casefold().split()
        found = [entry.text for entry in self._entries if all(word in entry.text.casefold() for word in words)]
        return sorted(found, key=lambda text: not text.casefold().startswith(query.casefold().strip()))

    def entries(self, query: str = "") -> list[HistoryEntry]:
        """Return the entries with every word of `query` in any of their fields, newest first."""
        words = query.casefold().split()
        return [entry for entry in self._entries if all(word in _about(entry) for word in words)]

    def _write(self) -> None:
        try:
            write_json(self._path, [asdict(entry) for entry in self._entries])
        except StemlineError:
            return


def _about(entry: HistoryEntry) -> str:
    return f"{entry.text} {entry.model} {entry.result} {entry.where}".casefold()


def _read(path: Path) -> list[HistoryEntry]:
    """Return the entries of a file; one of an earlier version holds texts only."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    entries = [_entry(item) for item in found[:_MAX_PROMPTS]] if isinstance(found, list) else []
    return [entry for entry in entries if entry is not None]


def _entry(item: Any) -> HistoryEntry | None:
    if isinstance(item, str):
        return HistoryEntry(item)
    try:
        return from_wire(HistoryEntry, item, "history")
    except StemlineError:
        return None
