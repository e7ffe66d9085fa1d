"""The picture in the panel: the frame at the playhead, marks on the object, and what a run is asked for then."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PyQt5.QtCore import QPoint, Qt
from PyQt5.QtTest import QTest

pytest.importorskip("cv2")

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import Panel, tones
from core.media.films import HEIGHT, RATE, WIDTH, number_of, numbered, write_film
from runs.test_pictures import SIDE, mask_of, place, square
from stemline_panel.control.frame_controller import FrameController
from stemline_panel.widgets.frame_view import FrameView


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
