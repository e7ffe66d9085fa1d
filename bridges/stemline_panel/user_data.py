# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives a panel, in the user's Stemline folder: settings, prompt history, and the journal of runs."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import platformdirs

from stemline.errors import StemlineError
from stemline.files import write_json
from stemline.paths import cache_dir, home_dir
from stemline.plan import plain_part
from stemline_bridge import read_json_object
from stemline_panel.model.history import PromptHistory
from stemline_panel.model.journal import Journal
from stemline_panel.model.settings import PanelSettings, read_settings, write_settings

_UNSAVED_DAYS = 14
_MAX_RECENT = 10
_NAME_CHARACTERS = 120
_EXAMPLE = ("edit.otio", "camera.mp4", "recorder.wav", "street.flac")


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

    def layout(self) -> dict[str, str]:
        """Return the layout of the window, as it was saved."""
        return _read_texts(self.folder / "window.json")

    def save_layout(self, layout: Mapping[str, str]) -> None:
        """Save the layout of the window. A failure is ignored, because losing it does no harm."""
        with contextlib.suppress(StemlineError):
            write_json(self.folder / "window.json", dict(layout))

    def recent(self) -> list[str]:
        """Return the files that were opened last and still exist, newest first."""
        return [path for path in _read_texts(self.folder / "recent.json").values() if Path(path).exists()]

    def add_recent(self, path: str) -> None:
        """Put a file first in the list of recent files."""
        paths = [path, *(old for old in self.recent() if old != path)][:_MAX_RECENT]
        with contextlib.suppress(StemlineError):
            write_json(self.folder / "recent.json", {str(number): path for number, path in enumerate(paths)})

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


def _read_texts(path: Path) -> dict[str, str]:
    """Return the texts of a JSON object by name; nothing for a file that is missing or invalid."""
    found = read_json_object(path) or {}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def dragged_folder() -> Path:
    """Return the folder of files that were dragged to other programs, which refer to them from then on."""
    return platformdirs.user_videos_path() / "Stemline" / "dragged"


def copy_example() -> Path:
    """Copy the example edit into the user's folder of videos, unless it is there, and return it. Raises OSError."""
    folder = platformdirs.user_videos_path() / "Stemline" / "example"
    here = Path(__file__).parent / "example"
    source = here if here.is_dir() else Path(__file__).parents[2] / "examples" / "interview"
    folder.mkdir(parents=True, exist_ok=True)
    for name in _EXAMPLE:
        if not (folder / name).exists():
            shutil.copy2(source / name, folder / name)
    return folder / _EXAMPLE[0]


def plain_copy(file: Path, name: str, folder: Path) -> Path:
    """Return a file in `folder` with a plain name and the content of `file`.

    Another file of that name is left alone, and the new one gets a number. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = plain_part(name, _NAME_CHARACTERS)
    for number in count(1):
        place = folder / (f"{base}{file.suffix}" if number == 1 else f"{base}-{number}{file.suffix}")
        if place.exists() and (place.samefile(file) or filecmp.cmp(place, file, shallow=False)):
            return place
        if not place.exists():
            break
    shutil.copy2(file, place)
    return place
