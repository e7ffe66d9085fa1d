"""A turnover of 500 clips on 6 tracks, read, planned, written and compared, without engine time.

Against what the adapters themselves take to read and write the same files. AAF is measured on 60 clips a track: its
adapter takes minutes for 500.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import opentimelineio as otio

from stemline.clips import SampleRange, StemClip, StemTrack
from stemline.hosts.base import ReadClips, Selection, WriteOptions
from stemline.media import AudioFormat, SampleFormat, media_facts, open_writer
from stemline.plan import PlanSettings, plan_separation
from stemline.prompts import StemRequest, TimelinePrompt
from stemline_otio import OtioTarget, open_edit
from stemline_otio.export import ExportRequest, export_stems
from stemline_otio.export.rewriting import prepare_fcp

from .measure import report

_TRACKS, _RATE, _FILES, _SECONDS = 6, 25, 20, 30


def main() -> None:
    for kind, clips in (("xml", 250), ("xml", 500), ("aaf", 60)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            edit = _make_edit(folder, clips, kind)
            before = _peak_mb()
            ours = _seconds(lambda: _turn_over(edit, folder, kind))  # noqa: B023 - called here and now
            grown = _peak_mb() - before
            theirs = _adapters(edit, folder, kind)
        what = f"{clips} clips x {_TRACKS} tracks, {kind} in and out"
        report(what, ours / theirs, "at most 1.5", f"the adapters alone, {theirs:.1f} s")
        report(f"{what}: peak memory grown, MB", grown, "flat", "the run before")


def _seconds(work: Callable[[], object]) -> float:
    """Processor time, which other programs on the machine do not lengthen."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _turn_over(edit: Path, folder: Path, kind: str) -> None:
    output = folder / "out" / "edit.stems.otio"
    host = open_edit(edit, OtioTarget(output))
    read = host.read_clips(Selection())
    facts = {clip.source: media_facts(clip.source) for clip in read.clips}
    plan = plan_separation(read.clips, facts, [StemRequest("x", TimelinePrompt("x"))], PlanSettings())
    assert len(plan.segment_of()) == len(read.clips)
    written = host.write_tracks(_stems(read), WriteOptions())
    export_stems(ExportRequest(output, written.tracks, folder / "out" / f"edit.stems.{kind}"))


def _adapters(edit: Path, folder: Path, kind: str) -> float:
    """Reading the edit, and writing and reading each file that came of it."""
    options = {"use_empty_mob_ids": True} if kind == "aaf" else {}
    total = _seconds(lambda: otio.adapters.read_from_file(str(edit)))
    for path in (folder / "out" / "edit.stems.otio", folder / "out" / f"edit.stems.{kind}"):
        more = options if path.suffix != ".otio" else {}
        timeline = otio.adapters.read_from_file(str(path))
        if path.suffix == ".xml":
            prepare_fcp(timeline)
        again = folder / f"again{path.suffix}"
        total += _seconds(lambda: otio.adapters.write_to_file(timeline, str(again), **more))  # noqa: B023
        total += _seconds(lambda: otio.adapters.read_from_file(str(again)))  # noqa: B023
    return total


def _make_edit(folder: Path, clips: int, kind: str) -> Path:
    for number in range(_FILES):
        with open_writer(folder / f"m{number}.wav", AudioFormat(SampleFormat.WAV24, 8000, 1), None) as writer:
            writer.write(np.zeros((1, _SECONDS * 8000), np.float32))
    timeline = otio.schema.Timeline("many", global_start_time=_time(90000))
    for track in range(_TRACKS):
        children = [_clip(folder / f"m{(number + track) % _FILES}.wav", number % 500) for number in range(clips)]
        timeline.tracks.append(otio.schema.Track(f"A{track + 1}", kind="Audio", children=children))
    prepare_fcp(timeline)
    path = folder / f"many.{kind}"
    otio.adapters.write_to_file(timeline, str(path), **({"use_empty_mob_ids": True} if kind == "aaf" else {}))
    return path


def _clip(path: Path, start: int) -> otio.schema.Clip:
    span = otio.opentime.TimeRange
    reference = otio.schema.ExternalReference(path.as_uri(), span(_time(0), _time(_SECONDS * _RATE)))
    return otio.schema.Clip(path.name, reference, span(_time(start), _time(100)))


def _time(frames: int) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(frames, _RATE)


def _stems(read: ReadClips) -> list[StemTrack]:
    by_track: dict[str, list[StemClip]] = {}
    for clip in read.clips:
        stem = StemClip(
            clip.clip_id, clip.name, clip.source.path, clip.record_range, clip.source_range.start,
            SampleRange(0, _SECONDS * 8000), 8000, {"stem": "x", "source": {"start_sample": 0}},
        )  # fmt: skip
        by_track.setdefault(clip.track, []).append(stem)
    return [StemTrack(f"x {name}", "x", name, 0, 1, True, tuple(stems)) for name, stems in by_track.items()]
