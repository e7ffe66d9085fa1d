"""A small player of OTIO edits that shares no code with Stemline: it judges whether stems land where originals play.

It reads an .otio file with opentimelineio, decodes whole media files with PyAV, turns each clip's frames into samples
by rounding, and mixes. Gains, pans and other effects are not played; linear speed changes (nearest sample) and
transitions (linear crossfades) are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlparse

import av
import numpy as np
import opentimelineio as otio

Array = np.ndarray


def seconds(time: otio.opentime.RationalTime) -> Fraction:
    """Rates near n or n*1000/1001 are taken to be that."""
    rate = Fraction(time.rate)
    for exact in (Fraction(round(time.rate)), Fraction(round(time.rate * 1.001) * 1000, 1001)):
        if abs(exact - rate) < Fraction(2, 1000):
            rate = exact
            break
    return Fraction(time.value).limit_denominator(1_000_000) / rate


def nearest(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


@dataclass
class Voice:
    """A clip as it sounds: record range, where in its file it starts, its speed, and its ramps (from, to, up?)."""

    name: str
    path: Path
    channels: tuple[int, ...]
    start: Fraction
    end: Fraction
    media: Fraction
    speed: Fraction
    ramps: list[tuple[Fraction, Fraction, bool]] = field(default_factory=list)


@dataclass
class Player:
    """`zero` is how the player finds a file's first frame: from "available" ranges as OTIO means it, from the "file"'s
    own time stamp (as editors do that ignore available ranges), or by counting each file from its "start". `media`
    gives files by their base name where links lead nowhere."""

    otio_path: Path
    zero: str = "available"
    media: dict[str, Path] = field(default_factory=dict)
    timeline: otio.schema.Timeline = field(init=False)

    def __post_init__(self) -> None:
        self.timeline = otio.adapters.read_from_file(str(self.otio_path))

    def voices(self, track: otio.schema.Track) -> list[Voice]:
        begin = seconds(track.source_range.start_time) if track.source_range else Fraction(0)
        end = begin + seconds(track.source_range.duration) if track.source_range else Fraction(10**9)
        found = list(self._track(track, -begin, (Fraction(0), end - begin)))
        return [v for v in found if v.end > v.start]

    def render(
        self, wanted: Callable[[otio.schema.Track], bool], *, sample_rate: int, channels: int, length_s: int
    ) -> Array:
        """The mix of the wanted, enabled audio tracks: float64 [channels, samples]."""
        mix = np.zeros((channels, length_s * sample_rate))
        for track in self.timeline.tracks:
            if track.kind == "Audio" and track.enabled and wanted(track):
                for voice in self.voices(track):
                    play(voice, mix, sample_rate)
        return mix

    def _track(self, track: otio.schema.Track, zero: Fraction, window: tuple[Fraction, Fraction]) -> Iterator[Voice]:
        cursor = zero
        items = list(track)
        for i, item in enumerate(items):
            if isinstance(item, otio.schema.Transition):
                continue
            length = seconds(item.trimmed_range().duration)
            ramps, first, last = [], cursor, cursor + length
            if i and isinstance(items[i - 1], otio.schema.Transition):
                ramps.append(self._ramp(items[i - 1], cursor, True))
                first = ramps[-1][0]
            if i + 1 < len(items) and isinstance(items[i + 1], otio.schema.Transition):
                ramps.append(self._ramp(items[i + 1], cursor + length, False))
                last = ramps[-1][1]
            if item.enabled:
                inner = (max(window[0], first), min(window[1], last))
                for voice in self._item(item, cursor, inner):
                    voice.ramps += ramps
                    yield voice
            cursor += length

    @staticmethod
    def _ramp(transition: otio.schema.Transition, cut: Fraction, rising: bool) -> tuple[Fraction, Fraction, bool]:
        return cut - seconds(transition.in_offset), cut + seconds(transition.out_offset), rising

    def _item(self, item: otio.core.Item, at: Fraction, window: tuple[Fraction, Fraction]) -> Iterator[Voice]:
        if isinstance(item, otio.schema.Clip):
            voice = self._clip(item, at, window)
            if voice is not None:
                yield voice
        elif isinstance(item, otio.schema.Track):
            yield from self._track(item, at - seconds(item.trimmed_range().start_time), window)
        elif isinstance(item, otio.schema.Stack):
            zero = at - seconds(item.trimmed_range().start_time)
            sounding = [child for child in item if getattr(child, "kind", "") == "Audio"] or list(item)
            for child in sounding:
                if child.enabled:
                    length = seconds(child.trimmed_range().duration)
                    yield from self._item(child, zero, (max(window[0], zero), min(window[1], zero + length)))

    def _clip(self, clip: otio.schema.Clip, at: Fraction, window: tuple[Fraction, Fraction]) -> Voice | None:
        reference = clip.media_reference
        url = getattr(reference, "target_url", clip.name)
        path = self._file(url)
        if not path.is_file():
            path = self.media.get(PureWindowsPath(unquote(url)).name, path)
        if not path.is_file():
            return None
        speed = Fraction(1)
        for effect in clip.effects:
            if isinstance(effect, otio.schema.LinearTimeWarp) and effect.enabled:
                speed *= Fraction(effect.time_scalar).limit_denominator(1_000_000)
        if speed <= 0:
            return None
        start = max(at, window[0])
        media = seconds(clip.trimmed_range().start_time) - self._first_frame(reference, path, clip)
        listed = clip.metadata.get("Resolve_OTIO", {}).get("Channels", [])
        channels = tuple(int(entry["Source Channel ID"]) for entry in listed) or final_cut_channels(clip)
        channels = channels or aaf_channels(reference)
        return Voice(clip.name, path, channels, start, window[1], media + (start - at) * speed, speed)

    def _file(self, url: str) -> Path:
        parsed = urlparse(url)
        bare = unquote(parsed.path) if parsed.scheme == "file" else url
        path = Path(bare)
        if not path.is_absolute():
            path = self.otio_path.parent / unquote(bare)
        return path

    def _first_frame(self, reference: otio.core.MediaReference, path: Path, clip: otio.schema.Clip) -> Fraction:
        if self.zero == "start":
            return Fraction(0)
        if self.zero == "available" and reference.available_range is not None:
            return seconds(reference.available_range.start_time)
        stamp = time_stamp(path)
        rate = 1 / seconds(otio.opentime.RationalTime(1, clip.trimmed_range().duration.rate))
        return nearest(stamp * rate) / rate


def final_cut_channels(clip: otio.schema.Clip) -> tuple[int, ...]:
    """Final Cut 7 XML: one channel a clip; Premiere's clips of two, of which OTIO keeps the first, play both."""
    facts = clip.metadata.get("fcp_xml", {})
    index = facts.get("sourcetrack", {}).get("trackindex")
    return (int(index) - 1,) if index and facts.get("@premiereChannelType", "mono") == "mono" else ()


def aaf_channels(reference: otio.core.MediaReference) -> tuple[int, ...]:
    """AAF: the physical tracks of a file, counted from 1."""
    facts = reference.metadata.get("AAF", {})
    return tuple(int(number) - 1 for number in facts.get("PhysicalTrackNumbers", ()))


def play(voice: Voice, mix: Array, sample_rate: int) -> None:
    """Adds a voice to `mix` [channels, samples]."""
    sound, rate = decode(voice.path)
    assert rate == sample_rate, f"{voice.path} is at {rate} Hz"
    if voice.channels:
        sound = sound[list(voice.channels)]
    first, last = nearest(voice.start * rate), min(nearest(voice.end * rate), mix.shape[1])
    if last <= first:
        return
    offset = nearest(voice.media * rate)
    steps = np.arange(last - first)
    if voice.speed != 1:
        steps = np.floor(steps * float(voice.speed) + 0.5).astype(np.int64)
    places = steps + offset
    inside = (places >= 0) & (places < sound.shape[1])
    block = np.where(inside, sound[:, np.clip(places, 0, sound.shape[1] - 1)], 0.0)
    times = np.arange(first, last)
    for begin, end, rising in voice.ramps:
        a, b = nearest(begin * rate), nearest(end * rate)
        slope = np.clip((times - a) / max(1, b - a), 0, 1)
        block = block * (slope if rising else 1 - slope)
    mix[:, first:last] += block if block.shape[0] in (1, mix.shape[0]) else block.mean(axis=0)


@lru_cache(maxsize=64)
def decode(path: Path) -> tuple[Array, int]:
    """All of a file's first audio stream, float64 [channels, samples] (16 and 24 bits exactly x/2^15, x/2^23)."""
    blocks = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate = stream.rate
        for frame in container.decode(stream):
            data = frame.to_ndarray()
            if not frame.format.is_planar:
                data = data.reshape(-1, frame.layout.nb_channels).T
            scale = 1.0 if data.dtype.kind == "f" else float(2 ** (8 * data.dtype.itemsize - 1))
            blocks.append(data.astype(np.float64) / scale)
    return np.concatenate(blocks, axis=1), rate


@lru_cache(maxsize=64)
def time_stamp(path: Path) -> Fraction:
    """The BWF time reference of a file in seconds, 0 where it has none."""
    with av.open(str(path)) as container:
        stamp = container.metadata.get("time_reference", "0")
        return Fraction(int(stamp), container.streams.audio[0].rate)
