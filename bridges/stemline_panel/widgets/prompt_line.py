# SPDX-License-Identifier: GPL-3.0-or-later
"""The line for words, with what was asked before and presets below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt5.QtCore import QEvent, QPoint, QStringListModel, Qt, pyqtSignal
from PyQt5.QtWidgets import QCompleter, QLineEdit, QMenu, QWidget

from stemline.prompts import MAX_TEXT_CHARACTERS
from stemline_panel.model.history import PRESETS, Preset, PromptHistory
from stemline_panel.widgets.layout import button, row

_OFFERED = 12


class PromptLine(QWidget):
    """Typing searches the history; the arrow down opens it; Enter asks for it; Escape tells `left`: the keys are to act
    again instead of typing."""

    edited = pyqtSignal(str)
    left = pyqtSignal()
    entered = pyqtSignal()
    preset_chosen = pyqtSignal(object)

    def __init__(self, history: PromptHistory) -> None:
        super().__init__()
        self._history = history
        self.edit = QLineEdit()
        self.edit.setPlaceholderText("Such as: dog barking")
        self.edit.setAccessibleName("Prompt")
        self.edit.setMaxLength(MAX_TEXT_CHARACTERS)
        self.edit.setClearButtonEnabled(True)
        self._model = QStringListModel(self)
        self._completer = QCompleter(self._model, self)
        self._completer.setCompletionMode(QCompleter.UnfilteredPopupCompletion)
        self._completer.setMaxVisibleItems(_OFFERED)
        self.edit.setCompleter(self._completer)
        self.edit.textEdited.connect(self._typed)
        self.edit.returnPressed.connect(self.entered.emit)
        self._completer.activated.connect(self.edited.emit)
        self.edit.installEventFilter(self)
        self._presets = button("Presets", "Prompts that are used most (Ctrl+P)", self.show_presets)
        self.setLayout(row(self.edit, self._presets))

    def show_text(self, text: str) -> None:
        if self.edit.text() != text:
            self.edit.setText(text)

    def offered(self) -> list[str]:
        """What the list below the line holds now."""
        return self._model.stringList()

    def show_history(self) -> None:
        """All of the history that fits what is typed."""
        self._model.setStringList(self._history.search(self.edit.text()) or self._history.search())
        self._completer.complete()

    def show_presets(self) -> None:
        self.presets_menu().exec_(self._presets.mapToGlobal(QPoint(0, self._presets.height())))

    def presets_menu(self) -> QMenu:
        menu = QMenu(self)
        for preset in PRESETS:
            menu.addAction(preset.title, self._choice(preset))
        if used := self._history.search()[:_OFFERED]:
            menu.addSeparator()
            for text in used:
                menu.addAction(text, self._choice(Preset(text, ((text, text),))))
            menu.addSeparator()
            menu.addAction("Forget these prompts", self._history.clear)
        return menu

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if event.type() != QEvent.KeyPress or self._completer.popup().isVisible():
            return False
        does = {Qt.Key_Down: self.show_history, Qt.Key_Escape: self.left.emit}.get(event.key())
        if does is not None:
            does()
        return does is not None

    def _typed(self, text: str) -> None:
        self._model.setStringList(self._history.search(text)[:_OFFERED] if text.strip() else [])
        self.edited.emit(text)

    def _choice(self, preset: Preset) -> Callable[[], None]:
        return lambda: self.preset_chosen.emit(preset)
