"""Stems land on the very samples of their originals, at every rate and in every kind of player."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hosts.otio.support import (
    audio_track,
    clip,
    cross,
    difference,
    edit,
    gap,
    media,
    save,
    separate,
    span,
)

RATES = (24000 / 1001, 24, 25, 30000 / 1001, 50, 60000 / 1001)
EXACT = 1e-9  # the player mixes in float64; a sample that is one off would show as 1.2e-7


def hour(rate: float) -> tuple[int, int]:
    """Timecode 01:00:00:00 as a frame and as a whole sample at 48 kHz."""
    nominal = round(rate)
    frame = 3600 * nominal
    return frame, round(
        Fraction(frame * 48000) / (Fraction(nominal) if rate == nominal else Fraction(nominal * 1000, 1001))
    )


def two_track_edit(folder: Path, rate: float) -> Path:
    frame, sample = hour(rate)
    media(folder / "zero.wav", 12, channels=1)
    media(folder / "tc.wav", 12, channels=1, timecode_sample=sample)
    whole = (0, 10 * round(rate))
    late = (frame, 10 * round(rate))
    one = audio_track(
        "one",
        [
            clip("zero.wav", (7, 31), rate, whole),
            gap(11, rate),
            clip("tc.wav", (frame + 41, 53), rate, late),
            cross(4, 3, rate),
            clip("zero.wav", (77, 29), rate, whole),
        ],
    )
    two = audio_track(
        "two", [gap(3, rate), clip("zero.wav", (13, 47), rate, whole), clip("tc.wav", (frame, 19), rate, late)]
    )
    return save(folder / "edit.otio", one, two)


@pytest.mark.parametrize("rate", [*RATES, 23.976, 29.97, 59.94])
def test_sum_of_stems_is_the_original_at_every_rate(tmp_path: Path, rate: float) -> None:
    source = two_track_edit(tmp_path, rate)
    output = tmp_path / "out" / "edit.stems.otio"
    result = separate(edit(source, output), output)
    assert not result.read.skipped
    worst, loudest = difference(output)
    assert loudest > 0.01
    assert worst < EXACT
    assert result.written.tracks == ("half one", "half two", "residual one", "residual two")


def test_transition_keeps_both_clips_on_one_stem_track(tmp_path: Path) -> None:
    source = two_track_edit(tmp_path, 25)
    output = tmp_path / "out" / "edit.stems.otio"
    separate(edit(source, output), output)
    timeline = otio.adapters.read_from_file(str(output))
    stem = next(t for t in timeline.tracks if t.name == "half one")
    assert [type(item).__name__ for item in stem] == ["Clip", "Gap", "Clip", "Transition", "Clip"]
    assert stem[3].in_offset == otio.opentime.RationalTime(4, 25)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_nulls(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("any")
    rate = data.draw(st.sampled_from(RATES))
    sample_rate = data.draw(st.sampled_from((44100, 48000, 22050)))
    base = data.draw(st.sampled_from((0, 17, 3600 * round(rate))))
    exact = Fraction(round(rate)) if rate == round(rate) else Fraction(round(rate) * 1000, 1001)
    media(folder / "m.wav", 5, sample_rate=sample_rate, timecode_sample=round(base / exact * sample_rate))
    length = int(5 * exact)
    items: list[otio.core.Composable] = []
    for _ in range(data.draw(st.integers(1, 5))):
        if data.draw(st.booleans()):
            items.append(gap(data.draw(st.integers(1, 30)), rate))
        start = data.draw(st.integers(0, length - 12))
        items.append(clip("m.wav", (base + start, data.draw(st.integers(1, length - start))), rate, (base, length)))
    source = save(folder / "edit.otio", audio_track("a", items))
    output = folder / "out" / "edit.stems.otio"
    handle = Fraction(data.draw(st.integers(0, 3)), 4)
    separate(edit(source, output), output, handle=handle)
    worst, loudest = difference(output, sample_rate=sample_rate, length_s=32)
    assert worst < EXACT
    assert loudest > 0


def test_nested_retimed_and_trimmed_clips_null(tmp_path: Path) -> None:
    rate = 25
    media(tmp_path / "m.wav", 12)
    whole = (0, 300)
    nest = otio.schema.Stack(name="nest", source_range=span(10, 40, rate))
    nest.append(audio_track("in 1", [clip("m.wav", (5, 30), rate, whole), clip("m.wav", (100, 60), rate, whole)]))
    nest.append(audio_track("in 2", [gap(20, rate), clip("m.wav", (200, 25), rate, whole)]))
    fast = clip("m.wav", (40, 20), rate, whole, effects=[otio.schema.LinearTimeWarp(time_scalar=1.5)])
    source = save(
        tmp_path / "edit.otio",
        audio_track("a", [gap(5, rate), nest, fast, clip("m.wav", (3, 9), rate, whole)]),
    )
    output = tmp_path / "out" / "edit.stems.otio"
    result = separate(edit(source, output), output)
    assert [c.record_range.start for c in result.read.clips] == [Fraction(n, 25) for n in (5, 25, 15, 45, 65)]
    worst, loudest = difference(output)
    assert worst < EXACT
    assert loudest > 0.01
    timeline = otio.adapters.read_from_file(str(output))
    stems = [c for t in timeline.tracks if t.name.startswith("half") for c in t.find_clips()]
    assert [e.time_scalar for c in stems for e in c.effects] == [1.5]


@pytest.mark.parametrize(("zero", "timecode"), [("available", 1), ("available", 0), ("file", 1), ("start", 0)])
def test_players_that_ignore_available_ranges_land_right_too(tmp_path: Path, zero: str, timecode: int) -> None:
    """Each of these players plays the originals right; then it must play the stems right."""
    rate, base = 25, 90000 * timecode
    media(tmp_path / "m.wav", 10, timecode_sample=base * 1920)
    items = [
        clip("m.wav", (base + 60, 50), rate, (base, 250)),
        gap(7, rate),
        clip("m.wav", (base + 99, 50), rate, (base, 250)),
    ]
    source = save(tmp_path / "edit.otio", audio_track("a", items))
    output = tmp_path / "out" / "edit.stems.otio"
    separate(edit(source, output), output)
    worst, loudest = difference(output, zero=zero)
    assert loudest > 0.01
    assert worst < EXACT
