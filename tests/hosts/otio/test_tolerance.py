"""What a run does not need stops no edit, and rates as files spell them refuse no result."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest

from hosts.otio.support import audio_track, clip, cross, edit, frames, gap, media, save, separate, span
from stemline.errors import Code, OutputError, UsageError
from stemline.hosts.base import Selection
from stemline.hosts.edits import EditOptions, OpenRequest
from stemline_otio.edit_files import FILES
from stemline_otio.exact_time import TICKS_PER_SECOND, Span
from stemline_otio.writing import is_placed_right

WHOLE = (0, 400)


@pytest.mark.parametrize("rate", [23.976, 29.97, 59.94, 23.98, 23.976024627685547])
def test_a_rate_as_files_spell_it_among_others_is_written(tmp_path: Path, rate: float) -> None:
    media(tmp_path / "a.wav", 40)
    items = [clip("a.wav", (20, 240), rate, WHOLE), gap(10, 25), clip("a.wav", (20, 50), rate, WHOLE)]
    path = save(tmp_path / "edit.otio", audio_track("A1", items), start=frames(90000, 25))
    output = tmp_path / "out" / "edit.stems.otio"
    result = separate(edit(path, output), output)
    assert result.written.tracks == ("half A1", "residual A1")


@pytest.mark.parametrize("frames_before", [100, 24 * 3600 * 20])
def test_a_clip_one_frame_off_is_still_seen(frames_before: int) -> None:
    """After 20 hours the literal 23.976 is 72 ms off, more than a frame."""
    items = [gap(frames_before, 23.976), clip("a.wav", (0, 24), 23.976, WHOLE), gap(25, 25)]
    track = audio_track("A1", [*items, clip("b.wav", (20, 240), 23.976, WHOLE)])
    frame = Fraction(TICKS_PER_SECOND * 1001, 24000)
    first = Span(frames_before * frame, (frames_before + 24) * frame)
    start = first.end + TICKS_PER_SECOND
    assert is_placed_right(track, [first, Span(start, start + 240 * frame)])
    assert not is_placed_right(track, [first, Span(start + frame, start + 241 * frame)])
    assert not is_placed_right(track, [first, Span(start, start + 241 * frame)])


def changed(path: Path, change: Callable[[list[Any]], None]) -> Path:
    """Change the items of the first track of an .otio file, as JSON."""
    document = json.loads(path.read_text())
    change(document["tracks"]["children"][0]["children"])
    path.write_text(json.dumps(document))
    return path


def plain_edit(folder: Path) -> Path:
    media(folder / "a.wav", 20)
    first = clip("a.wav", (20, 50), 25, WHOLE, name="first")
    first.markers.append(otio.schema.Marker("here", span(30, 1, 25)))
    first.effects.append(otio.schema.Effect(effect_name="Volume"))
    items = [first, clip("a.wav", (90, 40), 25, WHOLE, name="second"), cross(5, 5, 25)]
    return save(folder / "edit.otio", audio_track("A1", [*items, clip("a.wav", (200, 40), 25, WHOLE, name="third")]))


def bad_marker(items: list[Any]) -> None:
    items[0]["markers"][0]["marked_range"]["start_time"]["rate"] = 0.0


def newer_marker(items: list[Any]) -> None:
    items[0]["markers"][0]["OTIO_SCHEMA"] = "Marker.7"


def unknown_effect(items: list[Any]) -> None:
    items[0]["effects"].append({"OTIO_SCHEMA": "StudioGlow.3", "name": "glow", "amount": 7})


def unknown_reference(items: list[Any]) -> None:
    items[0]["media_references"]["proxy"] = {"OTIO_SCHEMA": "StudioReference.1", "asset": "x"}


def bad_transition(items: list[Any]) -> None:
    items[2]["in_offset"]["rate"] = 0.0


@pytest.mark.parametrize("change", [bad_marker, newer_marker, unknown_effect, unknown_reference, bad_transition])
def test_what_is_not_needed_stops_no_edit(tmp_path: Path, change: Callable[[list[Any]], None]) -> None:
    path = changed(plain_edit(tmp_path), change)
    output = tmp_path / "out" / "edit.stems.otio"
    result = separate(edit(path, output), output)
    assert [c.name for c in result.read.clips] == ["first", "second", "third"]
    assert result.read.notes or result.written.notes


def test_a_bad_time_of_one_clip_stops_no_other(tmp_path: Path) -> None:
    def no_start(items: list[Any]) -> None:
        items[0]["source_range"]["start_time"]["rate"] = 0.0

    read = edit(changed(plain_edit(tmp_path), no_start)).read_clips(Selection())
    assert [(skip.clip, skip.code) for skip in read.skipped] == [("first", Code.CLIP_TIME_AMBIGUOUS)]
    assert {c.name: int(c.source_range.start * 25) for c in read.clips} == {"second": 90, "third": 195}
    assert read.clips[0].record_range.start * 25 == 50


def test_clips_behind_a_length_that_cannot_be_read_are_not_guessed(tmp_path: Path) -> None:
    def no_length(items: list[Any]) -> None:
        items[1]["source_range"]["duration"]["value"] = -3.0

    read = edit(changed(plain_edit(tmp_path), no_length)).read_clips(Selection())
    assert [c.name for c in read.clips] == ["first"]
    assert {skip.clip: skip.code for skip in read.skipped} == {
        "second": Code.CLIP_TIME_AMBIGUOUS, "third": Code.CLIP_TIME_AMBIGUOUS
    }  # fmt: skip


def order(edit_path: Path, **options: Any) -> OpenRequest:
    target = edit_path.parent / "out" / "e.stems.otio"
    return OpenRequest(edit_path, target, EditOptions(**options), "report.json", edit_path.parent)


def test_a_rate_that_a_format_needs_is_asked_for_before_the_work(tmp_path: Path) -> None:
    media(tmp_path / "a.wav", 20)
    whole = (0, 960000)
    path = save(tmp_path / "edit.otio", audio_track("A1", [clip("a.wav", (4800, 96000), 48000, whole)]))
    with pytest.raises(UsageError, match="frame rate"):
        FILES.open_edit(order(path, to=("xml",)))
    assert FILES.open_edit(order(path)).read_clips(Selection()).clips
    assert FILES.open_edit(order(path, to=("xml",), rate=25)).read_clips(Selection()).clips


def test_the_edit_itself_as_target_is_refused_before_the_work(tmp_path: Path) -> None:
    path = plain_edit(tmp_path)
    request = OpenRequest(path, path, EditOptions(), "report.json", tmp_path)
    with pytest.raises(OutputError):
        FILES.open_edit(request)
