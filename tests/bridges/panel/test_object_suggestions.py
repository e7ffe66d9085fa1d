"""Words and places for a marked object in the panel: offered, and used only where the user takes them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest

pytest.importorskip("cv2")

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import tones
from bridges.panel.test_pictures import at_frame, drag, marked, opened
from core.media.films import RATE, write_film
from core.media.struck_clips import write_struck
from runs.moving_square import square
from stemline.clips import TimeRange
from stemline_server.engines.noop import NoopEngine
from stemline_server.testing import FunctionTagger, SampleRange, SoundTag, TaggedSpan, serve_engines


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "clip.mp4", map(square, range(2 * RATE)), gop=200, crf=12, sound_s=2)


@pytest.fixture
def hearing_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server whose tagger hears a dog in the second second."""

    def hear(mix: object, rate: int) -> list[SoundTag]:
        return [SoundTag("dog", (TaggedSpan(SampleRange(rate, 2 * rate), 0.8),))]

    with serve_engines(NoopEngine(), state=tmp_path / "state", taggers=[FunctionTagger(hear)]) as server:
        monkeypatch.setenv("STEMLINE_TOKEN", server.token)
        yield server.address


def test_sounds_of_the_clip_are_offered_for_a_marked_object_and_used_only_when_chosen(
    open_panel: OpenPanel, film: Path, hearing_server: str
) -> None:
    panel, frames = opened(open_panel, film)
    panel.session.server = hearing_server
    marked(panel, frames, 12)
    chips = panel.window.prompt.suggestions
    panel.until(lambda: len(chips.chips) == 1)
    current = panel.session.stems.current
    assert (current.text, len(current.marks)) == ("", 0)
    chips.chips[0].click()
    (request,) = panel.session.stems.requests()
    assert request.prompt.text == "dog"
    assert request.prompt.box is not None
    assert request.prompt.plus == (TimeRange(Fraction(1), Fraction(2)),)
    panel.director.undo.undo()
    (request,) = panel.session.stems.requests()
    assert (request.prompt.text, request.prompt.plus) == ("", ())
    assert request.prompt.box is not None


def test_a_server_that_cannot_suggest_does_not_disturb_marking(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    panel.session.server = "127.0.0.1:1"
    marked(panel, frames, 12)
    ask = panel.window.prompt.suggestions.ask
    panel.until(ask.isEnabled)
    assert "127.0.0.1:1" not in panel.window.status_text
    assert panel.session.stems.current.box is not None


def test_suggested_places_are_outlined_and_become_marks_only_when_they_are_taken(
    open_panel: OpenPanel, tmp_path: Path
) -> None:
    clip = write_struck(tmp_path, seed=1)
    panel, frames = opened(open_panel, clip.path)
    panel.session.settings.model = "noop"
    panel.director.refresh()
    panel.until(lambda: not panel.director.server.takes_pictures)
    frames.spans.ask.click()
    assert "Mark what makes the sound" in frames.status.text()
    at_frame(panel, frames, 0)
    drag(frames.view, clip.box)
    panel.until(lambda: panel.session.stems.current.box is not None)
    assert not frames.spans.use.isVisible()
    frames.spans.ask.click()
    panel.until(frames.spans.use.isVisible)
    current = panel.session.stems.current
    assert len(frames.strip._suggested) == len(clip.hits)
    assert len(current.marks) == 0
    assert "speech, engines or wind" in frames.status.text()
    frames.spans.use.click()
    starts = [float(mark.range.start) for mark in current.marks]
    assert len(starts) == len(clip.hits)
    assert all(abs(one - hit) < 0.06 for one, hit in zip(starts, clip.hits, strict=True))
    assert current.box is None  # the model takes no pictures: a run goes by the marks
    assert frames.strip._suggested == []
    panel.director.undo.undo()
    assert len(panel.session.stems.current.marks) == 0
    assert panel.session.stems.current.box is not None


def test_the_sound_heard_where_the_object_stops_is_offered_first(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rain is likelier, but falls where the object does not sound."""
    clip = write_struck(tmp_path, seed=1)

    def hear(mix: object, rate: int) -> list[SoundTag]:
        knocks = [SampleRange(round((hit - 0.02) * rate), round((hit + 0.1) * rate)) for hit in clip.hits]
        rain = SampleRange(round((max(clip.hits) + 0.3) * rate), round((max(clip.hits) + 0.4) * rate))
        return [
            SoundTag("rain", (TaggedSpan(rain, 0.9),)),
            SoundTag("knocking", tuple(TaggedSpan(span, 0.6) for span in knocks)),
        ]

    with serve_engines(NoopEngine(), state=tmp_path / "state", taggers=[FunctionTagger(hear)]) as server:
        monkeypatch.setenv("STEMLINE_TOKEN", server.token)
        panel, frames = opened(open_panel, clip.path)
        panel.session.server = server.address
        at_frame(panel, frames, 0)
        drag(frames.view, clip.box)
        chips = panel.window.prompt.suggestions

        def offered() -> list[str]:
            return [chip.text().split()[0] for chip in chips.chips]

        panel.until(lambda: offered() == ["rain", "knocking"])
        frames.spans.ask.click()
        panel.until(lambda: offered() == ["knocking", "rain"])
        assert "where the marked object stops" in chips.chips[0].toolTip()
        assert "where the marked object stops" not in chips.chips[1].toolTip()
        assert panel.session.stems.current.text == ""
        frames.clear()
        panel.until(lambda: offered() == ["rain", "knocking"])


def test_suggested_places_go_with_the_clip_they_belong_to(open_panel: OpenPanel, tmp_path: Path) -> None:
    clip = write_struck(tmp_path, seed=1)
    panel, frames = opened(open_panel, clip.path)
    at_frame(panel, frames, 0)
    drag(frames.view, clip.box)
    panel.until(lambda: panel.session.stems.current.box is not None)
    frames.spans.ask.click()
    panel.until(frames.spans.use.isVisible)
    panel.director.open(tones(tmp_path / "voice.wav"))
    panel.until(lambda: panel.session.clip is not None and panel.session.clip.name == "voice.wav")
    assert frames.strip._suggested == []
    assert not frames.spans.use.isVisible()


def test_a_word_is_typed_beside_the_mark_and_completed_from_the_known_sounds(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    panel.until(lambda: panel.session.server_ready)
    marked(panel, frames, 20)
    panel.until(lambda: (popup := panel.director.words._popup) is not None and popup.isVisible())
    popup = panel.director.words._popup
    assert popup is not None
    assert frames.view.rect().contains(popup.geometry()), "the line is inside the picture"
    QTest.keyClicks(popup.edit, "bark")
    completions = popup.completer.completionModel()
    offered = [completions.index(row, 0).data() for row in range(completions.rowCount())]
    assert "dog barking" in offered or "dog" in offered or "barking" in offered
    QTest.keyClick(popup.edit, Qt.Key_Return)
    assert popup.isHidden()
    assert panel.session.stems.current.text == "bark"
    marked(panel, frames, 30)
    panel.bot.wait(500)
    assert popup.isHidden(), "the stem has words now"


def test_escape_closes_the_line_beside_the_mark_without_words(open_panel: OpenPanel, film: Path) -> None:
    panel, frames = opened(open_panel, film)
    panel.until(lambda: panel.session.server_ready)
    marked(panel, frames, 20)
    panel.until(lambda: (popup := panel.director.words._popup) is not None and popup.isVisible())
    popup = panel.director.words._popup
    assert popup is not None
    QTest.keyClicks(popup.edit, "dog")
    QTest.keyClick(popup.edit, Qt.Key_Escape)
    assert popup.isHidden() and not panel.session.stems.current.text
