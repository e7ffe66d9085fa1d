"""Reading and writing a 5,000-clip edit, against opentimelineio's own time to read and write the same file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import opentimelineio as otio

from stemline.clips import ClipRange, SampleRange, StemClip, StemTrack
from stemline.hosts.base import Selection, WriteOptions
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline_otio import OtioTarget, open_edit

from .measure import best_of, report

_TRACKS, _CLIPS, _RATE, _FILES = 5, 1000, 25, 20


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = _make_edit(folder)
        target = OtioTarget(folder / "out.otio")
        plain_read = best_of(3, lambda: otio.adapters.read_from_file(str(path)))
        timeline = otio.adapters.read_from_file(str(path))
        plain_write = best_of(3, lambda: otio.adapters.write_to_file(timeline, str(folder / "again.otio")))
        read = best_of(3, lambda: open_edit(path, target).read_clips(Selection()))
        report("open and read 5,000 clips", read / plain_read, "a few times", "opentimelineio reading the file")
        host = open_edit(path, target)
        tracks = _stems(host.read_clips(Selection()).clips)
        write = best_of(3, lambda: host.write_tracks(tracks, WriteOptions()))
        both = 2 * (plain_read + plain_write)
        report("write and check 5,000 stems", write / both, "a few times", "opentimelineio writing and reading as much")


def _make_edit(folder: Path) -> Path:
    for number in range(_FILES):
        with open_writer(folder / f"m{number}.wav", AudioFormat(SampleFormat.WAV24, 8000, 1), None) as writer:
            writer.write(np.zeros((1, 10 * 8000), np.float32))
    timeline = otio.schema.Timeline("many")
    for track in range(_TRACKS):
        clips = [_clip(f"m{(number + track) % _FILES}.wav", number % 100) for number in range(_CLIPS)]
        timeline.tracks.append(otio.schema.Track(f"A{track}", kind="Audio", children=clips))
    path = folder / "many.otio"
    otio.adapters.write_to_file(timeline, str(path))
    return path


def _clip(url: str, start: int) -> otio.schema.Clip:
    time = otio.opentime.RationalTime
    span = otio.opentime.TimeRange
    reference = otio.schema.ExternalReference(url, span(time(0, _RATE), time(10 * _RATE, _RATE)))
    return otio.schema.Clip(url, reference, span(time(start, _RATE), time(100, _RATE)))


def _stems(clips: tuple[ClipRange, ...]) -> list[StemTrack]:
    by_track: dict[str, list[StemClip]] = {}
    for clip in clips:
        stem = StemClip(
            clip.clip_id,
            clip.name,
            clip.source.path,
            clip.record_range,
            clip.source_range.start,
            SampleRange(0, 80000),
            8000,
            {"stem": "x", "source": {"start_sample": 0}},
        )
        by_track.setdefault(clip.track, []).append(stem)
    return [StemTrack(f"x {name}", "x", name, 0, 1, True, tuple(stems)) for name, stems in by_track.items()]
