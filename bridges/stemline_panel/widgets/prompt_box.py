# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted: isolate, remove or split; the words; the stems; and the one big button."""

from __future__ import annotations

from functools import partial

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QButtonGroup, QPushButton, QVBoxLayout, QWidget

from stemline_panel.model.history import PromptHistory
from stemline_panel.model.session import Action, PrimaryAction, Verb
from stemline_panel.widgets.layout import button, column, label, row
from stemline_panel.widgets.prompt_line import PromptLine
from stemline_panel.widgets.stem_list import StemListView

_HINT_LINES = 4
_HINTS = {
    Verb.ISOLATE: "Only what you name plays afterwards",
    Verb.REMOVE: "All but what you name plays afterwards",
    Verb.SPLIT: "What you name and the rest both play, on tracks of their own",
}


class PromptBox(QWidget):
    verb_chosen = pyqtSignal(object)
    pressed = pyqtSignal()
    audition_wanted = pyqtSignal()

    def __init__(self, history: PromptHistory) -> None:
        super().__init__()
        self._verbs = QButtonGroup(self)
        self.verb_buttons: dict[Verb, QPushButton] = {}
        for verb in Verb:
            made = button(verb.word, f"{_HINTS[verb]} (Ctrl+T)", partial(self.verb_chosen.emit, verb))
            made.setCheckable(True)
            self._verbs.addButton(made)
            self.verb_buttons[verb] = made
        self.prompt = PromptLine(history)
        self.stems = StemListView()
        self.audition = button(
            "Audition", "Try it on a few seconds around the playhead (Ctrl+R)", self.audition_wanted.emit
        )
        self.primary = button("", "", self.pressed.emit, "primary")
        self.primary.most_pixels = 0
        self._hint = label("", "dim", wrap=True)
        self._hint.setAlignment(Qt.AlignTop)
        self._hint.setFixedHeight(self._hint.fontMetrics().lineSpacing() * _HINT_LINES)
        verbs = QWidget()
        verbs.setLayout(row(*self.verb_buttons.values(), spacing=0))
        layout: QVBoxLayout = column(
            verbs,
            label("WORDS", "caption"),
            self.prompt,
            label("STEMS IN THIS RUN", "caption"),
            self.stems,
            1,
            self.audition,
            self.primary,
            self._hint,
        )
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)

    def show_verb(self, verb: Verb) -> None:
        self.verb_buttons[verb].setChecked(True)

    def show_primary(self, shown: PrimaryAction) -> None:
        self.primary.setText(shown.label)
        self.primary.setEnabled(shown.action is not Action.NOTHING)
        self.primary.setToolTip(f"{shown.hint} (Ctrl+Return)".strip())
        if self.primary.property("action") != shown.action.value:
            self.primary.setProperty("action", shown.action.value)
            self.primary.style().unpolish(self.primary)
            self.primary.style().polish(self.primary)
        self._hint.setText(shown.hint)
        self._hint.setToolTip(shown.hint)
