# SPDX-License-Identifier: GPL-3.0-or-later
"""The request: isolate, remove or split; the prompt; the stems; and the main button."""

from __future__ import annotations

from functools import partial

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QButtonGroup, QPushButton, QVBoxLayout, QWidget

from stemline import PromptCheck
from stemline_panel.model.history import PromptHistory
from stemline_panel.model.session import Action, PrimaryAction, Verb
from stemline_panel.widgets.layout import button, column, label, row_widget
from stemline_panel.widgets.prompt_line import PromptLine
from stemline_panel.widgets.stem_list import StemListView
from stemline_panel.widgets.suggestion_chips import SuggestionChips
from stemline_panel.widgets.word_check import WordCheck

_HINT_LINES = 3


class PromptBox(QWidget):
    """The right side of the window. `verb_chosen` has a Verb; `primary_pressed` is the main button.

    `consent` is a line for prompts that name a person, `words` a note about words that the model does not know.
    `foot` is a widget apart, with the main button and its hint: it stays in view while the rest is scrolled.
    """

    verb_chosen = pyqtSignal(object)
    primary_pressed = pyqtSignal()
    audition_wanted = pyqtSignal()
    consent_dismissed = pyqtSignal()
    sounds_wanted = pyqtSignal()

    def __init__(self, history: PromptHistory) -> None:
        """Build all widgets."""
        super().__init__()
        self._verbs = QButtonGroup(self)
        self.verb_buttons: dict[Verb, QPushButton] = {}
        for verb in Verb:
            made = button(verb.label, f"{self._verb_hint(verb)} (Ctrl+T)", partial(self.verb_chosen.emit, verb))
            made.setCheckable(True)
            self._verbs.addButton(made)
            self.verb_buttons[verb] = made
        self.prompt = PromptLine(history)
        self.words = WordCheck(self.prompt.edit)
        tip = self.tr("List the sounds that the model knows by name")
        self.known_sounds = button(self.tr("Known sounds"), tip, self.sounds_wanted.emit, "link")
        self.suggestions = SuggestionChips()
        self.consent = row_widget(
            label(self.tr("Isolating a person's voice? Get their consent."), "dim", wrap=True),
            button("✕", self.tr("Never show this again"), self.consent_dismissed.emit),
            grow=0,
        )
        self.consent.hide()
        self.stems = StemListView()
        tip = self.tr("Try it on a few seconds around the playhead (Ctrl+R)")
        self.audition = button(self.tr("Audition"), tip, self.audition_wanted.emit)
        self.primary = button("", "", self.primary_pressed.emit, "primary")
        self.primary.most_pixels = 0
        self._shown: PrimaryAction | None = None
        self._needs = ""
        self._hint = label("", "dim", wrap=True)
        self._hint.setAlignment(Qt.AlignTop)
        self._hint.setFixedHeight(self._hint.fontMetrics().lineSpacing() * _HINT_LINES)
        self.foot = QWidget()
        self.foot.setLayout(column(row_widget(self.audition, self.primary, grow=1), self._hint))
        layout: QVBoxLayout = column(
            row_widget(*self.verb_buttons.values(), spacing=0),
            row_widget(label(self.tr("PROMPT"), "caption"), 1, self.known_sounds, spacing=0),
            self.prompt,
            self.words,
            self.consent,
            self.suggestions,
            row_widget(
                label(self.tr("STEMS IN THIS RUN"), "caption"),
                1,
                label(self.tr("IN THEIR PLACE"), "caption"),
                spacing=0,
            ),
            self.stems,
        )
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)

    def show_words(self, check: PromptCheck | None, *, has_marks: bool) -> None:
        """Show what is wrong with the words of the prompt, in the place of the hint: the window does not grow."""
        self.words.show_check(check, has_marks=has_marks)
        self._hint.setVisible(self.words.isHidden())

    def show_verb(self, verb: Verb) -> None:
        """Check the button of a verb."""
        self.verb_buttons[verb].setChecked(True)

    def show_primary(self, shown: PrimaryAction) -> None:
        """Show the main button and the hint below it."""
        self.primary.setText(shown.label)
        self.primary.setEnabled(shown.action is not Action.NOTHING)
        self.primary.setToolTip(f"{shown.hint or shown.label} (Ctrl+Return)")
        self.primary.setAccessibleName(shown.label)
        if self.primary.property("action") != shown.action.value:
            self.primary.setProperty("action", shown.action.value)
            self.primary.style().unpolish(self.primary)
            self.primary.style().polish(self.primary)
        self._shown = shown
        self._show_hint()

    def show_needs(self, text: str) -> None:
        """Show below the main button what the next run needs; nothing while the button does something else."""
        self._needs = text
        self._show_hint()

    def _show_hint(self) -> None:
        separates = self._shown is not None and self._shown.action is Action.SEPARATE
        hint = self._shown.hint if self._shown is not None else ""
        text = f"{self._needs} {hint}".strip() if separates else hint
        self._hint.setText(text)
        self._hint.setToolTip(text)

    def _verb_hint(self, verb: Verb) -> str:
        return {
            Verb.ISOLATE: self.tr("Play only the sounds that you name"),
            Verb.REMOVE: self.tr("Play everything except the sounds that you name"),
            Verb.SPLIT: self.tr("Play the sounds that you name and the rest, on separate tracks"),
        }[verb]
