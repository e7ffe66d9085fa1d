"""The estimate counts the bytes that a run writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from runs.conftest import noise
from stemline.clips import MediaSource
from stemline.hosts.plain_files import PlainFile
from stemline.media import media_facts
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import RunSettings, prepare
from stemline.workflow.estimate import estimate, known_speed, remember_speed, remember_writing
from stemline.workflow.replacing import Replace


@pytest.mark.parametrize(
    ("bits", "chosen", "width"), [(24, None, 3), (32, None, 4), (32, "wav24", 3), (24, "wav32f", 4)]
)
def test_the_disk_is_checked_for_the_format_that_is_written(
    bits: int, chosen: str | None, width: int, tmp_path: Path
) -> None:
    source = MediaSource(str(noise(tmp_path / "take.wav", seconds=1.0, bits=bits)))
    host = PlainFile(source, media_facts(source), None, None)
    settings = RunSettings(tmp_path, sample_format=chosen)
    prepared = prepare(host, [StemRequest("a", TimelinePrompt("x"))], settings)
    (segment,) = prepared.plan.segments
    assert estimate(prepared, settings).output_bytes == segment.range.length * 2 * width * 2


def test_the_time_of_writing_is_part_of_the_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_CACHE", str(tmp_path / "cache"))
    source = MediaSource(str(noise(tmp_path / "take.wav", seconds=20.0)))
    host = PlainFile(source, media_facts(source), None, None)
    settings = RunSettings(tmp_path, model="noop")
    prepared = prepare(host, [StemRequest("a", TimelinePrompt("x"))], settings)
    unknown = estimate(prepared, settings)
    assert unknown.total_s is None
    assert unknown.write_s > 0
    remember_speed("noop", 1000.0, 1.0)
    remember_writing(2, 10_000_000, 5.0)
    known = estimate(prepared, settings)
    assert known.engine_s is not None
    assert known.engine_s == pytest.approx(0.02, rel=0.5)
    assert known.write_s == pytest.approx(known.output_bytes / 10_000_000 * 5.0, rel=0.1)
    assert known.total_s == known.engine_s + known.write_s


def test_sounds_that_are_converted_for_fills_need_room_too(tmp_path: Path) -> None:
    source = MediaSource(str(noise(tmp_path / "take.wav", seconds=2.0)))
    host = PlainFile(source, media_facts(source), None, None)
    rain = noise(tmp_path / "rain.wav", seconds=5.0, sample_rate=44100, channels=1)
    stems = [StemRequest("a", TimelinePrompt("x"))]

    def needed(*fills: Replace) -> int:
        settings = RunSettings(tmp_path, replace={"a": fills[0]} if fills else {})
        return estimate(prepare(host, stems, settings), settings).output_bytes

    stereo_second = 48_000 * 2
    plain = needed()
    assert needed(Replace(path=str(rain))) - plain == 2 * stereo_second * 3 + 5 * stereo_second * 4
    assert needed(Replace(words="rain", takes=2)) - plain == 2 * 2 * stereo_second * 3 + 2 * stereo_second * 4


def test_a_start_that_lasts_longer_than_the_sound_is_not_taken_for_the_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMLINE_CACHE", str(tmp_path / "cache"))
    remember_speed("noop", 100.0, 1.0)
    remember_speed("noop", 1 / 48_000, 0.4)
    assert known_speed("noop") == 100
