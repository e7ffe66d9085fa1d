"""Every text of the window can be translated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PyQt5.QtCore import QTranslator
from PyQt5.QtWidgets import (
    QAbstractButton,
    QAction,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QMenu,
    QTreeWidget,
    QWidget,
)

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import tones
from stemline.media.pictures.trackers import CORNERS
from stemline_panel.model.settings import PanelSettings
from stemline_panel.widgets.settings_dialog import SettingsDialog, SettingsOffers
from stemline_panel.widgets.shortcut_dialog import ShortcutDialog

_WORD = re.compile(r"[A-Za-z]{2,}")
_NAMES = re.compile(
    r"^(mix|residual|remix|beep|film.wav|-?[\d.]+ LUFS|Stemline|&?OK|&?Cancel|&?Close"
    r"|DaVinci Resolve|Premiere Pro|Media Composer|https://stems.*)$"
)


class MarkingTranslator(QTranslator):
    """Puts every translated text into ⟦brackets⟧."""

    def translate(self, context: str, text: str, disambiguation: str | None = None, n: int = -1) -> str:
        return f"⟦{text}⟧" if text and context != "QPlatformTheme" else text

    def isEmpty(self) -> bool:  # noqa: N802 - the name is Qt's
        return False


@pytest.fixture
def marked(qapp: QApplication) -> Iterator[None]:
    translator = MarkingTranslator()
    qapp.installTranslator(translator)
    yield
    qapp.removeTranslator(translator)


def texts(window: QWidget) -> Iterator[str]:
    """Yield the texts that the program shows, without those that the user or the media gave."""
    for action in window.findChildren(QAction):
        yield action.text()
    for menu in window.findChildren(QMenu):
        yield menu.title()
    for widget in (window, *window.findChildren(QWidget)):
        yield widget.toolTip()
        yield widget.accessibleName()
        if isinstance(widget, QLabel | QAbstractButton):
            yield widget.text()
        elif isinstance(widget, QComboBox):
            yield from (widget.itemText(row) for row in range(widget.count()))
        elif isinstance(widget, QLineEdit):
            yield widget.placeholderText()
        elif isinstance(widget, QTreeWidget):
            header = widget.headerItem()
            assert header is not None
            yield from (header.text(column) for column in range(header.columnCount()))


def untranslated(window: QWidget, known: str = "") -> set[str]:
    names = (text for text in texts(window) if not _NAMES.match(text) and "/stems/" not in text)
    found = {text for text in names if _WORD.search(text) and "⟦" not in text}
    return {text for text in found if not known or known not in text}


@pytest.mark.usefixtures("marked")
def test_every_text_of_the_window_is_translated(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "film.wav")).ready()
    assert untranslated(panel.window, "embedded") == set()
    panel.session.settings.model = "noop"
    panel.separate("beep")
    panel.until(lambda: len(panel.playback.levels) == 3)
    assert untranslated(panel.window, "noop") == set()


@pytest.mark.usefixtures("marked")
def test_every_text_of_the_dialogs_is_translated(open_panel: OpenPanel) -> None:
    panel = open_panel()
    keys = ShortcutDialog(panel.window)
    shown = {text for text in untranslated(keys) if not re.match(r"^(\w+|Ctrl\+.*|Shift\+.*)(⟦ or ⟧.*)?$", text)}
    assert shown == set()
    settings = SettingsDialog(PanelSettings(), SettingsOffers((), "/film/stems"), panel.window)
    assert untranslated(settings, "/film/stems") <= {CORNERS}, "the id of a tracker"
    for dialog in (keys, settings):
        dialog.deleteLater()
