# SPDX-License-Identifier: GPL-3.0-or-later
"""Every action once, with its keys, in the menus and on the window."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PyQt5.QtGui import QKeySequence
from PyQt5.QtWidgets import QAction

from stemline_panel.model.shortcuts import SHORTCUTS
from stemline_panel.widgets.main_window import MainWindow

_MENUS = {
    "File": ("open", "reload", "render", "previous_clip", "next_clip", None, "copy_job", "settings"),
    "Listen": (
        "play", "loop", "toggle_ab", "match_loudness", None, "back", "forward", "start", "end", None,
        "zoom_in", "zoom_out", "zoom_selection",
    ),
    "Mark": ("select_sound", "set_in", "set_out", None, "mark_plus", "mark_minus", "flip_mark", "delete_mark", "undo"),
    "Separate": (
        "prompt", "presets", "add_stem", "remove_stem", "next_verb", None, "audition", "primary", "stop", "take_back",
    ),
    "Help": ("help",),
}  # fmt: skip


def bind_actions(window: MainWindow, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """An action for each shortcut. Raises KeyError where one has no handler."""
    actions: dict[str, QAction] = {}
    for short in SHORTCUTS:
        action = QAction(short.words, window)
        action.setShortcuts([QKeySequence(key) for key in short.keys])
        handler = handlers[short.action]
        action.triggered.connect(lambda _, call=handler: call())
        window.addAction(action)
        actions[short.action] = action
    for title, names in _MENUS.items():
        menu = window.menus.addMenu(title)
        for name in names:
            if name is None:
                menu.addSeparator()
            else:
                menu.addAction(actions[name])
    return actions
