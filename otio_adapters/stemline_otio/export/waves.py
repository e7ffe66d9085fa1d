"""Stems as broadcast waves: one for each stem clip, stamped for spotting, and one for each channel."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import string
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stemline.clips import MediaSource
from stemline.errors import Code, OutputError, UsageError
from stemline.media import AudioFormat, SampleFormat, StemTags, open_audio, open_writer, probe, read_tags
from stemline.plan import safe_part
from stemline.timebase import format_timecode, round_half_up
from stemline_otio.exact_time import TICKS_PER_SECOND, Ticks, frame_ticks
from stemline_otio.export.sequence import Item, Sequence, SequenceTrack

_BLOCK_SAMPLES = 1 << 17
_SIDES = {1: ("",), 2: (".L", ".R"), 6: (".L", ".R", ".C", ".LFE", ".Ls", ".Rs")}


def split_by_channel(sequence: Sequence) -> Sequence:
    """Return the sequence with one mono track per channel.

    The files of the channels are written beside their stems, once.
    """
    made: dict[tuple[Path, int], Item] = {}
    tracks = []
    for track in sequence.tracks:
        for channel, side in enumerate(sides_of(track.channels)):
            items = [_leg_item(item, channel, made) for item in track.items]
            own = dataclasses.replace(track, name=f"{track.name}{side}", channels=1, items=items)
            tracks.append(dataclasses.replace(own, side=channel, sides=track.channels))
    return dataclasses.replace(sequence, tracks=tracks)


def sides_of(channels: int) -> tuple[str, ...]:
    """Return the suffixes of file and track names for the channels of a layout."""
    return _SIDES.get(channels) or tuple(f".{number}" for number in range(1, channels + 1))


def copy_sound(source: MediaSource, first_sample: int, target: Path, tags: StemTags) -> None:
    """Write the sound of a stem file, or some of its channels, from a sample on into another file.

    Raises:
        OutputError: OUTPUT_DAMAGED where the copy is not as long as it should be.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_audio(source) as sound:
        wide = sound.sample_format.startswith("f")
        form = AudioFormat(
            SampleFormat.WAV32F if wide else SampleFormat.WAV24, sound.sample_rate, sound.channels, sound.layout
        )
        with open_writer(target, form, tags) as writer:
            for block in sound.blocks(first_sample, sound.length_samples, _BLOCK_SAMPLES):
                writer.write(block)
        length = sound.length_samples - first_sample
    if probe(target).streams[0].length_samples != length:
        raise OutputError(f"{target} is not as long as its stem.", code=Code.OUTPUT_DAMAGED)


def _leg_item(item: Item, channel: int, made: dict[tuple[Path, int], Item]) -> Item:
    if item.stream.channels == 1:
        return item
    key = (item.path, channel)
    if key not in made:
        leg = item.path.parent / "mono" / f"{item.path.stem}{sides_of(item.stream.channels)[channel]}.wav"
        if not leg.exists() or leg.stat().st_mtime_ns < item.path.stat().st_mtime_ns:
            stem = read_tags(item.path).bext
            tags = StemTags(
                description=stem.description if stem else item.path.stem,
                time_reference_sample=stem.time_reference_sample if stem else 0,
            )
            copy_sound(MediaSource(str(item.path), 0, (channel,)), 0, leg, tags)
        made[key] = dataclasses.replace(item, path=leg, stream=probe(leg).streams[0])
    return dataclasses.replace(item, path=made[key].path, stream=made[key].stream)


_FIELDS = ("edit", "track", "stem", "clip", "source", "record", "number")
_DAY_S = 86400
_MAX_NAME_BYTES = 160


@dataclass(frozen=True, slots=True)
class WaveOptions:
    """Options of a delivery.

    `names` is a template of file names; `record_stamp` stamps the place in the edit, else the source's.
    """

    names: str = "{track}_{record}_{clip}"
    record_stamp: bool = True


@dataclass(frozen=True, slots=True)
class Wave:
    """A file to write: the stem file from `first_sample` on, with a name and a time reference."""

    item: Item
    name: str
    first_sample: int
    time_reference_sample: int


def check_names(names: str) -> None:
    """Refuse a template of file names with unknown fields, or without any. Raises UsageError."""
    known = ", ".join(f"{{{name}}}" for name in _FIELDS)
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(names) if name is not None}
        names.format(**dict.fromkeys(_FIELDS, "x"))
    except (ValueError, LookupError, AttributeError) as error:
        raise UsageError(f"--name-template cannot be read: {names[:80]!r}.", advice=f"Its fields: {known}.") from error
    if not fields <= set(_FIELDS) or not fields:
        raise UsageError(f"--name-template has no field: {names[:80]!r}.", advice=f"Its fields: {known}.")


def waves_of(sequence: Sequence, options: WaveOptions) -> list[Wave]:
    """Return the files to write, in the order of tracks and time, under distinct names."""
    taken: set[str] = set()
    waves = []
    for track in sequence.tracks:
        for number, item in enumerate(track.items, 1):
            base = _named(options.names, sequence, track, item, number)
            name, count = base, 2
            while name.casefold() in taken:
                name, count = f"{base}-{count}", count + 1
            taken.add(name.casefold())
            waves.append(Wave(item, f"{name}.wav", *_stamp(sequence, item, record=options.record_stamp)))
    return waves


def digest_of(waves: list[Wave]) -> str:
    """Return a digest of a delivery: equal for the same files, different for any others."""
    content = [
        [wave.name, wave.first_sample, wave.time_reference_sample, str(wave.item.stemline.get("audio_sha256"))]
        for wave in waves
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_waves(sequence: Sequence, waves: list[Wave], folder: Path) -> None:
    """Write the files that are not there yet, and compare every time stamp as read back. Raises OutputError."""
    for wave in waves:
        target = folder / wave.name
        if not target.exists():
            tags = StemTags(
                description=wave.item.clip.name,
                time_reference_sample=wave.time_reference_sample,
                frame_rate=sequence.rate,
                drop_frame=sequence.drop_frame,
                note=wave.item.exact,
            )
            copy_sound(MediaSource(str(wave.item.path)), wave.first_sample, target, tags)
        bext = read_tags(target).bext
        if bext is None or bext.time_reference_sample != wave.time_reference_sample:
            raise OutputError(f"{target} does not hold the time stamp that was written.", code=Code.OUTPUT_DAMAGED)


def _stamp(sequence: Sequence, item: Item, *, record: bool) -> tuple[int, int]:
    """Return the first sample of the stem that is written, and its time reference. No stamp lies before midnight."""
    rate = item.stream.sample_rate
    if not record:
        bext = read_tags(item.path).bext
        return 0, bext.time_reference_sample if bext else 0
    frame = frame_ticks(float(sequence.rate))
    at = _samples((sequence.start + item.start - item.file_start) * frame, rate)
    return max(0, -at), max(0, at) % (_DAY_S * rate)


def _samples(ticks: Ticks, rate: int) -> int:
    return round_half_up(Fraction(ticks) * rate / TICKS_PER_SECOND)


def _named(names: str, sequence: Sequence, track: SequenceTrack, item: Item, number: int) -> str:
    start = format_timecode(sequence.start + item.start, sequence.rate, drop_frame=sequence.drop_frame)
    stem = str(item.stemline.get("stem", ""))
    fields = {
        "edit": sequence.name.removesuffix(" stems"),
        "track": track.name,
        "stem": stem,
        "clip": item.clip.name.removesuffix(f" {stem}"),
        "source": Path(str(item.source.get("media", ""))).stem,
        "record": "".join(c for c in start if c.isdigit()),
        "number": f"{number:03d}",
    }
    return safe_part(names.format(**fields), _MAX_NAME_BYTES)
