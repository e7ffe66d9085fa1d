"""The picture in the panel: the frame at the playhead, marks on the object, and what a run is asked for then."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PyQt5.QtCore import QEvent, QPoint, Qt
from PyQt5.QtGui import QMouseEvent
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication

pytest.importorskip("cv2")

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import Panel, tones
from core.media.films import HEIGHT, RATE, WIDTH, number_of, numbered, write_film
from runs.moving_square import SIDE, mask_of, place, square
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.trackers import create_tracker
from stemline.media.pictures.tracking import Tracker
from stemline_panel.control import frame_controller, object_follower
from stemline_panel.control.frame_controller import FrameController
from stemline_panel.widgets.frame_view import FrameView, MarkTool


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "clip.mp4", map(square, range(2 * RATE)), gop=200, crf=12, sound_s=2)


def opened(open_panel: OpenPanel, film: Path) -> tuple[Panel, FrameController]:
    panel = open_panel(film).ready()
    frames = panel.director.frames
    panel.until(lambda: frames.has_picture and frames._shown is not None)
    return panel, frames


def shown_number(frames: FrameController) -> int:
    return number_of(frames._shown.pixels) if frames._shown is not None else -1


def wait_for(panel: Panel, frames: FrameController, number: int) -> None:
    panel.until(lambda: shown_number(frames) == number)


def test_the_frame_follows_the_playhead_and_its_place_is_above_the_waveform(
    open_panel: OpenPanel, tmp_path: Path
) -> None:
    path = write_film(tmp_path / "n.mp4", map(numbered, range(96)), gop=200, sound_s=4)
    panel, frames = opened(open_panel, path)
    assert panel.window.picture_place.isVisible()
    for time in (Fraction(3), Fraction(1), Fraction(71, 24)):
        panel.playback.seek(time)
        wait_for(panel, frames, int(time * 24))
    panel.until(lambda: len(frames.strip._frames) > 2)


def test_frames_between_distant_key_frames_come_from_a_proxy_that_is_made_once(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_film(tmp_path / "n.mp4", map(numbered, range(96)), gop=200, sound_s=4)
    panel, frames = opened(open_panel, path)
    panel.until(lambda: frames._loader._files.keys() == {0})
    assert frames.status.text() == ""
    monkeypatch.setattr(FrameReader, "key_frame", lambda *_: pytest.fail("read from the film"))
    for number in (90, 5, 47):
        panel.playback.seek(Fraction(number, RATE))
        wait_for(panel, frames, number)


def test_the_tracker_of_the_settings_finds_and_follows(
    open_panel: OpenPanel, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def create(name: str) -> Tracker:
        asked.append(name)
        return create_tracker("")

    monkeypatch.setattr(object_follower, "create_tracker", create)
    monkeypatch.setattr(frame_controller, "find_tracker", lambda name: None)
    panel, frames = opened(open_panel, film)
    panel.session.settings.tracker = "mine"
    marked(panel, frames, 24)
    frames.follow((1,))
    panel.until(lambda: panel.session.stems.current.mask is not None)
    assert asked == ["mine"]  # its weights are loaded once


def test_sound_without_a_picture_gets_the_space_back(open_panel: OpenPanel, film: Path, tmp_path: Path) -> None:
    panel, frames = opened(open_panel, film)
    panel.director.open(tones(tmp_path / "voice.wav"))
    panel.until(lambda: panel.session.clip is not None and panel.session.clip.name == "voice.wav")
    panel.until(lambda: not panel.window.picture_place.isVisible())
    assert not frames.has_picture


def drag(view: FrameView, box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    start, end = view._to_view(x, y).toPoint(), view._to_view(x + width, y + height).toPoint()
    QTest.mousePress(view, Qt.LeftButton, Qt.NoModifier, start)
    QTest.mouseMove(view, (start + end) / 2)
    QTest.mouseMove(view, end)
    QTest.mouseRelease(view, Qt.LeftButton, Qt.NoModifier, end)


def marked(panel: Panel, frames: FrameController, number: int) -> None:
    panel.playback.seek(Fraction(number, RATE))
    panel.until(lambda: frames._shown is not None and round(frames._shown.time * RATE) == number)
    x, y = place(number)
    drag(frames.view, (x - 4, y - 4, SIDE + 8, SIDE + 8))
    panel.until(lambda: panel.session.stems.current.box is not None)


def test_a_dragged_box_is_shown_at_once_and_becomes_the_prompt(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    marked(panel, frames, 12)
    mask = frames.view._mask
    assert mask is not None
    true = mask_of(12)[:, :, 0] > 0
    assert np.count_nonzero(mask & true) / np.count_nonzero(mask | true) > 0.9
    (request,) = panel.session.stems.requests()
    assert request.name == "clicked sound"
    box = request.prompt.box
    assert box is not None
    assert (box.time, box.percent) == (Fraction(12, RATE), True)
    assert abs(box.x * WIDTH / 100 - place(12)[0]) < 4
    assert abs(box.height * HEIGHT / 100 - SIDE) < 6


def test_following_both_ways_gives_masks_for_the_clip_and_they_are_asked_for(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    panel.type("bark")
    marked(panel, frames, 24)
    frames.follow((-1, 1))
    panel.until(lambda: panel.session.stems.current.mask is not None)
    assert "48 frames followed." in frames.status.text()
    (request,) = panel.session.stems.requests()
    assert request.prompt.box is None
    assert request.prompt.text == "bark"
    assert request.prompt.mask is not None
    assert request.prompt.mask.media == str(film)
    assert Path(request.prompt.mask.path).exists()
    panel.playback.seek(Fraction(40, RATE))
    panel.until(lambda: frames._shown is not None and round(frames._shown.time * RATE) == 40)
    mask, true = frames.view._mask, mask_of(40)[:, :, 0] > 0
    assert mask is not None
    assert np.count_nonzero(mask & true) / np.count_nonzero(mask | true) > 0.85


def test_marks_can_be_taken_back_one_by_one_and_all_at_once(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    marked(panel, frames, 12)
    x, y = place(12)
    at: QPoint = frames.view._to_view(x + SIDE // 2, y + SIDE // 2).toPoint()
    QTest.mouseClick(frames.view, Qt.RightButton, Qt.NoModifier, at)
    assert len(frames.view.marks.minus) == 1
    frames.undo_mark()
    left = frames.view.marks
    assert not left.minus
    assert left.box is not None
    frames.undo_mark()
    assert panel.session.stems.current.empty


def test_a_model_without_pictures_says_so_and_loses_nothing(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    panel.session.settings.model = "noop"
    panel.type("bark")
    panel.director.refresh()
    panel.until(lambda: not panel.director.server.takes_pictures)
    marked(panel, frames, 12)
    assert "takes no pictures" in frames.status.text()
    panel.trigger_primary()
    item = panel.ended()
    assert item.error is not None
    assert "does not take pictures" in str(item.error)
    assert panel.session.stems.current.box is not None


def test_undo_takes_the_object_out_of_the_prompt_and_redo_puts_it_back(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    panel.type("bark")
    marked(panel, frames, 12)
    box = panel.session.stems.current.box
    panel.director.undo.undo()
    assert panel.session.stems.current.box is None
    assert panel.session.stems.current.text == "bark"
    assert frames.view._mask is None
    panel.director.undo.redo()
    assert panel.session.stems.current.box == box


def stroke(frames: FrameController, points: list[tuple[int, int]], button: Qt.MouseButton = Qt.LeftButton) -> None:
    """Draw along points of the frame with the tool that is chosen."""
    view = frames.view
    places = [view._to_view(x, y).toPoint() for x, y in points]
    QTest.mousePress(view, button, Qt.NoModifier, places[0])
    for at in places[1:]:
        move = QMouseEvent(QEvent.MouseMove, at, Qt.NoButton, button, Qt.NoModifier)
        QApplication.sendEvent(view, move)
    QTest.mouseRelease(view, button, Qt.NoModifier, places[-1])


def overlap(mask: np.ndarray | None, number: int) -> float:
    true = mask_of(number)[:, :, 0] > 0
    return 0.0 if mask is None else float(np.count_nonzero(mask & true) / np.count_nonzero(mask | true))


def choose(frames: FrameController, tool: MarkTool) -> None:
    frames.tools.buttons[tool].click()
    assert frames.view.tool is tool


def at_frame(panel: Panel, frames: FrameController, number: int) -> None:
    panel.playback.seek(Fraction(number, RATE))
    panel.until(lambda: frames._shown is not None and round(frames._shown.time * RATE) == number)


def corners(number: int) -> list[tuple[int, int]]:
    x, y = place(number)
    return [(x, y), (x + SIDE, y), (x + SIDE, y + SIDE), (x, y + SIDE)]


def test_an_outline_drawn_with_the_lasso_is_shown_at_once_and_followed_as_drawn(
    open_panel: OpenPanel, film: Path
) -> None:
    panel, frames = opened(open_panel, film)
    at_frame(panel, frames, 24)
    choose(frames, MarkTool.LASSO)
    stroke(frames, corners(24))
    assert overlap(frames.view._mask, 24) > 0.9  # before any event is handled
    panel.until(lambda: panel.session.stems.current.box is not None)
    frames.follow((-1, 1))
    panel.until(lambda: panel.session.stems.current.mask is not None)
    assert overlap(frames._masks[Fraction(24, RATE)].mask, 24) > 0.9
    assert overlap(frames._masks[Fraction(40, RATE)].mask, 40) > 0.85


def test_the_brush_adds_and_takes_away_and_a_single_touch_paints_its_width(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    at_frame(panel, frames, 12)
    choose(frames, MarkTool.BRUSH)
    frames.view.brush_pixels = 20 * frames.view._place().width() / frames.view._image.width()
    stroke(frames, [(100, 80)])
    dot = frames.view._mask
    assert dot is not None
    assert 0.8 < np.count_nonzero(dot) / (np.pi * 10**2) < 1.2
    assert dot[80, 100]
    stroke(frames, [(100, 80), (160, 80)])
    line = frames.view._mask
    assert line is not None
    assert line[80, 100:160].all()
    stroke(frames, [(160, 80)], Qt.RightButton)
    left = frames.view._mask
    assert left is not None
    assert left[80, 100]
    assert not left[80, 155:165].any()


def test_undo_takes_back_one_stroke_after_another_and_redo_paints_them(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    at_frame(panel, frames, 12)
    choose(frames, MarkTool.BRUSH)
    shown: list[int] = []
    for way in ([(80, 60), (140, 60)], [(80, 120), (140, 120)], [(100, 60), (100, 120)]):  # the third is inside the box
        stroke(frames, way)
        shown.append(painted(frames))
        panel.until(lambda: stored(panel) == shown[-1])
    assert 0 < shown[0] < shown[1] < shown[2]
    for expected in (shown[1], shown[0], 0):
        panel.director.undo.undo()
        assert painted(frames) == expected
    for expected in shown:
        panel.director.undo.redo()
        assert painted(frames) == expected


def painted(frames: FrameController) -> int:
    return 0 if frames.view._mask is None else int(np.count_nonzero(frames.view._mask))


def stored(panel: Panel) -> int:
    marked_object = panel.session.stems.current.marked
    return 0 if marked_object is None else int(np.count_nonzero(marked_object.found.mask))


def test_a_point_corrects_a_followed_frame_instead_of_replacing_its_mask(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    marked(panel, frames, 24)
    frames.follow((1,))
    panel.until(lambda: panel.session.stems.current.mask is not None)
    at_frame(panel, frames, 30)
    QTest.mouseClick(frames.view, Qt.RightButton, Qt.NoModifier, frames.view._to_view(10, 10).toPoint())
    panel.until(lambda: panel.session.stems.current.mask is None)
    assert overlap(frames.view._mask, 30) > 0.85
    frames.undo_mark()
    panel.until(lambda: frames.view.marks.minus == () and overlap(frames.view._mask, 30) > 0.85)


def test_each_stem_shows_its_own_object(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    marked(panel, frames, 12)
    panel.session.stems.add("rain")
    panel.director.refresh()
    assert frames.view._mask is None
    panel.session.stems.select(0)
    panel.director.refresh()
    assert overlap(frames.view._mask, 12) > 0.9


def test_following_shows_per_cent_and_time_left(
    open_panel: OpenPanel, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, frames = opened(open_panel, film)
    marked(panel, frames, 24)
    notes: list[str] = []
    monkeypatch.setattr(frames, "_note", notes.append)
    frames.follow((-1, 1))
    panel.until(lambda: panel.session.stems.current.mask is not None)
    shown = [found for text in notes if (found := re.fullmatch(r"Following: (\d+) %(?:, \d+:\d\d left)?", text))]
    percents = [int(found[1]) for found in shown]
    assert len(percents) > 4
    assert percents == sorted(percents)
    assert percents[-1] > 80
    assert any("left" in found[0] for found in shown)
