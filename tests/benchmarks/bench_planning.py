"""Planning 5,000 clips, against reading them with opentimelineio alone."""

from __future__ import annotations

import random
import tempfile
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio

from stemline.clips import ClipRange, MediaFacts, MediaSource, TimeRange
from stemline.plan import PlanSettings, plan_separation
from stemline.prompts import StemRequest, TimelinePrompt

from .measure import best_of, report

CLIPS, RATE = 5000, Fraction(30000, 1001)


def main() -> None:
    generator = random.Random(3)
    sources = [MediaSource(f"/media/{i}.wav") for i in range(100)]
    facts = dict.fromkeys(sources, MediaFacts(48000, 2, 48000 * 3600))
    timeline, clips, record = otio.schema.Timeline("edit"), [], 0
    track = otio.schema.Track("A1", kind=otio.schema.TrackKind.Audio)
    timeline.tracks.append(track)
    whole = otio.opentime.TimeRange(otio.opentime.RationalTime(0, 29.97), otio.opentime.RationalTime(100_000, 29.97))
    for i in range(CLIPS):
        source, start, count = generator.choice(sources), generator.randrange(90_000), generator.randrange(20, 300)
        used = otio.opentime.TimeRange(
            otio.opentime.RationalTime(start, 29.97), otio.opentime.RationalTime(count, 29.97)
        )
        track.append(otio.schema.Clip(f"c{i}", otio.schema.ExternalReference(source.path, whole), used))
        at = TimeRange(start / RATE, (start + count) / RATE)
        clips.append(
            ClipRange(str(i), f"c{i}", "A1", source, at, TimeRange(record / RATE, (record + count) / RATE), RATE)
        )
        record += count
    stems = [StemRequest("dialogue", TimelinePrompt("speech"))]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "edit.otio")
        otio.adapters.write_to_file(timeline, path)
        read = best_of(5, lambda: otio.adapters.read_from_file(path))
    plan = best_of(5, lambda: plan_separation(clips, facts, stems, PlanSettings()))
    report("planning 5,000 clips", plan / read, "<= 4", f"otio reading them in {read * 1000:.0f} ms")
