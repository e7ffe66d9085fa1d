# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the words of the prompt while the user types, and lists the sounds that the model knows."""

from __future__ import annotations

from PyQt5.QtCore import QObject, QPoint, pyqtSignal
from PyQt5.QtGui import QCursor
from PyQt5.QtWidgets import QWidget

import stemline
from stemline import KnownSounds, PromptCheck
from stemline.errors import StemlineError
from stemline_panel.model.session import Session
from stemline_panel.widgets.layout import single_shot_timer
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.widgets.word_check import KnownSoundsDialog, WordPopup
from stemline_panel.workers import Worker

_PAUSE_MS = 300

Question = tuple[bool, str | None, str, str]
"""Whether a server is ready, its address, the model, and the text."""


class WordController(QObject):
    """Asks the server about the prompt once the keys have rested. A failed check shows nothing: a run reports it.

    `choosing` is emitted before a proposal or a known sound replaces the text.
    """

    choosing = pyqtSignal()

    def __init__(self, session: Session, window: MainWindow) -> None:
        """Connect the prompt box."""
        super().__init__()
        self._session, self._window = session, window
        self._worker = Worker("words", self)
        self._timer = single_shot_timer(self, _PAUSE_MS)
        self._timer.timeout.connect(self._ask)
        self._question: Question = (False, None, "", "")
        self._check: PromptCheck | None = None
        self._busy = False
        self.dialog: KnownSoundsDialog | None = None
        self._popup: WordPopup | None = None
        window.prompt.words.chosen.connect(self._use)
        window.prompt.sounds_wanted.connect(self.list_sounds)

    def refresh(self) -> None:
        """Take over the text, the model and the marks of the request. The last answer stays until the next one."""
        session = self._session
        text = session.stems.current.text.strip()
        question = session.server_ready, session.server, session.settings.model, text
        if question != self._question:
            self._question = question
            self._timer.start()
        if not text:
            self._check = None
        self._show()

    def list_sounds(self) -> None:
        """Open the list of the sounds that the model knows."""
        _, server, model, _ = self._question
        self._worker.do(
            lambda: stemline.known_sounds(model=model, server=server), self._open_list, self._show_list_error
        )

    def offer_beside(self, picture: QWidget) -> None:
        """Offer a line beside the mouse for the sound of an object that was marked in a picture without any words."""
        if self._session.stems.current.text.strip():
            return
        _, server, model, _ = self._question
        place = picture.mapFromGlobal(QCursor.pos())
        self._worker.do(
            lambda: stemline.known_sounds(model=model, server=server),
            lambda known: self._open_popup(picture, place, known),
            lambda _: None,
        )

    def _open_popup(self, picture: QWidget, place: QPoint, known: KnownSounds) -> None:
        if self._session.stems.current.text.strip() or not picture.isVisible():
            return
        if self._popup is None:
            self._popup = WordPopup(picture)
            self._popup.chosen.connect(self._use)
        self._popup.open_at(place, known)

    def close(self) -> bool:
        """Stop asking. Return True if the thread ended."""
        self._timer.stop()
        return self._worker.close()

    def _ask(self) -> None:
        ready, server, model, text = asked = self._question
        if ready and text and not self._busy:
            self._busy = True
            self._worker.do(
                lambda: stemline.check_prompt(text, model=model, server=server),
                lambda check: self._checked(asked, check),
                lambda _: self._checked(asked, None),
            )

    def _checked(self, asked: Question, check: PromptCheck | None) -> None:
        self._busy = False
        if asked == self._question:
            self._check = check
            self._show()
        elif not self._timer.isActive():
            self._ask()

    def _show(self) -> None:
        self._window.prompt.show_words(self._check, has_marks=len(self._session.stems.current.marks) > 0)

    def _use(self, text: str) -> None:
        prompt = self._window.prompt.prompt
        self.choosing.emit()
        prompt.edited.emit(text)
        prompt.edit.setFocus()

    def _open_list(self, known: KnownSounds) -> None:
        if not known.sounds:
            text = self.tr("The model {model} takes any words.")
            if not known.any_words:
                text = self.tr("The model {model} does not list its sounds.")
            self._window.show_status(text.format(model=known.model))
            return
        self.dialog = KnownSoundsDialog(known, self._window)
        self.dialog.chosen.connect(self._use)
        self.dialog.open()

    def _show_list_error(self, error: StemlineError) -> None:
        self._window.show_status(str(error))
