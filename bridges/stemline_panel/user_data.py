# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives a panel, in the user's Stemline folder: settings, prompt history, and the journal of runs."""

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
    """The user's folder of the panel, and the history and journal in it."""

    folder: Path
    history: PromptHistory
    journal: Journal

    @staticmethod
    def at(folder: Path | None = None) -> UserData:
        """Return the data in `folder`, by default the folder `panel` of the user's Stemline folder."""
        place = folder or home_dir() / "panel"
        return UserData(place, PromptHistory(place / "history.json"), Journal(place / "runs"))

    @property
    def reconnect_file(self) -> Path:
        """The file in which a panel without a host says how to reach it."""
        return self.folder / "waiting.json"

    def settings(self) -> PanelSettings:
        """Read the settings."""
        return read_settings(self.folder / "settings.json")

    def save(self, settings: PanelSettings) -> None:
        """Write the settings."""
        write_settings(self.folder / "settings.json", settings)


def delete_unsaved_stems(days: float = _UNSAVED_DAYS) -> None:
    """Delete auditions and unsaved stems of files that have been in the cache for `days` days."""
    oldest = time.time() - days * 86_400
    for file in (cache_dir() / "panel").rglob("*"):
        with contextlib.suppress(OSError):
            if file.is_file() and file.stat().st_mtime < oldest:
                file.unlink()
