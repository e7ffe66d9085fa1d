"""Mouse and keyboard input on the real widgets."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pyqtgraph
import pytest
from PyQt5.QtCore import QPoint, QPointF, QRect, Qt
from PyQt5.QtGui import QPaintEvent, QPolygonF, QWheelEvent
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QWidget

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import Panel, tones
from stemline import Preset
from stemline_panel.model.history import HistoryEntry
from stemline_panel.model.marks import Sign
from stemline_panel.model.session import Verb
from stemline_panel.model.settings import PanelSettings
from stemline_panel.sound.waveform import WaveformData
from stemline_panel.widgets.overview_strip import OverviewStrip
from stemline_panel.widgets.settings_dialog import SettingsDialog, SettingsOffers


@pytest.fixture
def panel(open_panel: OpenPanel, tmp_path: Path) -> Iterator[Panel]:
    """Return an open panel that handles every mouse move, however fast they come."""
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    view = panel.window.wave._wave.getViewBox()
    panel.until(lambda: abs(view.viewRange()[0][1] - 12) < 0.1 and view.width() > 300)
    limit = pyqtgraph.getConfigOption("mouseRateLimit")
    pyqtgraph.setConfigOption("mouseRateLimit", 0)
    yield panel
    pyqtgraph.setConfigOption("mouseRateLimit", limit)


def place(panel: Panel, time: float) -> QPoint:
    """Return the point of a time on the waveform."""
    plot = panel.window.wave._wave
    scene = plot.getViewBox().mapViewToScene(QPointF(time, 0.0))
    point: QPoint = plot.mapFromScene(scene)
    return point


def drag(panel: Panel, start: float, end: float, keys: Qt.KeyboardModifier = Qt.NoModifier) -> None:
    target = panel.window.wave._wave.viewport()
    QTest.mousePress(target, Qt.LeftButton, keys, place(panel, start))
    for step in range(1, 6):
        between = start + (end - start) * step / 5
        move = place(panel, between)
        QTest.mouseMove(target, move)
        _move(target, move, keys)
        QApplication.processEvents()
    QTest.mouseRelease(target, Qt.LeftButton, keys, place(panel, end))
    QApplication.processEvents()


def _move(target: object, point: QPoint, keys: Qt.KeyboardModifier) -> None:
    """Send a mouse move with the left button held, which QTest cannot do."""
    from PyQt5.QtCore import QEvent
    from PyQt5.QtGui import QMouseEvent

    event = QMouseEvent(QEvent.MouseMove, QPointF(point), Qt.NoButton, Qt.LeftButton, keys)
    QApplication.sendEvent(target, event)  # type: ignore[arg-type]


def test_a_click_moves_the_playhead_and_selects_the_sound(panel: Panel) -> None:
    QTest.mouseClick(panel.window.wave._wave.viewport(), Qt.LeftButton, Qt.NoModifier, place(panel, 5.5))
    panel.until(lambda: panel.director.marks.selection)
    assert abs(panel.playback.playhead - Fraction(11, 2)) < Fraction(1, 20)
    found = panel.director.marks.selection
    assert found is not None
    assert abs(found.start - 5) < Fraction(1, 20)


def test_a_click_into_the_background_shows_a_message(panel: Panel) -> None:
    QTest.mouseClick(panel.window.wave._wave.viewport(), Qt.LeftButton, Qt.NoModifier, place(panel, 7.5))
    panel.until(lambda: "No single sound stands out" in panel.window.status_text)
    assert panel.director.marks.selection is None


def test_dragging_selects_and_marks(panel: Panel) -> None:
    drag(panel, 2.0, 4.0)
    assert panel.director.marks.selection is not None
    assert abs(panel.director.marks.selection.duration - 2) < Fraction(1, 10)
    drag(panel, 5.0, 6.0, Qt.ShiftModifier)
    drag(panel, 7.0, 8.0, Qt.AltModifier)
    signs = [mark.sign for mark in panel.session.stems.current.marks]
    assert signs == [Sign.PLUS, Sign.MINUS]
    drag(panel, 5.5, 9.5)  # the mark itself is taken hold of and moved
    moved = [mark for mark in panel.session.stems.current.marks if mark.sign is Sign.PLUS]
    assert abs(moved[0].range.start - 9) < Fraction(1, 5)
    assert abs(moved[0].range.duration - 1) < Fraction(1, 10)
    panel.key(Qt.Key_Z, Qt.ControlModifier)
    back = [mark for mark in panel.session.stems.current.marks if mark.sign is Sign.PLUS]
    assert abs(back[0].range.start - 5) < Fraction(1, 10)


@pytest.mark.parametrize("keys", [Qt.ShiftModifier, Qt.AltModifier])
def test_marking_leaves_no_invisible_selection(panel: Panel, keys: Qt.KeyboardModifier) -> None:
    drag(panel, 2.0, 4.0)
    drag(panel, 5.0, 6.0, keys)
    assert panel.director.marks.selection is None


def test_the_wheel_zooms_around_the_mouse(panel: Panel) -> None:
    view, plot = panel.window.wave, panel.window.wave._wave
    point = place(panel, 3.0)
    for _ in range(4):
        event = QWheelEvent(
            QPointF(point), QPointF(plot.viewport().mapToGlobal(point)), QPoint(0, 120), QPoint(0, 120),
            Qt.NoButton, Qt.NoModifier, Qt.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(plot.viewport(), event)
    assert view.shown.duration < 6
    assert view.shown.start < 3 < view.shown.end
    panel.key(Qt.Key_Z)
    assert view.shown == view.whole


def test_keys_select_and_mark(panel: Panel) -> None:
    panel.playback.seek(Fraction(5))
    panel.key(Qt.Key_I)
    panel.key(Qt.Key_Right, Qt.ShiftModifier)
    panel.key(Qt.Key_O)
    selected = panel.director.marks.selection
    assert selected is not None
    assert (selected.start, selected.end) == (Fraction(5), Fraction(6))
    panel.key(Qt.Key_N)
    panel.playback.seek(Fraction(11, 2))
    panel.key(Qt.Key_T)
    assert [mark.sign for mark in panel.session.stems.current.marks] == [Sign.PLUS]
    panel.key(Qt.Key_Delete)
    assert not len(panel.session.stems.current.marks)
    panel.key(Qt.Key_X)
    panel.until(lambda: panel.director.marks.selection)


def test_letters_type_in_the_prompt_and_are_shortcuts_elsewhere(panel: Panel) -> None:
    panel.type("plop x")
    assert panel.session.stems.current.text == "plop x"
    assert panel.director.marks.selection is None
    panel.key(Qt.Key_T, Qt.ControlModifier)
    assert panel.session.verb is Verb.REMOVE
    assert panel.primary_label == "Remove plop x"


def test_a_moving_playhead_does_not_rebuild_the_overview(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    strip = panel.window.strip
    panel.until(lambda: strip._data and strip._data.exact)
    built: list[object] = []
    painted: list[QRect] = []
    outline, paint = OverviewStrip._outline, OverviewStrip.paintEvent

    def counted(strip: OverviewStrip, picture: WaveformData) -> QPolygonF:
        built.append(picture)
        return outline(strip, picture)

    def noted(strip: OverviewStrip, event: QPaintEvent) -> None:
        painted.append(event.rect())
        paint(strip, event)

    monkeypatch.setattr(OverviewStrip, "_outline", counted)
    monkeypatch.setattr(OverviewStrip, "paintEvent", noted)
    QApplication.processEvents()
    painted.clear()
    for step in range(20):
        strip.set_playhead(6 + step / 100)
        QApplication.processEvents()
    assert built == []
    assert painted
    assert all(part.width() < strip.width() / 4 for part in painted[1:])
    strip.resize(strip.width() - 50, strip.height())
    assert len(built) == 1, "a new width rebuilds it"


def test_escape_and_enter_leave_the_prompt(panel: Panel) -> None:
    edit = panel.window.prompt.prompt.edit
    panel.type("beep")
    QTest.keyClick(edit, Qt.Key_Escape)
    assert QApplication.focusWidget() is panel.window.wave
    assert edit.text() == "beep"
    edit.setFocus()
    QTest.keyClick(edit, Qt.Key_Return)
    assert len(panel.session.queue) == 1
    assert QApplication.focusWidget() is panel.window.wave
    QTest.keyClick(QApplication.focusWidget(), Qt.Key_Space)
    assert panel.plays()
    assert edit.text() == "beep"
    panel.done()


def test_enter_on_an_empty_prompt_stays_in_the_prompt(panel: Panel) -> None:
    edit = panel.window.prompt.prompt.edit
    edit.setFocus()
    QTest.keyClick(edit, Qt.Key_Return)
    assert QApplication.focusWidget() is edit


def tab_to(panel: Panel, wanted: QWidget) -> None:
    """Press Tab until `wanted` has the focus."""
    for _ in range(60):
        focused = QApplication.focusWidget()
        if focused is wanted:
            return
        QTest.keyClick(focused or panel.window, Qt.Key_Tab)
    raise AssertionError(f"Tab does not lead to {wanted.accessibleName()}")


def test_the_whole_workflow_works_by_keyboard(panel: Panel) -> None:
    """From the waveform, which has the focus at first, to a result and back."""
    window = panel.window
    window.resize(1440, 820)  # room for a button for each layer
    assert QApplication.focusWidget() is window.wave
    tab_to(panel, window.transport.loop)
    QTest.keyClick(window.transport.loop, Qt.Key_Space)
    assert window.transport.loop.isChecked()
    assert not panel.plays(), "Space pressed the focused check box"
    tab_to(panel, window.prompt.verb_buttons[Verb.ISOLATE])
    tab_to(panel, window.prompt.prompt.edit)
    QTest.keyClicks(window.prompt.prompt.edit, "beep")
    tab_to(panel, window.prompt.primary)
    QTest.keyClick(window.prompt.primary, Qt.Key_Return)
    item = panel.done()
    panel.until(lambda: len(panel.playback.levels) == 3)
    tab_to(panel, window.transport.layers.buttons["mix"])
    tab_to(panel, window.results.list)
    QTest.keyClick(window.results.list, Qt.Key_Down)
    QTest.keyClick(window.results.list, Qt.Key_Down)
    assert panel.choice == "residual"
    panel.director.refresh()
    assert window.results.list.currentItem() is not None, "refreshing keeps the current line"
    panel.key(Qt.Key_K, Qt.ControlModifier)
    tab_to(panel, window.queue.list)
    QTest.keyClick(QApplication.focusWidget(), Qt.Key_Tab)
    assert QApplication.focusWidget() is window.queue.row(item.number).retry
    panel.type("other")
    tab_to(panel, window.queue.list)
    QTest.keyClick(window.queue.list, Qt.Key_Return)
    assert window.prompt.prompt.edit.text() == "beep", "the request is loaded again"


def test_space_plays_after_a_mouse_click_on_a_button(panel: Panel) -> None:
    panel.click(panel.window.transport.plus)
    panel.window.transport.plus.setFocus(Qt.MouseFocusReason)
    QTest.keyClick(panel.window.transport.plus, Qt.Key_Space)
    assert panel.plays()


def test_long_texts_do_not_widen_the_window(panel: Panel) -> None:
    window = panel.window
    before = window.size()
    for number in range(9):
        panel.type(f"number {number}, a sound with a very long description")
        panel.click(window.prompt.stems.add)
    panel.trigger_primary()
    item = panel.done()
    panel.until(lambda: len(panel.playback.levels) == 11)
    window.show_status("A remark that goes on and on. " * 20)
    window.transport.show_problem("No sound device found; connect one to listen. " * 5)
    QApplication.processEvents()
    assert window.size() == before
    takes = window.transport.layers
    assert takes.list.isVisible(), "the list replaces buttons that do not fit"
    last = takes.list.count() - 3
    takes.list.setCurrentIndex(last)
    takes.list.activated[str].emit(takes.list.itemText(last))
    assert panel.choice == takes.list.itemText(last)
    assert item.outcome is not None
    assert len(item.outcome.result.notices) >= 1
    assert window.results.notices.text().count("hold some of the same sound") == 1
    assert window.prompt._hint.geometry().bottom() <= window.prompt.height()


def test_history_is_suggested_while_typing(panel: Panel) -> None:
    for text in ("rain on a roof", "dog barking"):
        panel.director._user_data.history.add(HistoryEntry(text))
    panel.type("ra")
    line = panel.window.prompt.prompt
    assert line.offered() == ["rain on a roof"]
    panel.window.prompt.prompt.edit.selectAll()
    QTest.keyClick(panel.window.prompt.prompt.edit, Qt.Key_Backspace)
    QTest.keyClick(line.edit, Qt.Key_Down)
    assert line.offered() == ["dog barking", "rain on a roof"]
    titles = [action.text() for action in line.presets_menu().actions()]
    assert "Dialogue, music and effects" in titles
    assert "rain on a roof" in titles


def test_a_preset_fills_the_list_and_stems_can_be_renamed(panel: Panel) -> None:
    panel.window.prompt.prompt.preset_chosen.emit(Preset("DME", {"dialogue": "speech", "music": "music"}))
    stems = panel.window.prompt.stems
    assert [entry.name for entry in panel.session.stems] == ["dialogue", "music"]
    item = stems.list.topLevelItem(1)
    assert item is not None
    item.setText(0, "score")
    assert [stem.name for stem in panel.session.stems.requests()] == ["dialogue", "score"]
    stems.list.setCurrentItem(item)
    panel.key(Qt.Key_Backspace, Qt.ControlModifier)
    assert [stem.name for stem in panel.session.stems.requests()] == ["dialogue"]


def test_an_earlier_run_can_be_reused_and_forgotten(panel: Panel) -> None:
    item = panel.separate("beep")
    panel.type("other")
    panel.window.queue.reuse_wanted.emit(item.number)
    assert panel.window.prompt.prompt.edit.text() == "beep"
    panel.click(panel.window.queue.row(item.number).forget)
    assert not len(panel.session.queue)
    assert panel.window.results.names() == []


def test_settings_are_shown_and_chosen(panel: Panel) -> None:
    dialog = SettingsDialog(PanelSettings(), SettingsOffers(panel.director.server.models, "/film/stems"), panel.window)
    model = dialog._model
    known = [model.itemData(row) for row in range(model.count())]
    assert {"", "embedded"} <= set(known)
    assert "noop" not in known, "a test model that separates nothing"
    assert dialog.chosen() == PanelSettings()
    model.setCurrentIndex(known.index("embedded"))
    assert dialog.chosen() == PanelSettings(model="embedded")
    folder = dialog._folder
    for typed, path in (("~/stems", Path.home() / "stems"), (" stems", Path.cwd() / "stems"), ("~", Path.home())):
        folder.setText(typed)
        assert dialog.chosen().output_dir == str(path)
    dialog.deleteLater()


def test_a_box_in_the_spectrogram_shows_its_frequencies_and_marks_its_time(panel: Panel) -> None:
    wave, view = panel.window.wave, panel.window.wave._spectrum.getViewBox()
    panel.until(lambda: view.height() > 50)

    def corner(time: float, height: float) -> QPoint:
        point: QPoint = wave._spectrum.mapFromScene(view.mapViewToScene(QPointF(time, height)))
        return point

    target = wave._spectrum.viewport()
    QTest.mousePress(target, Qt.LeftButton, Qt.NoModifier, corner(5.0, 0.75))
    for share in (0.3, 0.6, 1.0):
        _move(target, corner(5.0 + share, 0.75 - share / 2), Qt.NoModifier)
    assert wave._box.isVisible()
    QTest.mouseRelease(target, Qt.LeftButton, Qt.NoModifier, corner(6.0, 0.25))
    box = wave._box.rect()
    assert wave._box.isVisible() and abs(box.height() - 0.5) < 0.1
    selected = panel.director.marks.selection
    assert selected is not None and abs(selected.duration - 1) < Fraction(1, 10)
    text = panel.window.status_text
    assert text.startswith("Box from 1") and " Hz to " in text and " kHz: models use its time" in text
    panel.key(Qt.Key_M)
    assert not wave._box.isVisible()
    assert [mark.sign for mark in panel.session.stems.current.marks] == [Sign.PLUS]
