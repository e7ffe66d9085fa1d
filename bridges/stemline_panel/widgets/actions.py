# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions with their shortcuts, in the menus and on the window."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PyQt5.QtCore import QT_TRANSLATE_NOOP
from PyQt5.QtGui import QKeySequence
from PyQt5.QtWidgets import QAction, QMenu

from stemline_panel.model.formatting import translate
from stemline_panel.model.shortcuts import SHORTCUTS, keys_of
from stemline_panel.widgets.main_window import MainWindow

Handlers = dict[str, Callable[[], object]]
"""What each action does, by its name in `model.shortcuts`."""

_MARK_MENU = ("select_sound", "mark_plus", "mark_minus", "flip_mark", "delete_mark", "zoom_selection")
_MENUS = {
    QT_TRANSLATE_NOOP("Menu", "File"): (
        "open", "watch", "reload", "render", None, "show_in_folder", "copy_job", "settings",
    ),
    QT_TRANSLATE_NOOP("Menu", "Edit"): ("undo", "redo"),
    QT_TRANSLATE_NOOP("Menu", "View"): (
        "clips", "filter_clips", "previous_clip", "next_clip", None, "toggle_clips", "queue", "history",
    ),
    QT_TRANSLATE_NOOP("Menu", "Listen"): (
        "play", "shuttle_back", "pause", "shuttle_forward", "loop", None,
        "toggle_ab", "match_loudness", None, "back", "forward", "start", "end", None,
        "zoom_in", "zoom_out", "zoom_selection",
    ),
    QT_TRANSLATE_NOOP("Menu", "Mark"): (
        "select_sound", "set_in", "set_out", None, "mark_plus", "mark_minus", "flip_mark", "delete_mark",
    ),
    QT_TRANSLATE_NOOP("Menu", "Separate"): (
        "prompt", "presets", "add_stem", "remove_stem", "next_verb", None, "audition", "primary", "stop",
        None, "take_back", "take_back_clips", "take_back_all",
    ),
    QT_TRANSLATE_NOOP("Menu", "Help"): ("help",),
}  # fmt: skip


def set_keys(actions: Mapping[str, QAction], key_set: str) -> None:
    """Give the actions the keys of a key set."""
    for shortcut in SHORTCUTS:
        actions[shortcut.action].setShortcuts([QKeySequence(key) for key in keys_of(shortcut, key_set)])


def bind_actions(window: MainWindow, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """Create an action for each shortcut, and the menus. Raises KeyError if an action has no handler."""
    actions: dict[str, QAction] = {}
    for shortcut in SHORTCUTS:
        action = QAction(shortcut.label, window)
        action.setShortcuts([QKeySequence(key) for key in shortcut.keys])
        handler = handlers[shortcut.action]
        action.triggered.connect(lambda _, call=handler: call())
        window.addAction(action)
        actions[shortcut.action] = action
    for title, names in _MENUS.items():
        menu = window.menus.addMenu(translate("Menu", title))
        for name in names:
            if name is None:
                menu.addSeparator()
            else:
                menu.addAction(actions[name])
    return actions


def mark_menu(window: MainWindow, actions: Mapping[str, QAction]) -> QMenu:
    """Return a menu of what can be done with marks, by the actions of `bind_actions`."""
    menu = QMenu(window)
    for name in _MARK_MENU:
        menu.addAction(actions[name])
    return menu
