# SPDX-License-Identifier: GPL-3.0-or-later
"""The prompt line, with the history and the presets."""

from __future__ import annotations

from functools import partial
from typing import Any

from PyQt5.QtCore import QEvent, QPoint, QStringListModel, Qt, pyqtSignal
from PyQt5.QtWidgets import QCompleter, QLineEdit, QMenu, QWidget

from stemline.errors import StemlineError
from stemline.presets import BUILT_IN, Preset, own_presets
from stemline.prompts import MAX_TEXT_CHARACTERS
from stemline_panel.model.formatting import translate
from stemline_panel.model.history import PromptHistory
from stemline_panel.widgets.layout import button, row

_MAX_OFFERED = 12


class PromptLine(QWidget):
    """A line for the prompt.

    Typing searches the history, and the down arrow opens it. `entered` is emitted for Enter, and `left` for Escape,
    after which keys are shortcuts again.
    """

    edited = pyqtSignal(str)
    left = pyqtSignal()
    entered = pyqtSignal()
    preset_chosen = pyqtSignal(object)
    prompt_chosen = pyqtSignal(str)
    save_wanted = pyqtSignal()
    remove_wanted = pyqtSignal(str)
    import_wanted = pyqtSignal()
    export_wanted = pyqtSignal()

    def __init__(self, history: PromptHistory) -> None:
        """Build the line on a history."""
        super().__init__()
        self._history = history
        self.edit = QLineEdit()
        self.edit.setPlaceholderText(self.tr("For example: dog barking"))
        self.edit.setAccessibleName(self.tr("Prompt"))
        self.edit.setMaxLength(MAX_TEXT_CHARACTERS)
        self.edit.setClearButtonEnabled(True)
        self._model = QStringListModel(self)
        self._completer = QCompleter(self._model, self)
        self._completer.setCompletionMode(QCompleter.UnfilteredPopupCompletion)
        self._completer.setMaxVisibleItems(_MAX_OFFERED)
        self.edit.setCompleter(self._completer)
        self.edit.textEdited.connect(self._search)
        self.edit.returnPressed.connect(self.entered.emit)
        self._completer.activated.connect(self.edited.emit)
        self.edit.installEventFilter(self)
        tip = self.tr("Presets and earlier prompts (Ctrl+P)")
        self._presets = button(self.tr("Presets"), tip, self.show_presets)
        self.setLayout(row(self.edit, self._presets))

    def show_text(self, text: str) -> None:
        """Replace the text without moving the cursor if it is the same."""
        if self.edit.text() != text:
            self.edit.setText(text)

    def offered(self) -> list[str]:
        """Return the prompts in the list below the line."""
        return self._model.stringList()

    def show_history(self) -> None:
        """Open the earlier prompts that match the text, or all of them if none does."""
        self._model.setStringList(self._history.search(self.edit.text()) or self._history.search())
        self._completer.complete()

    def show_presets(self) -> None:
        """Open the menu of presets."""
        self.presets_menu().exec_(self._presets.mapToGlobal(QPoint(0, self._presets.height())))

    def presets_menu(self) -> QMenu:
        """Return the menu of presets and earlier prompts."""
        menu = QMenu(self)
        own, problem = _own_presets()
        names = {preset.name.casefold() for preset in own}
        for preset in (*own, *(preset for preset in BUILT_IN if preset.name.casefold() not in names)):
            text = translate("Preset", preset.name) if preset in BUILT_IN else preset.name
            menu.addAction(text, partial(self.preset_chosen.emit, preset))
        menu.addSeparator()
        if problem:
            menu.addAction(problem).setEnabled(False)
        menu.addAction(self.tr("Save as preset…"), self.save_wanted.emit)
        if own:
            removed = menu.addMenu(self.tr("Remove a preset"))
            for preset in own:
                removed.addAction(preset.name, partial(self.remove_wanted.emit, preset.name))
        menu.addAction(self.tr("Import presets…"), self.import_wanted.emit)
        menu.addAction(self.tr("Export presets…"), self.export_wanted.emit)
        if used := self._history.search()[:_MAX_OFFERED]:
            menu.addSeparator()
            for text in used:
                menu.addAction(text, partial(self.prompt_chosen.emit, text))
            menu.addSeparator()
            menu.addAction(self.tr("Clear history"), self._history.clear)
        return menu

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Open the history on Down and leave on Escape, unless the list is open."""
        if event.type() != QEvent.KeyPress or self._completer.popup().isVisible():
            return False
        handler = {Qt.Key_Down: self.show_history, Qt.Key_Escape: self.left.emit}.get(event.key())
        if handler is not None:
            handler()
        return handler is not None

    def _search(self, text: str) -> None:
        self._model.setStringList(self._history.search(text)[:_MAX_OFFERED] if text.strip() else [])
        self.edited.emit(text)


def _own_presets() -> tuple[tuple[Preset, ...], str]:
    """Return the user's own presets, or a sentence on why they cannot be read."""
    try:
        return own_presets(), ""
    except StemlineError as error:
        return (), str(error)
