"""The window on small and high-DPI screens, and its names for screen readers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtGui import QImage
from PyQt5.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QApplication,
    QDialog,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSplitterHandle,
    QWidget,
)

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import Panel
from core.media.films import numbered, write_film
from stemline import KnownSounds, Replace
from stemline_panel.model.settings import PanelSettings
from stemline_panel.widgets.clip_table import ClipModel
from stemline_panel.widgets.fill_dialog import FillDialog
from stemline_panel.widgets.settings_dialog import SettingsDialog, SettingsOffers
from stemline_panel.widgets.shortcut_dialog import ShortcutDialog
from stemline_panel.widgets.wave_axes import FrequencyAxis
from stemline_panel.widgets.word_check import KnownSoundsDialog

LOWEST_SCREEN = 1280, 650
"""1080p at 150 %, without the frame of the window and the taskbar."""


@pytest.fixture
def panel(open_panel: OpenPanel, tmp_path: Path) -> Panel:
    """Return a panel with films of several clips."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name in "ab":
        write_film(folder / f"{name}.mp4", map(numbered, range(24)), sound_s=1)
    panel = open_panel(folder).ready()
    panel.until(lambda: panel.director.frames.has_picture)
    return panel


def test_everything_at_once_fits_a_small_screen_with_the_main_button_in_view(panel: Panel) -> None:
    window = panel.window
    for number in range(12):
        panel.director.requests.add_stem()
        panel.type(f"sound {number}")
    panel.type("electric kettle")
    panel.until(lambda: window.prompt.words.proposals)
    window.prompt.consent.show()
    window.show_banner("A long sentence about what went wrong in this run. " * 12)
    window.drawer.open_page(window.queue)
    window.resize(*LOWEST_SCREEN)
    panel.bot.wait(100)  # the layout is done in the event loop
    assert (window.width(), window.height()) == LOWEST_SCREEN
    for widget in (window.prompt.primary, window.transport, window.wave, window.queue):
        corner = widget.mapTo(window, widget.rect().bottomRight())
        assert not widget.visibleRegion().isEmpty() and window.rect().contains(corner), widget.accessibleName()


def test_tab_scrolls_to_the_controls_that_a_low_window_hides(panel: Panel) -> None:
    panel.window.resize(*LOWEST_SCREEN)
    panel.type("rain")
    panel.bot.wait(50)
    hidden = panel.window.prompt.stems.add
    assert hidden.visibleRegion().isEmpty()
    panel.window.activateWindow()
    for _ in range(20):
        panel.window.focusNextPrevChild(True)
        if QApplication.focusWidget() is hidden:
            break
    assert QApplication.focusWidget() is hidden and not hidden.visibleRegion().isEmpty()


def test_thumbnails_have_all_pixels_of_a_high_dpi_screen(panel: Panel) -> None:
    model, clip = panel.window.clips.model, panel.session.clip
    assert isinstance(model, ClipModel) and clip is not None
    model.set_thumbnail(clip.clip_id, QImage(320, 180, QImage.Format_RGB32), 2.0)
    shown = model.data(model.index_of(clip.clip_id), Qt.DecorationRole)
    assert (shown.width(), shown.height(), shown.devicePixelRatio()) == (78, 44, 2.0)


@pytest.mark.parametrize("height", [60, 100, 300])
def test_the_frequencies_of_a_low_spectrogram_do_not_overlap(height: int) -> None:
    ((_, ticks),) = FrequencyAxis().tickValues(0.0, 1.0, height)
    gaps = [(later - earlier) * height for earlier, later in pairwise(ticks)]
    assert len(ticks) >= 3 and min(gaps) >= 15


# -- names for screen readers ------------------------------------------------------------------------------------------


def unnamed(top: QWidget) -> list[str]:
    """Return the controls that a screen reader cannot name: those that take the focus or are pressed."""
    buddies = {label.buddy() for label in top.findChildren(QLabel)}
    inner = {edit for box in top.findChildren(QWidget) if box.focusProxy() for edit in (box.focusProxy(),)}
    found = []
    for widget in top.findChildren(QWidget):
        is_control = isinstance(widget, QAbstractButton) or widget.focusPolicy() & Qt.TabFocus == Qt.TabFocus
        is_part = isinstance(widget, (QScrollArea, QSplitterHandle)) or widget.objectName().startswith("qt_")
        is_part |= isinstance(widget.parent(), (QAbstractScrollArea, QLineEdit)) or widget in inner
        text = widget.text() if isinstance(widget, QAbstractButton) else ""
        if (
            is_control
            and not is_part
            and not widget.isHidden()
            and not (widget.accessibleName() or text or widget in buddies)
        ):
            found.append(f"{type(widget).__name__} in {type(widget.parent()).__name__}")
    return found


def test_every_control_of_the_window_has_a_name_for_screen_readers(panel: Panel) -> None:
    panel.session.settings.model = "noop"
    panel.separate("rain")
    panel.until(lambda: panel.window.results.strips)
    assert panel.window.results.faders
    assert unnamed(panel.window) == []


def test_every_control_of_the_dialogs_has_a_name_for_screen_readers(panel: Panel) -> None:
    words = FillDialog("rain", Replace(words="wind"), ["speech"], from_words=True)
    settings = SettingsDialog(PanelSettings(), SettingsOffers((), "/film", ()))
    dialogs: list[QDialog] = [words, settings, ShortcutDialog(panel.window, "stemline")]
    dialogs.append(KnownSoundsDialog(KnownSounds("embedded", any_words=False, sounds=())))
    for dialog in dialogs:
        assert unnamed(dialog) == [], dialog.windowTitle()
        dialog.deleteLater()
