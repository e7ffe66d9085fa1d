# SPDX-License-Identifier: GPL-3.0-or-later
"""Words for sounds: the note on an unknown prompt, the list of known sounds, and the line beside a mark."""

from __future__ import annotations

from functools import partial

from PyQt5.QtCore import QEvent, QPoint, QStringListModel, Qt, pyqtSignal
from PyQt5.QtWidgets import (
    QCompleter,
    QDialog,
    QFrame,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QWidget,
)

from stemline import KnownSound, KnownSounds, PromptCheck, PromptStatus
from stemline.prompts import MAX_TEXT_CHARACTERS
from stemline_panel.widgets.layout import ElidedLabel, button, column, row_widget

_IN_A_ROW = 3
_MAX_PROPOSALS = 6
_WIDTH, _HEIGHT = 380, 460
_POPUP_WIDTH, _POPUP_DISTANCE = 190, 12


class WordCheck(QWidget):
    """A note about the words of the prompt, and a button for each proposal. `chosen` has the text of a proposal."""

    chosen = pyqtSignal(str)

    def __init__(self, edit: QLineEdit) -> None:
        """Build the note; `edit` gets a mark where the model does not know its text."""
        super().__init__()
        self._edit = edit
        self.note = ElidedLabel("dim")
        self.proposals: list[QPushButton] = []
        self._rows: list[QWidget] = []
        self._layout = column(self.note)
        self.setLayout(self._layout)
        self.hide()

    def show_check(self, check: PromptCheck | None, *, has_marks: bool = False) -> None:
        """Show what is wrong with the words, or nothing. Marked spans are enough for an unknown sound."""
        refused = check is not None and check.status is PromptStatus.REFUSED
        self._mark(refused)
        note = check.message if check is not None else ""
        if check is not None and refused and not check.proposals:
            note = f"{check.message} {check.advice}"
        if check is not None and check.code == "PROMPT_UNKNOWN" and has_marks:
            note = self.tr("This model does not know these words: it uses the marks alone.")
        self.note.setText(note.strip())
        self._edit.setAccessibleDescription(note.strip())
        self._show_proposals(check.proposals if check is not None else ())
        self.setVisible(bool(note))

    def _show_proposals(self, proposals: tuple[str, ...]) -> None:
        if [made.text() for made in self.proposals] == list(proposals[:_MAX_PROPOSALS]):
            return
        for made in self._rows:
            self._layout.removeWidget(made)
            made.deleteLater()
        self.proposals = [self._proposal(text) for text in proposals[:_MAX_PROPOSALS]]
        groups = [self.proposals[at : at + _IN_A_ROW] for at in range(0, len(self.proposals), _IN_A_ROW)]
        self._rows = [row_widget(*group, 1) for group in groups]
        for made in self._rows:
            self._layout.addWidget(made)

    def _proposal(self, text: str) -> QPushButton:
        tip = self.tr("Ask for {sound} instead").format(sound=text)
        return button(text, tip, partial(self.chosen.emit, text), "chip")

    def _mark(self, refused: bool) -> None:
        if bool(self._edit.property("unknown")) != refused:
            self._edit.setProperty("unknown", refused)
            self._edit.style().unpolish(self._edit)
            self._edit.style().polish(self._edit)


class WordPopup(QFrame):
    """A line beside an object that was just marked in the picture, which completes the sounds that the model knows.

    `chosen` has the text after Enter; Escape and a click elsewhere close it without one.
    """

    chosen = pyqtSignal(str)

    def __init__(self, picture: QWidget) -> None:
        """Build the line over a picture, hidden."""
        super().__init__(picture)
        self.setObjectName("card")
        self.edit = QLineEdit()
        self.edit.setPlaceholderText(self.tr("What sounds here?"))
        self.edit.setAccessibleName(self.tr("Name of the marked sound"))
        self.edit.setMaxLength(MAX_TEXT_CHARACTERS)
        self.edit.returnPressed.connect(self._choose)
        self.edit.installEventFilter(self)
        self.completer = QCompleter(self)
        self.completer.setCaseSensitivity(Qt.CaseInsensitive)
        self.completer.setFilterMode(Qt.MatchContains)
        self.edit.setCompleter(self.completer)
        self.setLayout(column(self.edit))
        self.setFixedWidth(_POPUP_WIDTH)
        self.hide()

    def open_at(self, place: QPoint, known: KnownSounds) -> None:
        """Open beside a place in the picture, and complete the names and phrases of a model."""
        words = sorted({word for sound in known.sounds for word in (sound.name, *sound.phrases)})
        self.completer.setModel(QStringListModel(words, self.completer))
        self.edit.clear()
        self.adjustSize()
        room = self.parentWidget().size() - self.size()
        left, top = place.x() + _POPUP_DISTANCE, place.y() + _POPUP_DISTANCE
        self.move(max(0, min(left, room.width())), max(0, min(top, room.height())))
        self.show()
        self.raise_()
        self.edit.setFocus()

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        """Close on Escape, and when the focus goes elsewhere than to the list of words."""
        leaves = event.type() == QEvent.FocusOut and event.reason() != Qt.PopupFocusReason  # type: ignore[attr-defined]
        escapes = event.type() == QEvent.KeyPress and event.key() == Qt.Key_Escape  # type: ignore[attr-defined]
        if leaves or escapes:
            self.hide()
        return escapes

    def _choose(self) -> None:
        text = self.edit.text().strip()
        self.hide()
        if text:
            self.chosen.emit(text)


class KnownSoundsDialog(QDialog):
    """A list of the sounds that a model knows, with a search in names and phrases. `chosen` has the name of one."""

    chosen = pyqtSignal(str)

    def __init__(self, known: KnownSounds, parent: QWidget | None = None) -> None:
        """List the sounds of a model."""
        super().__init__(parent)
        self.setAttribute(Qt.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Sounds that {model} knows").format(model=known.model))
        self._known = known
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search, in any of its languages"))
        self.search.setAccessibleName(self.tr("Search the known sounds"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.search.returnPressed.connect(self._choose)
        self.search.installEventFilter(self)
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Known sounds"))
        self.list.itemActivated.connect(lambda _: self._choose())
        use = button(self.tr("Use it"), self.tr("Ask for the selected sound"), self._choose)
        use.setAutoDefault(False)
        self.setLayout(column(self.search, self.list, row_widget(1, use), margins=10))
        self.resize(_WIDTH, _HEIGHT)
        self._filter("")

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        """Move through the list with the arrow keys while the search has the focus."""
        if event.type() == QEvent.KeyPress and event.key() in (Qt.Key_Down, Qt.Key_Up):  # type: ignore[attr-defined]
            step = 1 if event.key() == Qt.Key_Down else -1  # type: ignore[attr-defined]
            self.list.setCurrentRow(max(0, min(self.list.count() - 1, self.list.currentRow() + step)))
            return True
        return False

    def _filter(self, text: str) -> None:
        wanted = text.strip().casefold()
        self.list.clear()
        for sound in self._known.sounds:
            if wanted in sound.name or any(wanted in phrase for phrase in sound.phrases):
                self.list.addItem(_item(sound))
        self.list.setCurrentRow(0)

    def _choose(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self.chosen.emit(item.data(Qt.UserRole))
            self.accept()


def _item(sound: KnownSound) -> QListWidgetItem:
    item = QListWidgetItem(f"{sound.name}  ({sound.kind})" if sound.kind else sound.name)
    item.setData(Qt.UserRole, sound.name)
    item.setToolTip(", ".join(sound.phrases[:12]))
    return item
