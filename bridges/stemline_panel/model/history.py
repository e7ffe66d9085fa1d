# SPDX-License-Identifier: GPL-3.0-or-later
"""Earlier prompts, newest first, and the presets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from PyQt5.QtCore import QT_TRANSLATE_NOOP

from stemline.errors import StemlineError
from stemline.files import write_json
from stemline_panel.i18n import translate

_MAX_PROMPTS = 200


@dataclass(frozen=True, slots=True)
class Preset:
    """A title and (stem name, prompt text) of each stem."""

    title: str
    stems: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        """The title in the user's language."""
        return translate("Preset", self.title)


PRESETS = (
    Preset(QT_TRANSLATE_NOOP("Preset", "Dialogue"), (("dialogue", "speech"),)),
    Preset(QT_TRANSLATE_NOOP("Preset", "Dialogue, music and effects"), (("dialogue", "speech"), ("music", "music"))),
    Preset(QT_TRANSLATE_NOOP("Preset", "Music"), (("music", "music"),)),
    Preset(QT_TRANSLATE_NOOP("Preset", "Singing voice"), (("vocals", "singing"),)),
    Preset(QT_TRANSLATE_NOOP("Preset", "Applause and crowd"), (("applause", "applause"), ("crowd", "crowd"))),
    Preset(QT_TRANSLATE_NOOP("Preset", "Footsteps"), (("footsteps", "footsteps"),)),
    Preset(QT_TRANSLATE_NOOP("Preset", "Dog"), (("dog", "dog barking"),)),
    Preset(QT_TRANSLATE_NOOP("Preset", "Rain and wind"), (("rain", "rain"), ("wind", "wind"))),
    Preset(QT_TRANSLATE_NOOP("Preset", "Traffic"), (("traffic", "traffic"),)),
)


class PromptHistory:
    """Prompts in a small JSON file. A file that cannot be read or written counts as empty."""

    def __init__(self, path: Path) -> None:
        """Read the history from `path`."""
        self._path = path
        self._texts = _read(path)

    def add(self, text: str) -> None:
        """Put `text` first and remove an earlier copy of it."""
        text = " ".join(text.split())
        if not text:
            return
        self._texts = [text, *(old for old in self._texts if old.casefold() != text.casefold())][:_MAX_PROMPTS]
        self._write()

    def clear(self) -> None:
        """Delete all prompts."""
        self._texts = []
        self._write()

    def search(self, query: str = "") -> list[str]:
        """Return the prompts that contain every word of `query`, newest first; those that start with it come first."""
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
    return [text for text in texts if isinstance(text, str)][:_MAX_PROMPTS] if isinstance(texts, list) else []
