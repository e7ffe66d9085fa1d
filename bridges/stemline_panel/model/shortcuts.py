# SPDX-License-Identifier: GPL-3.0-or-later
"""Every keyboard shortcut in one table. The window binds them, and the shortcut dialog and the manual list them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PyQt5.QtCore import QT_TRANSLATE_NOOP

from stemline_panel.model.formatting import translate

LAYER_KEYS = range(1, 10)
"""The number keys that choose which layer is heard."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """An action and the keys that trigger it. Letters type instead while a text field has the focus."""

    action: str
    keys: tuple[str, ...]
    description: str

    @property
    def label(self) -> str:
        """The description in the user's language."""
        return translate("Shortcut", self.description)


@dataclass(frozen=True, slots=True)
class LayerShortcut(Shortcut):
    """A number key, which chooses a layer."""

    number: int = 1

    @property
    def label(self) -> str:
        """The description in the user's language, with the number."""
        return translate("Shortcut", self.description).format(number=self.number)


SHORTCUTS: tuple[Shortcut, ...] = (
    Shortcut("play", ("Space",), QT_TRANSLATE_NOOP("Shortcut", "Play or pause")),
    Shortcut("shuttle_back", ("J",), QT_TRANSLATE_NOOP("Shortcut", "Play backwards, again for faster")),
    Shortcut("pause", ("K",), QT_TRANSLATE_NOOP("Shortcut", "Pause")),
    Shortcut("shuttle_forward", ("L",), QT_TRANSLATE_NOOP("Shortcut", "Play, again for faster")),
    Shortcut("loop", ("Shift+L",), QT_TRANSLATE_NOOP("Shortcut", "Loop the selection")),
    Shortcut("back", ("Left",), QT_TRANSLATE_NOOP("Shortcut", "Previous frame")),
    Shortcut("forward", ("Right",), QT_TRANSLATE_NOOP("Shortcut", "Next frame")),
    Shortcut("back_second", ("Shift+Left",), QT_TRANSLATE_NOOP("Shortcut", "Back one second")),
    Shortcut("forward_second", ("Shift+Right",), QT_TRANSLATE_NOOP("Shortcut", "Forward one second")),
    Shortcut("start", ("Home",), QT_TRANSLATE_NOOP("Shortcut", "Go to the start of the clip")),
    Shortcut("end", ("End",), QT_TRANSLATE_NOOP("Shortcut", "Go to the end of the clip")),
    Shortcut("select_sound", ("X",), QT_TRANSLATE_NOOP("Shortcut", "Select the sound at the playhead")),
    Shortcut("set_in", ("I",), QT_TRANSLATE_NOOP("Shortcut", "Set the start of the selection")),
    Shortcut("set_out", ("O",), QT_TRANSLATE_NOOP("Shortcut", "Set the end of the selection")),
    Shortcut("mark_plus", ("M", "+"), QT_TRANSLATE_NOOP("Shortcut", "Mark: target here")),
    Shortcut("mark_minus", ("N", "-"), QT_TRANSLATE_NOOP("Shortcut", "Mark: not here")),
    Shortcut("flip_mark", ("T",), QT_TRANSLATE_NOOP("Shortcut", "Flip the mark at the playhead between + and −")),
    Shortcut("delete_mark", ("Delete", "Backspace"), QT_TRANSLATE_NOOP("Shortcut", "Delete the mark at the playhead")),
    Shortcut("undo", ("Ctrl+Z",), QT_TRANSLATE_NOOP("Shortcut", "Undo")),
    Shortcut("redo", ("Ctrl+Shift+Z", "Ctrl+Y"), QT_TRANSLATE_NOOP("Shortcut", "Redo")),
    Shortcut("zoom_in", ("Ctrl+=", "Ctrl+Up"), QT_TRANSLATE_NOOP("Shortcut", "Zoom in")),
    Shortcut("zoom_out", ("Ctrl+-", "Ctrl+Down"), QT_TRANSLATE_NOOP("Shortcut", "Zoom out")),
    Shortcut("zoom_selection", ("Z",), QT_TRANSLATE_NOOP("Shortcut", "Zoom to the selection, then to the whole clip")),
    Shortcut("toggle_ab", ("B",), QT_TRANSLATE_NOOP("Shortcut", "Switch between the mix and the last stem")),
    *(
        LayerShortcut(f"layer_{n}", (str(n),), QT_TRANSLATE_NOOP("Shortcut", "Hear sound {number}; 1 is the mix"), n)
        for n in LAYER_KEYS
    ),
    Shortcut("match_loudness", ("E",), QT_TRANSLATE_NOOP("Shortcut", "Match loudness")),
    Shortcut("prompt", ("Ctrl+L", "/"), QT_TRANSLATE_NOOP("Shortcut", "Go to the prompt")),
    Shortcut("presets", ("Ctrl+P",), QT_TRANSLATE_NOOP("Shortcut", "Presets")),
    Shortcut("add_stem", ("Ctrl+N",), QT_TRANSLATE_NOOP("Shortcut", "Add stem")),
    Shortcut("remove_stem", ("Ctrl+Backspace",), QT_TRANSLATE_NOOP("Shortcut", "Remove stem")),
    Shortcut("next_verb", ("Ctrl+T",), QT_TRANSLATE_NOOP("Shortcut", "Isolate, remove or split")),
    Shortcut("audition", ("Ctrl+R",), QT_TRANSLATE_NOOP("Shortcut", "Audition a few seconds around the playhead")),
    Shortcut("primary", ("Ctrl+Return",), QT_TRANSLATE_NOOP("Shortcut", "Press the main button")),
    Shortcut("stop", ("Ctrl+.",), QT_TRANSLATE_NOOP("Shortcut", "Stop the run")),
    Shortcut("take_back", ("Ctrl+Delete",), QT_TRANSLATE_NOOP("Shortcut", "Take back the applied stems")),
    Shortcut(
        "take_back_clips",
        ("Ctrl+Shift+Delete",),
        QT_TRANSLATE_NOOP("Shortcut", "Take back the stems of the selected clips"),
    ),
    Shortcut("take_back_all", ("Ctrl+Shift+Backspace",), QT_TRANSLATE_NOOP("Shortcut", "Take back all stems")),
    Shortcut("copy_job", ("Ctrl+J",), QT_TRANSLATE_NOOP("Shortcut", "Copy the job as JSON")),
    Shortcut("previous_clip", ("PgUp",), QT_TRANSLATE_NOOP("Shortcut", "Previous clip")),
    Shortcut("next_clip", ("PgDown",), QT_TRANSLATE_NOOP("Shortcut", "Next clip")),
    Shortcut("clips", ("Ctrl+1",), QT_TRANSLATE_NOOP("Shortcut", "Go to the clips")),
    Shortcut("filter_clips", ("Ctrl+F",), QT_TRANSLATE_NOOP("Shortcut", "Filter the clips")),
    Shortcut("toggle_clips", ("Ctrl+B",), QT_TRANSLATE_NOOP("Shortcut", "Show or hide the clips")),
    Shortcut("queue", ("Ctrl+K",), QT_TRANSLATE_NOOP("Shortcut", "Show or hide the queue")),
    Shortcut("history", ("Ctrl+H",), QT_TRANSLATE_NOOP("Shortcut", "Show or hide the history")),
    Shortcut("show_in_folder", ("Ctrl+Shift+F",), QT_TRANSLATE_NOOP("Shortcut", "Show the files in their folder")),
    Shortcut("reload", ("F5",), QT_TRANSLATE_NOOP("Shortcut", "Read the clips again")),
    Shortcut("render", ("Ctrl+E",), QT_TRANSLATE_NOOP("Shortcut", "Render the clip in the host, with its effects")),
    Shortcut("open", ("Ctrl+O",), QT_TRANSLATE_NOOP("Shortcut", "Open a file or an edit")),
    Shortcut("watch", ("Ctrl+Shift+W",), QT_TRANSLATE_NOOP("Shortcut", "Watch a folder, or stop watching")),
    Shortcut("settings", ("Ctrl+,",), QT_TRANSLATE_NOOP("Shortcut", "Settings")),
    Shortcut("help", ("F1", "?"), QT_TRANSLATE_NOOP("Shortcut", "Keyboard shortcuts")),
)


KEY_SETS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "stemline": {},
    "resolve": {
        "previous_clip": ("Up", "PgUp"),
        "next_clip": ("Down", "PgDown"),
        "zoom_in": ("Ctrl+=",),
        "zoom_out": ("Ctrl+-",),
        "zoom_selection": ("Shift+Z",),
        "loop": ("Ctrl+/",),
        "select_sound": ("X",),
    },
    "premiere": {
        "previous_clip": ("Up", "PgUp"),
        "next_clip": ("Down", "PgDown"),
        "zoom_in": ("=",),
        "zoom_out": ("-",),
        "mark_minus": ("N",),
        "zoom_selection": ("\\",),
    },
    "avid": {
        "previous_clip": ("A", "PgUp"),
        "next_clip": ("S", "PgDown"),
        "set_in": ("I", "E"),
        "set_out": ("O", "R"),
        "match_loudness": ("Shift+E",),
        "zoom_in": ("Ctrl+]",),
        "zoom_out": ("Ctrl+[",),
        "zoom_selection": ("Ctrl+/",),
        "redo": ("Ctrl+Y", "Ctrl+Shift+Z"),
    },
}
"""Keys that differ from those of `SHORTCUTS`, for users of other programs."""


def keys_of(shortcut: Shortcut, key_set: str) -> tuple[str, ...]:
    """Return the keys of an action in a key set."""
    return KEY_SETS.get(key_set, {}).get(shortcut.action, shortcut.keys)
