"""AAF with linked WAV files: one mono track per channel, as Avid and Pro Tools take their sound."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import opentimelineio as otio

from stemline_otio.effects import is_idle
from stemline_otio.exact_time import Ticks, frame_ticks, span_of, ticks_of
from stemline_otio.export.sequence import Item, Sequence, SequenceTrack, note_hard_cuts
from stemline_otio.formats import AAF, call_adapter
from stemline_otio.links import plain_path
from stemline_otio.messages import list_names


class ExpectedClip(NamedTuple):
    """One mono clip, as the file must state it, in frames."""

    track: int
    start: int
    length: int
    file_start: int
    path: Path


def write(sequence: Sequence, spool: Path, target: Path) -> list[str]:
    """Write one mono track per channel and read the file back; return every difference."""
    timeline, expected = _timeline(sequence)
    _note_losses(sequence)
    spool.parent.mkdir(parents=True, exist_ok=True)
    call_adapter(AAF, target, lambda adapter: adapter.write_to_file(timeline, str(spool), use_empty_mob_ids=True))
    back = call_adapter(AAF, target, lambda adapter: adapter.read_from_file(str(spool)))
    if not isinstance(back, otio.schema.Timeline):
        return ["it reads back as more than one sequence"]
    return _differences(sequence, expected, back)


def _timeline(sequence: Sequence) -> tuple[otio.schema.Timeline, list[ExpectedClip]]:
    rate = float(sequence.rate)
    timeline = otio.schema.Timeline(sequence.name, global_start_time=otio.opentime.RationalTime(sequence.start, rate))
    expected: list[ExpectedClip] = []
    for track in sequence.tracks:
        if not track.items:
            continue
        made = otio.schema.Track(name=track.name, kind=otio.schema.TrackKind.Audio)
        cursor = 0
        for item in track.items:
            if item.start > cursor:
                made.append(_gap(item.start - cursor, rate))
            made.append(_clip(item, _pan(track), rate))
            expected.append(ExpectedClip(len(timeline.tracks), item.start, item.length, item.file_start, item.path))
            cursor = item.start + item.length
        if sequence.length > cursor:
            made.append(_gap(sequence.length - cursor, rate))
        timeline.tracks.append(made)
    return timeline, expected


def _note_losses(sequence: Sequence) -> None:
    """Note what AAF, as the adapter writes it, cannot hold: mutes, markers, effects and transitions."""
    items = [item.clip for track in sequence.tracks for item in track.items]
    muted = [track.name for track in sequence.tracks if track.items and not track.enabled]
    silent = [clip.name for clip in items if not clip.enabled]
    rich = [clip.name for clip in items if len(clip.markers) or not all(map(is_idle, clip.effects))]
    if muted:
        sequence.notes.append(f"AAF cannot mute a track: mute {', '.join(muted)} by hand.")
    if silent:
        sequence.notes.append(f"AAF cannot disable a clip: {list_names(list(dict.fromkeys(silent)))} sounds in it.")
    if rich:
        sequence.notes.append(f"{list_names(list(dict.fromkeys(rich)))}: markers and effects are only in the .otio.")
    note_hard_cuts(sequence.tracks, sequence.notes)


def _pan(track: SequenceTrack) -> str:
    return ("0/1", "1/1")[track.side] if track.sides == 2 else "1/2"


def _gap(frames: int, rate: float) -> otio.schema.Gap:
    return otio.schema.Gap(
        source_range=otio.opentime.TimeRange(
            otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(frames, rate)
        )
    )


def _clip(item: Item, pan: str, rate: float) -> otio.schema.Clip:
    stream = item.stream
    width = (stream.bits or 24) // 8
    length = max(item.file_frames, item.file_start + item.length)
    points = [{"ControlPointSource": 2, "Time": at, "Value": pan} for at in ("0/1", "1/1")]
    description = {
        "SampleRate": str(stream.sample_rate),
        "AudioSamplingRate": str(stream.sample_rate),
        "Length": stream.length_samples,
        "Channels": 1,
        "QuantizationBits": stream.bits or 24,
        "BlockAlign": width,
        "AverageBPS": stream.sample_rate * width,
    }
    reference = otio.schema.ExternalReference(
        item.path.as_uri(),
        otio.opentime.TimeRange(otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(length, rate)),
        {"AAF": {"EssenceDescription": description}},
    )
    return otio.schema.Clip(
        name=item.clip.name,
        media_reference=reference,
        source_range=otio.opentime.TimeRange(
            otio.opentime.RationalTime(item.file_start, rate), otio.opentime.RationalTime(item.length, rate)
        ),
        metadata={"AAF": {"Pan": {"ControlPoints": points}, "UserComments": {"Stemline": item.exact}}},
    )


def _differences(sequence: Sequence, expected: list[ExpectedClip], back: otio.schema.Timeline) -> list[str]:
    found = []
    for number, track in enumerate(t for t in back.tracks if t.kind == otio.schema.TrackKind.Audio):
        cursor = 0
        for item in track:
            length = _frames(span_of(item.trimmed_range()).duration, sequence)
            if isinstance(item, otio.schema.Clip):
                reference = item.media_reference
                inside = ticks_of(item.source_range.start_time) - ticks_of(reference.available_range.start_time)
                path = Path(plain_path(getattr(reference, "target_url", "")))
                found.append(ExpectedClip(number, cursor, length, _frames(inside, sequence), path))
            cursor += length
    differences = [f"{got} and not {want}" for want, got in zip(expected, found, strict=False) if want != got]
    if len(found) != len(expected):
        differences.append(f"it has {len(found)} clips and not {len(expected)}")
    start = back.global_start_time
    if start is None or round(start.value) != sequence.start:
        differences.append(f"it starts at {start} and not at frame {sequence.start}")
    return differences


def _frames(ticks: Ticks, sequence: Sequence) -> int:
    return round(ticks / frame_ticks(float(sequence.rate)))
