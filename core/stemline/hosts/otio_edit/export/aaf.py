"""AAF with linked WAV files: one mono track per channel, as Avid and Pro Tools take their sound."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import opentimelineio as otio

from stemline.clips import MediaSource
from stemline.errors import OutputError
from stemline.hosts.otio_edit.exact import Ticks, frame_ticks, span_of, ticks_of
from stemline.hosts.otio_edit.export.sequence import Item, Sequence, SequenceTrack
from stemline.hosts.otio_edit.formats import AAF, call_adapter
from stemline.hosts.otio_edit.links import plain_path
from stemline.media import AudioFormat, SampleFormat, StemTags, open_audio, open_writer, probe, read_tags

_BLOCK_SAMPLES = 1 << 17
_SIDES = {1: ("",), 2: (".L", ".R"), 6: (".L", ".R", ".C", ".LFE", ".Ls", ".Rs")}


class Placed(NamedTuple):
    """One mono clip as the file must say it, in frames."""

    track: int
    start: int
    length: int
    file_start: int
    path: str


def write(sequence: Sequence, spool: Path, target: Path) -> list[str]:
    """Writes and reads back; gives every difference."""
    timeline, expected = _timeline(sequence)
    spool.parent.mkdir(parents=True, exist_ok=True)
    call_adapter(AAF, target, lambda adapter: adapter.write_to_file(timeline, str(spool), use_empty_mob_ids=True))
    back = call_adapter(AAF, target, lambda adapter: adapter.read_from_file(str(spool)))
    if not isinstance(back, otio.schema.Timeline):
        return ["it reads back as more than one sequence"]
    return _differences(sequence, expected, back)


def _timeline(sequence: Sequence) -> tuple[otio.schema.Timeline, list[Placed]]:
    rate = float(sequence.rate)
    timeline = otio.schema.Timeline(sequence.name, global_start_time=otio.opentime.RationalTime(sequence.start, rate))
    legs: dict[tuple[Path, int], Path] = {}
    expected: list[Placed] = []
    for track in sequence.tracks:
        if not track.items:
            continue
        if not track.enabled:
            sequence.notes.append(f"AAF cannot mute a track: mute {track.name} by hand.")
        for channel, side in enumerate(_sides(track.channels)):
            made = otio.schema.Track(name=f"{track.name}{side}", kind=otio.schema.TrackKind.Audio)
            cursor = 0
            for item in track.items:
                if item.start > cursor:
                    made.append(_gap(item.start - cursor, rate))
                path = _leg(item.path, channel, track.channels, legs)
                made.append(_clip(item, path, _pan(track, channel), rate))
                expected.append(Placed(len(timeline.tracks), item.start, item.length, item.file_start, str(path)))
                cursor = item.start + item.length
                _note_losses(item, sequence.notes)
            if sequence.length > cursor:
                made.append(_gap(sequence.length - cursor, rate))
            timeline.tracks.append(made)
    return timeline, expected


def _note_losses(item: Item, notes: list[str]) -> None:
    if not item.clip.enabled:
        notes.append(f"AAF cannot disable a clip: {item.clip.name} sounds in it.")
    if len(item.clip.markers) or len(item.clip.effects):
        notes.append(f"The markers and effects of {item.clip.name} are only in the .otio.")


def _sides(channels: int) -> tuple[str, ...]:
    return _SIDES.get(channels) or tuple(f".{number}" for number in range(1, channels + 1))


def _pan(track: SequenceTrack, channel: int) -> str:
    return ("0/1", "1/1")[channel] if track.channels == 2 else "1/2"


def _gap(frames: int, rate: float) -> otio.schema.Gap:
    return otio.schema.Gap(
        source_range=otio.opentime.TimeRange(
            otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(frames, rate)
        )
    )


def _clip(item: Item, path: Path, pan: str, rate: float) -> otio.schema.Clip:
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
        path.as_uri(),
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


def _leg(path: Path, channel: int, channels: int, made: dict[tuple[Path, int], Path]) -> Path:
    """One channel of a stem file as a file of its own, beside it; a mono stem is that already."""
    if channels == 1:
        return path
    key = (path, channel)
    if key not in made:
        leg = path.parent / "mono" / f"{path.stem}{_sides(channels)[channel]}.wav"
        if not leg.exists() or leg.stat().st_mtime_ns < path.stat().st_mtime_ns:
            _write_leg(path, channel, leg)
        made[key] = leg
    return made[key]


def _write_leg(path: Path, channel: int, leg: Path) -> None:
    tags = read_tags(path)
    own = StemTags(
        description=tags.bext.description if tags.bext else path.stem,
        time_reference_sample=tags.bext.time_reference_sample if tags.bext else 0,
    )
    leg.parent.mkdir(parents=True, exist_ok=True)
    with open_audio(MediaSource(str(path), 0, (channel,))) as sound:
        wide = sound.sample_format.startswith("f")
        sample_format = SampleFormat.WAV32F if wide else SampleFormat.WAV24
        with open_writer(leg, AudioFormat(sample_format, sound.sample_rate, 1), own) as writer:
            for start in range(0, sound.length_samples, _BLOCK_SAMPLES):
                writer.write(sound.read(start, min(start + _BLOCK_SAMPLES, sound.length_samples)))
    if probe(leg).streams[0].length_samples != probe(path).streams[0].length_samples:
        raise OutputError(f"{leg} is not as long as its stem.")


def _differences(sequence: Sequence, expected: list[Placed], back: otio.schema.Timeline) -> list[str]:
    found = []
    for number, track in enumerate(t for t in back.tracks if t.kind == otio.schema.TrackKind.Audio):
        cursor = 0
        for item in track:
            length = _frames(span_of(item.trimmed_range()).duration, sequence)
            if isinstance(item, otio.schema.Clip):
                reference = item.media_reference
                inside = ticks_of(item.source_range.start_time) - ticks_of(reference.available_range.start_time)
                path = plain_path(getattr(reference, "target_url", ""))
                found.append(Placed(number, cursor, length, _frames(inside, sequence), path))
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
