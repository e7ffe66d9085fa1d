# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings dialog: how stems are made and where, keys, sound device, and the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PyQt5.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from stemline.client import Model
from stemline.media.pictures.trackers import CORNERS, list_trackers
from stemline_panel.model.formatting import translate
from stemline_panel.model.settings import AUDITION_LENGTHS_S, PanelSettings, absolute_folder
from stemline_panel.widgets.buttons import CheckBox
from stemline_panel.widgets.layout import button, label, row
from stemline_panel.widgets.server_page import ServerPage, TestServer

_MAX_SEED = 2**31 - 1
_TEST_MODELS = ("noop",)
"""Models for tests and the command line, which separate nothing."""


@dataclass(frozen=True, slots=True)
class SettingsOffers:
    """What the dialog offers: the server's models, the default folder for stems, the sound devices, and a test."""

    models: Sequence[Model]
    folder: str
    devices: Sequence[str] = ()
    test_server: TestServer = lambda *_: None


class SettingsDialog(QDialog):
    """Edits a copy of the settings; `chosen` returns it."""

    def __init__(self, settings: PanelSettings, offers: SettingsOffers, parent: QWidget | None = None) -> None:
        """Show the settings."""
        super().__init__(parent)
        models, folder = offers.models, offers.folder
        self.setWindowTitle(self.tr("Settings"))
        self.setMinimumWidth(620)
        known = [("", self.tr("Server default"))]
        known += [(model.id, _model_label(model)) for model in models if model.id not in _TEST_MODELS]
        self._model = _combo_box(known, settings.model)
        self._quality = _combo_box(_qualities(), settings.quality)
        self._channels = _combo_box(_channel_modes(), settings.channels)
        self._format = _combo_box(_formats(), settings.sample_format)
        seconds = self.tr("{count} seconds")
        self._audition = _combo_box(
            [(str(s), seconds.format(count=s)) for s in AUDITION_LENGTHS_S], str(settings.audition_s)
        )
        self._chain = _check_box(self.tr("Separate each stem from the residual of the previous one"), on=settings.chain)
        self._disable = _check_box(
            self.tr("Disable the original clips when stems are applied"), on=settings.disable_originals
        )
        self._sign = _check_box(self.tr("Sign stem files, if `stemline keys init` has made a key"), on=settings.sign)
        self._sign.setToolTip(
            self.tr(
                "Others can then check that stems are unchanged, by their record and by Content Credentials (C2PA)."
            )
        )
        self._record_paths = _combo_box(_record_paths(), settings.record_paths)
        self._record_words = _combo_box(_record_words(), settings.record_words)
        tip = self.tr("In the records inside and beside stem files, in reports and in the tracks of an edit.")
        self._record_paths.setToolTip(tip)
        self._record_words.setToolTip(tip)
        self._mark = _check_box(self.tr("Mark sounds that a model makes from words"), on=settings.mark)
        self._mark.setToolTip(self.tr("The mark is not heard, and `stemline detect` finds it. Nothing else is marked."))
        self._folder = QLineEdit(settings.output_dir)
        self._folder.setPlaceholderText(folder)
        self._folder.setAccessibleName(self.tr("Folder for stems"))
        self._tracker = _combo_box(_trackers(settings.tracker), settings.tracker)
        self._tracker.setToolTip(self.tr("Tracker that follows a marked object in the picture"))
        self._matched, self._consent_line = settings.loudness_matched, settings.consent_line
        self._seed = QSpinBox()
        self._seed.setRange(0, _MAX_SEED)
        self._seed.setValue(settings.seed)
        self._seed.setToolTip(self.tr("Models that use random noise give another result for another seed"))
        self._keys = _combo_box(_key_sets(), settings.keys)
        devices = [("", self.tr("System default")), *((name, name) for name in offers.devices)]
        if settings.device and settings.device not in offers.devices:
            devices.append((settings.device, self.tr("{device} (not connected)").format(device=settings.device)))
        self._device = _combo_box(devices, settings.device)
        self.server = ServerPage(settings.server, settings.token_file, settings.ca_file, offers.test_server)
        self._lay_out()

    def chosen(self) -> PanelSettings:
        """Return the settings as they are in the dialog."""
        server, token_file, ca_file = self.server.chosen()
        return PanelSettings(
            model=self._model.currentData(),
            quality=self._quality.currentData(),
            channels=self._channels.currentData(),
            sample_format=self._format.currentData(),
            chain=self._chain.isChecked(),
            disable_originals=self._disable.isChecked(),
            output_dir=absolute_folder(self._folder.text()),
            audition_s=int(self._audition.currentData()),
            loudness_matched=self._matched,
            sign=self._sign.isChecked(),
            record_paths=self._record_paths.currentData(),
            record_words=self._record_words.currentData(),
            mark=self._mark.isChecked(),
            seed=self._seed.value(),
            keys=self._keys.currentData(),
            device=self._device.currentData(),
            server=server,
            token_file=token_file,
            ca_file=ca_file,
            consent_line=self._consent_line,
            tracker=self._tracker.currentData(),
        )

    def _lay_out(self) -> None:
        stems, form = _page()
        for title, widget in (
            (self.tr("Model"), self._model),
            (self.tr("Quality"), self._quality),
            (self.tr("Channels"), self._channels),
            (self.tr("Stem files"), self._format),
            (self.tr("Audition"), self._audition),
            (self.tr("Object tracker"), self._tracker),
            ("", self._chain),
            ("", self._disable),
            ("", self._sign),
            ("", self._mark),
            (self.tr("Records name media"), self._record_paths),
            (self.tr("Records name prompts"), self._record_words),
        ):
            form.addRow(title, widget)
        choose = button(self.tr("Choose…"), self.tr("Choose the folder for stems"), self._choose_folder)
        form.addRow(self.tr("Folder"), row(self._folder, choose))
        form.addRow("", label(self.tr("Leave it empty to use the folder shown in grey."), "dim"))
        form.addRow(self.tr("Seed"), self._seed)
        window, form = _page()
        form.addRow(self.tr("Keys like"), self._keys)
        form.addRow(self.tr("Sound device"), self._device)
        pages = QTabWidget()
        pages.setAccessibleName(self.tr("Pages of the settings"))
        for page, title in (
            (stems, self.tr("Stems")),
            (window, self.tr("Keys and sound")),
            (self.server, self.tr("Server")),
        ):
            pages.addTab(page, title)
        buttons = QDialogButtonBox(QDialogButtonBox.Ok | QDialogButtonBox.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(pages)
        layout.addWidget(buttons)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Folder for stems"), self._folder.text())
        if folder:
            self._folder.setText(folder)


def _page() -> tuple[QWidget, QFormLayout]:
    page = QWidget()
    return page, QFormLayout(page)


def _key_sets() -> list[tuple[str, str]]:
    return [
        ("stemline", translate("SettingsDialog", "Stemline")),
        ("resolve", "DaVinci Resolve"),
        ("premiere", "Premiere Pro"),
        ("avid", "Media Composer"),
    ]


def _qualities() -> list[tuple[str, str]]:
    return [
        ("fast", translate("SettingsDialog", "Fast")),
        ("standard", translate("SettingsDialog", "Standard")),
        ("best", translate("SettingsDialog", "Best")),
    ]


def _channel_modes() -> list[tuple[str, str]]:
    return [
        ("linked", translate("SettingsDialog", "Linked: one estimate for all channels, panning stays")),
        ("each", translate("SettingsDialog", "Each channel separately (such as lavalier and boom)")),
        ("mono", translate("SettingsDialog", "Mix down to mono")),
    ]


def _formats() -> list[tuple[str, str]]:
    return [
        ("", translate("SettingsDialog", "24 bit, or 32-bit float if the media has more")),
        ("wav24", translate("SettingsDialog", "WAV, 24 bit")),
        ("wav32f", translate("SettingsDialog", "WAV, 32-bit float")),
        ("flac", translate("SettingsDialog", "FLAC, 24 bit")),
    ]


def _trackers(chosen: str) -> list[tuple[str, str]]:
    """Return the trackers that can run, with the empty name for `corners`."""
    known = [("" if one.id == CORNERS else one.id, one.id) for one in list_trackers() if one.available]
    if chosen not in dict(known):
        known.append((chosen, translate("SettingsDialog", "{name} (missing)").format(name=chosen or CORNERS)))
    return known


def _record_paths() -> list[tuple[str, str]]:
    return [
        ("name", translate("SettingsDialog", "By file name")),
        ("full", translate("SettingsDialog", "By full path")),
        ("omit", translate("SettingsDialog", "Not at all")),
    ]


def _record_words() -> list[tuple[str, str]]:
    return [
        ("full", translate("SettingsDialog", "In full")),
        ("hash", translate("SettingsDialog", "As a hash with a key of this installation")),
        ("omit", translate("SettingsDialog", "Not at all")),
    ]


def _combo_box(options: Sequence[tuple[str, str]], chosen: str) -> QComboBox:
    box = QComboBox()
    for value, text in options:
        box.addItem(text, value)
    box.setCurrentIndex(max(0, box.findData(chosen)))
    return box


def _check_box(text: str, *, on: bool) -> CheckBox:
    box = CheckBox(text)
    box.setChecked(on)
    return box


def _model_label(model: Model) -> str:
    if model.available:
        return f"{model.id}: {model.title}"
    return translate("SettingsDialog", "{model} (cannot run here: {note})").format(model=model.id, note=model.note)
