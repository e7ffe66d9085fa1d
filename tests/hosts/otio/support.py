"""Edits and media for the tests of the OTIO host. Media are ramps: each sample's value tells its place in the file."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio

from otio_player import Player
from stemline.clips import RESIDUAL
from stemline.hosts.base import ReadClips, Selection, WriteOptions, Written
from stemline.media import media_facts
from stemline.plan.placement import PlacedStem, TrackOptions, place_stems
from stemline.plan.separation import PlanSettings, plan_separation
from stemline.prompts import StemRequest, TimelinePrompt
from stemline_otio import LinkRules, OtioEdit, OtioTarget, open_edit

FULL_24 = 2**23
ALL = Selection()


def write_wav(path: Path, samples: np.ndarray, sample_rate: int, time_reference: int = 0) -> Path:
    """24-bit PCM from integers [channels, samples], with a bext chunk that holds the time reference."""
    channels = samples.shape[0]
    values = samples.T.reshape(-1).astype("<i4")
    data = values.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    data += b"\0" * (len(data) % 2)
    bext = bytes(338) + struct.pack("<QH", time_reference, 1) + bytes(254)
    fmt = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * channels * 3, channels * 3, 24)
    body = b"".join(
        name + struct.pack("<I", len(part)) + part for name, part in ((b"bext", bext), (b"fmt ", fmt), (b"data", data))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    return path


def ramp(length: int, channels: int = 1, start: int = 0) -> np.ndarray:
    """Sample i of channel c is start + i, with the sign of odd channels turned."""
    line = (np.arange(start, start + length, dtype=np.int64) % FULL_24).astype(np.int32)
    return np.stack([line if c % 2 == 0 else -line for c in range(channels)])


def media(path: Path, seconds: int, *, sample_rate: int = 48000, channels: int = 1, timecode_sample: int = 0) -> Path:
    return write_wav(path, ramp(seconds * sample_rate, channels), sample_rate, timecode_sample)


def frames(value: float, rate: float) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(value, rate)


def span(start: float, duration: float, rate: float) -> otio.opentime.TimeRange:
    return otio.opentime.TimeRange(frames(start, rate), frames(duration, rate))


def clip(
    url: str, used: tuple[float, float], rate: float, available: tuple[float, float] | None, **more: object
) -> otio.schema.Clip:
    """Return a clip of a file; `used` and `available` are (start, duration) in frames."""
    reference = otio.schema.ExternalReference(
        target_url=url, available_range=span(*available, rate) if available is not None else None
    )
    made = otio.schema.Clip(name=str(more.pop("name", Path(url).name)), media_reference=reference, **more)
    made.source_range = span(*used, rate)
    return made


def gap(duration: float, rate: float) -> otio.schema.Gap:
    return otio.schema.Gap(source_range=span(0, duration, rate))


def cross(before: float, after: float, rate: float) -> otio.schema.Transition:
    return otio.schema.Transition(
        name="cross", transition_type="SMPTE_Dissolve", in_offset=frames(before, rate), out_offset=frames(after, rate)
    )


def audio_track(name: str, items: Iterable[otio.core.Composable]) -> otio.schema.Track:
    track = otio.schema.Track(name=name, kind="Audio")
    track.extend(list(items))
    return track


def save(path: Path, *tracks: otio.core.Composable, start: otio.opentime.RationalTime | None = None) -> Path:
    timeline = otio.schema.Timeline(name=path.stem, global_start_time=start)
    timeline.tracks.extend(list(tracks))
    path.parent.mkdir(parents=True, exist_ok=True)
    otio.adapters.write_to_file(timeline, str(path))
    return path


def edit(path: Path, output: Path | None = None, **links: object) -> OtioEdit:
    rules = LinkRules(path.absolute().parent, **links)  # type: ignore[arg-type]
    return open_edit(path, OtioTarget(output or path.parent / "out" / "edit.stems.otio"), rules)


@dataclass
class Result:
    read: ReadClips
    written: Written
    path: Path


def separate(
    host: OtioEdit,
    output: Path,
    *,
    handle: Fraction = Fraction(1, 2),
    disable: bool = False,
    selection: Selection = ALL,
    checkerboard: bool = False,
    head_handle: bool = True,
    play: str = "all",
) -> Result:
    """Do what the product does around the engine, with stems cut by these tests: half of each sample, and the rest."""
    read = host.read_clips(selection)
    facts = {c.source: media_facts(c.source) for c in read.clips}
    plan = plan_separation(
        read.clips,
        facts,
        [StemRequest("half", TimelinePrompt("x"))],
        PlanSettings(handle=handle, head_handle=head_handle),
    )
    placed = []
    for number, segment in enumerate(plan.segments):
        rate = facts[segment.source].sample_rate
        chosen = segment.source.channels or tuple(range(facts[segment.source].channels))
        whole = source_samples(segment.source.path)
        block = np.zeros((len(chosen), segment.range.length), dtype=np.int32)
        first, last = max(0, segment.range.start_sample), min(whole.shape[1], segment.range.end_sample)
        block[:, first - segment.range.start_sample : last - segment.range.start_sample] = whole[
            list(chosen), first:last
        ]
        half = block // 2
        stamp = int(facts[segment.source].timecode_sample) + segment.range.start_sample
        for stem, part in (("half", half), (RESIDUAL, block - half)):
            file = write_wav(output.parent / "stems" / f"{stem}_{number}.wav", part, rate, max(0, stamp))
            held: dict[str, object] = {
                "media": segment.source.path,
                "start_sample": segment.range.start_sample,
                "sample_rate": rate,
            }
            held |= {"end_sample": segment.range.end_sample, "channels": list(chosen)}
            own = {"stem": stem, "source": held}
            placed += [PlacedStem(i, stem, str(file), segment.range, own) for i in segment.clip_ids]
    by_id = {c.clip_id: facts[c.source] for c in read.clips}
    tracks = place_stems(read.clips, placed, by_id, TrackOptions(play, checkerboard=checkerboard))
    ids = tuple(c.clip_id for c in read.clips) if disable else ()
    return Result(read, host.write_tracks(tracks, WriteOptions(disable_clips=ids)), output)


def source_samples(path: str) -> np.ndarray:
    """Return the integers in a file written by `write_wav`."""
    raw = Path(path).read_bytes()
    at = raw.index(b"fmt ")
    channels = struct.unpack_from("<H", raw, at + 10)[0]
    at = raw.index(b"data")
    size = struct.unpack_from("<I", raw, at + 4)[0]
    data = np.frombuffer(raw, np.uint8, size, at + 8)[: size // (3 * channels) * 3 * channels].reshape(-1, 3)
    values = data[:, 0].astype(np.int32) | data[:, 1].astype(np.int32) << 8 | data[:, 2].astype(np.int32) << 16
    return ((values ^ FULL_24) - FULL_24).reshape(-1, channels).T


def is_stem(track: otio.schema.Track) -> bool:
    return "stemline" in track.metadata


def difference(
    path: Path,
    *,
    zero: str = "available",
    sample_rate: int = 48000,
    channels: int = 1,
    length_s: int = 12,
    **more: object,
) -> tuple[float, float]:
    """Return the largest difference between originals and the sum of their stems, and the loudest original sample."""
    player = Player(path, zero, **more)  # type: ignore[arg-type]
    how = {"sample_rate": sample_rate, "channels": channels, "length_s": length_s}
    original = player.render(lambda t: not is_stem(t), **how)
    stems = player.render(is_stem, **how)
    return float(np.abs(original - stems).max()), float(np.abs(original).max())
