# SPDX-License-Identifier: GPL-3.0-or-later
"""What is rarely changed: model, quality, channels, where stems go."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QWidget,
)

from stemline.client import Model
from stemline_panel.model.settings import AUDITION_LENGTHS_S, PanelSettings, typed_folder
from stemline_panel.widgets.buttons import CheckBox
from stemline_panel.widgets.layout import button, label, row

_QUALITIES = (("fast", "Fast"), ("standard", "Standard"), ("best", "Best"))
_CHANNELS = (
    ("linked", "Linked: one estimate, panning stays"),
    ("each", "Each channel on its own (lav and boom)"),
    ("mono", "Fold down to mono"),
)
_FORMATS = (
    ("", "24 bit, or float where the media holds more"),
    ("wav24", "WAV, 24 bit"),
    ("wav32f", "WAV, 32-bit float"),
    ("flac", "FLAC, 24 bit"),
)


class SettingsDialog(QDialog):
    """Shows a copy of the settings; `chosen()` is what stands there when it is accepted."""

    def __init__(
        self, settings: PanelSettings, models: Sequence[Model], folder: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Settings")
        self.setMinimumWidth(620)
        known = [("", "The server's own"), *((model.id, _model_words(model)) for model in models)]
        self._model = _choice(known, settings.model)
        self._quality = _choice(_QUALITIES, settings.quality)
        self._channels = _choice(_CHANNELS, settings.channels)
        self._format = _choice(_FORMATS, settings.sample_format)
        self._audition = _choice([(str(s), f"{s} seconds") for s in AUDITION_LENGTHS_S], str(settings.audition_s))
        self._chain = _tick("Take each stem from what the ones before it left", on=settings.chain)
        self._disable = _tick("Disable the original clips when stems are applied", on=settings.disable_originals)
        self._folder = QLineEdit(settings.output_dir)
        self._folder.setPlaceholderText(folder)
        self._matched = settings.loudness_matched
        self._lay_out()

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        for words, widget in (
            ("Model", self._model),
            ("Quality", self._quality),
            ("Channels", self._channels),
            ("Stem files", self._format),
            ("Audition", self._audition),
            ("", self._chain),
            ("", self._disable),
        ):
            form.addRow(words, widget)
        form.addRow("Folder", row(self._folder, button("Choose…", "Choose the folder for stems", self._choose)))
        form.addRow("", label("Empty: the folder that is shown in grey.", "dim"))
        buttons = QDialogButtonBox(QDialogButtonBox.Ok | QDialogButtonBox.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)

    def chosen(self) -> PanelSettings:
        return PanelSettings(
            model=self._model.currentData(),
            quality=self._quality.currentData(),
            channels=self._channels.currentData(),
            sample_format=self._format.currentData(),
            chain=self._chain.isChecked(),
            disable_originals=self._disable.isChecked(),
            output_dir=typed_folder(self._folder.text()),
            audition_s=int(self._audition.currentData()),
            loudness_matched=self._matched,
        )

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder for stems", self._folder.text())
        if folder:
            self._folder.setText(folder)


def _choice(options: Sequence[tuple[str, str]], chosen: str) -> QComboBox:
    box = QComboBox()
    for value, words in options:
        box.addItem(words, value)
    box.setCurrentIndex(max(0, box.findData(chosen)))
    return box


def _tick(words: str, *, on: bool) -> CheckBox:
    box = CheckBox(words)
    box.setChecked(on)
    return box


def _model_words(model: Model) -> str:
    return f"{model.id}: {model.title}" if model.available else f"{model.id} (cannot run here: {model.note})"
