# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts that were used before, newest first, and presets for what is asked for most."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from stemline.errors import StemlineError
from stemline.files import write_json

_KEPT = 200


@dataclass(frozen=True, slots=True)
class Preset:
    """(name, words) of each stem."""

    title: str
    stems: tuple[tuple[str, str], ...]


PRESETS = (
    Preset("Dialogue", (("dialogue", "speech"),)),
    Preset("Dialogue, music and effects", (("dialogue", "speech"), ("music", "music"))),
    Preset("Music", (("music", "music"),)),
    Preset("Singing voice", (("vocals", "singing"),)),
    Preset("Applause and crowd", (("applause", "applause"), ("crowd", "crowd"))),
    Preset("Footsteps", (("footsteps", "footsteps"),)),
    Preset("Dog", (("dog", "dog barking"),)),
    Preset("Rain and wind", (("rain", "rain"), ("wind", "wind"))),
    Preset("Traffic", (("traffic", "traffic"),)),
)


class PromptHistory:
    """UserData in a small file. A history that cannot be read or written is an empty one, never an error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts = _read(path)

    def add(self, text: str) -> None:
        """Puts `text` first; the same words stand once."""
        text = " ".join(text.split())
        if not text:
            return
        self._texts = [text, *(old for old in self._texts if old.casefold() != text.casefold())][:_KEPT]
        self._write()

    def clear(self) -> None:
        self._texts = []
        self._write()

    def search(self, query: str = "") -> list[str]:
        """Those that hold every word of `query`, newest first; those that begin with it before the others."""
        words = query.casefold().split()
        found = [text for text in self._texts if all(word in text.casefold() for word in words)]
        return sorted(found, key=lambda text: not text.casefold().startswith(query.casefold().strip()))

    def _write(self) -> None:
        try:
            write_json(self._path, self._texts)
        except StemlineError:
            return


def _read(path: Path) -> list[str]:
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [text for text in texts if isinstance(text, str)][:_KEPT] if isinstance(texts, list) else []
