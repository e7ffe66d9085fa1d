# SPDX-License-Identifier: GPL-3.0-or-later
"""Chips with the sounds that are heard in the shown clip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QApplication, QPushButton, QWidget

from stemline import Suggestion
from stemline_panel.widgets.layout import button, column, row_widget

_IN_A_ROW = 3
_MAX_CHIPS = 9


class SuggestionChips(QWidget):
    """Buttons that ask what is heard and where a marked voice speaks, and a chip for each sound.

    `wanted` and `voice_wanted` are emitted for the buttons. `chosen` has a `Suggestion` and whether its spans are to be
    marks: they are unless Shift is held.
    """

    wanted = pyqtSignal()
    voice_wanted = pyqtSignal()
    chosen = pyqtSignal(object, bool)

    def __init__(self) -> None:
        """Build the button without chips."""
        super().__init__()
        tip = self.tr("List the sounds that are heard in this clip")
        self.ask = button(self.tr("What is in here?"), tip, self.wanted.emit)
        self.chips: list[QPushButton] = []
        self._rows: list[QWidget] = []
        tip = self.tr("Mark all turns of the marked voice; first mark each speaker in a separate stem")
        self.find_voice = button(self.tr("Find this voice"), tip, self.voice_wanted.emit)
        self._layout = column(row_widget(self.ask, self.find_voice))
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(self._layout)

    def show_busy(self, text: str) -> None:
        """Show what is being done, and take no further request."""
        self.ask.setText(text)
        self._enable(False)

    def show_idle(self) -> None:
        """Take requests again."""
        self.ask.setText(self.tr("What is in here?"))
        self._enable(True)

    def show_suggestions(self, suggestions: Sequence[Suggestion], there: Sequence[Suggestion] = ()) -> None:
        """Show a chip for each suggestion, and take requests again. `there`: those heard at an object."""
        self.show_idle()
        for made in self._rows:
            self._layout.removeWidget(made)
            made.deleteLater()
        self.chips = [self._chip(one, is_there=one in there) for one in suggestions[:_MAX_CHIPS]]
        groups = [self.chips[at : at + _IN_A_ROW] for at in range(0, len(self.chips), _IN_A_ROW)]
        self._rows = [row_widget(*group) for group in groups]
        for made in self._rows:
            self._layout.addWidget(made)

    def _enable(self, on: bool) -> None:
        for one in (self.ask, self.find_voice):
            one.setEnabled(on)

    def _chip(self, suggestion: Suggestion, *, is_there: bool) -> QPushButton:
        times = len(suggestion.spans)
        tip = self.tr("Ask for {sound} and mark where it is heard ({count} places). Hold Shift for the words alone.")
        if is_there:
            tip += " " + self.tr("It is heard where the marked object stops.")
        text = f"{suggestion.sound} {suggestion.likelihood:.0%}"
        chip = button(text, tip.format(sound=suggestion.sound, count=times), partial(self._choose, suggestion))
        chip.setAccessibleName(text)
        return chip

    def _choose(self, suggestion: Suggestion) -> None:
        self.chosen.emit(suggestion, not QApplication.keyboardModifiers() & Qt.ShiftModifier)
