# SPDX-License-Identifier: GPL-3.0-or-later
"""The dialog for what takes the place of a sound: words, gain, place, room, and lowering under another stem."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QSpinBox,
    QWidget,
)

from stemline.client.generation import SoundGenerator
from stemline.errors import UsageError
from stemline.options import MAX_TAKES
from stemline.workflow.replacing import MAX_GAIN_DB, Replace, parse_room_range
from stemline_panel.model.formatting import translate

_LOWEST_DB = -48.0
_MAX_NUDGE_MS = 60_000


class FillDialog(QDialog):
    """Edits a copy of a fill; `chosen` returns it. Room tone has gain, mode and the range to learn from."""

    def __init__(
        self,
        stem: str,
        fill: Replace,
        others: Sequence[str],
        *,
        from_words: bool,
        generators: Sequence[SoundGenerator] = (),
        parent: QWidget | None = None,
    ) -> None:
        """Show a fill.

        Args:
            stem: Name of the stem whose place it takes.
            fill: The fill.
            others: Names of the other stems, under which it can be lowered.
            from_words: Whether its sound is made from words.
            generators: Generators of the server.
            parent: Parent window.
        """
        super().__init__(parent)
        self.setWindowTitle(self.tr("In place of {stem}").format(stem=stem))
        self.setMinimumWidth(460)
        self._fill = fill
        self.words = QLineEdit(fill.words)
        self.words.setPlaceholderText(self.tr("gentle cafe ambience"))
        self.takes = QSpinBox()
        self.takes.setRange(1, MAX_TAKES)
        self.takes.setValue(fill.takes)
        self.generator = self._generator_choice(generators, fill.generator)
        self.vary = _spin_box(0, 100, 0 if fill.vary is None else fill.vary * 100, " %")
        self.vary.setSpecialValueText(self.tr("No: from words alone"))
        self.gain = _spin_box(_LOWEST_DB, MAX_GAIN_DB, fill.gain_db, " dB")
        marked = [] if fill.room_from is None else [f"{float(time):g}" for time in fill.room_from]
        self.room_from = QLineEdit("..".join(marked))
        self.room_from.setPlaceholderText(self.tr("in the pauses of the sound; or seconds, such as 12..15.5"))
        self._make_placement(fill, others)
        self._lay_out(from_words=from_words)

    def _generator_choice(self, generators: Sequence[SoundGenerator], chosen: str) -> QComboBox:
        """Return a list of generators, each with its licence in the tooltip."""
        known = [(made.id, _generator_title(made)) for made in generators]
        known += [(chosen, chosen)] if chosen and chosen not in dict(known) else []
        box = _combo_box([("", self.tr("Default of the server")), *known], chosen)
        box.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        for number, made in enumerate(generators, 1):
            tip = self.tr("Licence: {licence}. Commercial use: {use}. {note}")
            text = tip.format(licence=made.licence, use=made.commercial, note=made.note)
            box.setItemData(number, text.strip(), Qt.ToolTipRole)
        return box

    def _make_placement(self, fill: Replace, others: Sequence[str]) -> None:
        """Make the widgets of where and how a fill is heard."""
        self.mode = _combo_box(
            [
                ("", self.tr("Automatic")),
                ("instead", self.tr("Instead of the residual")),
                ("under", self.tr("Under the residual")),
            ],
            "" if fill.instead is None else "instead" if fill.instead else "under",
        )
        self.at = _combo_box(
            [
                ("auto", self.tr("Automatic")),
                ("onset", self.tr("Once on each event")),
                ("span", self.tr("Where the sound was")),
                ("clip", self.tr("Throughout the clip")),
            ],
            fill.at,
        )
        self.nudge = _spin_box(-_MAX_NUDGE_MS, _MAX_NUDGE_MS, fill.nudge_s * 1000, " ms")
        self.equal = _spin_box(0, 100, fill.match_eq * 100, " %")
        rooms = [("", self.tr("None")), ("small", self.tr("Small"))]
        rooms += [("medium", self.tr("Medium")), ("large", self.tr("Large"))]
        if fill.room not in dict(rooms):
            rooms.append((fill.room, fill.room))
        self.room = _combo_box(rooms, fill.room)
        self.duck = _combo_box([("", self.tr("No")), *((name, name) for name in others)], fill.duck)
        self.duck_db = _spin_box(_LOWEST_DB, 0, fill.duck_db, " dB")

    def chosen(self) -> Replace:
        """Return the fill as it is in the dialog. Raises UsageError for words or a range that cannot be used."""
        mode = self.mode.currentData()
        marked = self.room_from.text().strip()
        words = self.words.text().strip()
        return dataclasses.replace(
            self._fill,
            words=words,
            takes=self.takes.value() if words else 1,
            generator=self.generator.currentData() if words else "",
            vary=self.vary.value() / 100 if words and self.vary.value() else None,
            gain_db=self.gain.value(),
            instead=None if not mode else mode == "instead",
            at=self.at.currentData(),
            nudge_s=self.nudge.value() / 1000,
            match_eq=self.equal.value() / 100,
            room=self.room.currentData(),
            duck=self.duck.currentData(),
            duck_db=self.duck_db.value(),
            room_from=parse_room_range(marked) if marked and not (words or self._fill.path) else None,
        )

    def accept(self) -> None:
        """Close the dialog if its values can be used; else say why not."""
        try:
            self.chosen()
        except UsageError as error:
            QMessageBox.warning(self, self.windowTitle(), str(error))
            return
        super().accept()

    def _lay_out(self, *, from_words: bool) -> None:
        form = QFormLayout(self)
        rows: list[tuple[str, QWidget]] = []
        if from_words:
            rows += [
                (self.tr("Words"), self.words),
                (self.tr("Takes"), self.takes),
                (self.tr("Vary the removed sound"), self.vary),
                (self.tr("Generator"), self.generator),
            ]
        rows += [(self.tr("Gain"), self.gain), (self.tr("Residual"), self.mode)]
        if not from_words and not self._fill.path:
            rows.append((self.tr("Learn from"), self.room_from))
        if from_words or self._fill.path:
            rows += [
                (self.tr("Place"), self.at),
                (self.tr("Nudge"), self.nudge),
                (self.tr("Equalise like the sound"), self.equal),
                (self.tr("Room"), self.room),
            ]
        rows += [(self.tr("Lower under"), self.duck), (self.tr("By"), self.duck_db)]
        for title, widget in rows:
            label = QLabel(title)
            label.setBuddy(widget)
            widget.setAccessibleName(title)
            form.addRow(label, widget)
        box = QDialogButtonBox(QDialogButtonBox.Ok | QDialogButtonBox.Cancel)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        form.addRow(box)


def _generator_title(generator: SoundGenerator) -> str:
    if generator.available:
        return f"{generator.id}: {generator.title}"
    text = translate("FillDialog", "{generator} (cannot run here: {note})")
    return text.format(generator=generator.id, note=generator.note)


def _spin_box(low: float, high: float, value: float, suffix: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setDecimals(1)
    box.setSuffix(suffix)
    box.setValue(value)
    return box


def _combo_box(choices: Sequence[tuple[str, str]], chosen: str) -> QComboBox:
    box = QComboBox()
    for value, title in choices:
        box.addItem(title, value)
    box.setCurrentIndex(max(0, box.findData(chosen)))
    return box
