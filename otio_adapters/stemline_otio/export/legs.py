"""Stems taken apart into mono files, one per channel: what AAF, Avid and Pro Tools want."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stemline.clips import MediaSource
from stemline.errors import Code, OutputError
from stemline.media import AudioFormat, SampleFormat, StemTags, open_audio, open_writer, probe, read_tags
from stemline_otio.export.sequence import Item, Sequence

_BLOCK_SAMPLES = 1 << 17
_SIDES = {1: ("",), 2: (".L", ".R"), 6: (".L", ".R", ".C", ".LFE", ".Ls", ".Rs")}


def mono_legs(sequence: Sequence) -> Sequence:
    """The same with one mono track per channel. The files of the channels are written beside their stems, once."""
    made: dict[tuple[Path, int], Item] = {}
    tracks = []
    for track in sequence.tracks:
        for channel, side in enumerate(sides_of(track.channels)):
            items = [_leg_item(item, channel, made) for item in track.items]
            own = dataclasses.replace(track, name=f"{track.name}{side}", channels=1, items=items)
            tracks.append(dataclasses.replace(own, side=channel, sides=track.channels))
    return dataclasses.replace(sequence, tracks=tracks)


def sides_of(channels: int) -> tuple[str, ...]:
    """What the channels of a layout are called in names of files and tracks."""
    return _SIDES.get(channels) or tuple(f".{number}" for number in range(1, channels + 1))


def copy_sound(source: MediaSource, first_sample: int, target: Path, tags: StemTags) -> None:
    """The sound of a stem file (or some of its channels) from a sample on, as a file of its own.

    Raises OutputError (OUTPUT_DAMAGED) where the copy is not as long as it should be.
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
