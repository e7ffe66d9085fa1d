# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives a panel: settings, history, and the journal of its runs, in the user's Stemline folder."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from stemline.paths import cache_dir, home_dir
from stemline_panel.model.history import PromptHistory
from stemline_panel.model.journal import Journal
from stemline_panel.model.settings import PanelSettings, read_settings, write_settings

_UNSAVED_DAYS = 14


@dataclass(frozen=True, slots=True)
class UserData:
    folder: Path
    history: PromptHistory
    journal: Journal

    @staticmethod
    def at(folder: Path | None = None) -> UserData:
        place = folder or home_dir() / "panel"
        return UserData(place, PromptHistory(place / "history.json"), Journal(place / "runs"))

    @property
    def waiting(self) -> Path:
        """Where a panel whose host ended says how it can be reached."""
        return self.folder / "waiting.json"

    def settings(self) -> PanelSettings:
        return read_settings(self.folder / "settings.json")

    def save(self, settings: PanelSettings) -> None:
        write_settings(self.folder / "settings.json", settings)


def delete_unsaved_stems(days: float = _UNSAVED_DAYS) -> None:
    """Deletes auditions, and stems of files that nobody saved, once they have lain in the cache for so long."""
    oldest = time.time() - days * 86_400
    for file in (cache_dir() / "panel").rglob("*"):
        with contextlib.suppress(OSError):
            if file.is_file() and file.stat().st_mtime < oldest:
                file.unlink()
