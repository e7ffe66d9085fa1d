"""Plays a timeline: frames to samples by exact arithmetic, in integers of 24 bits. Shares no code with Stemline."""

from __future__ import annotations

import array
import functools
import math
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .item import Item
    from .timeline import Timeline, Track


_COUNTS = {"mono": 1, "stereo": 2, "5.1": 6, "7.1": 8}


def wav_facts(path: str) -> tuple[int, int, int]:
    """(sample rate, channels, samples)."""
    rate, channels = decoded(path)
    return rate, len(channels), len(channels[0])


@functools.lru_cache(maxsize=256)
def time_reference(path: str) -> Fraction:
    """Where a WAV's own time stamp (bext) puts its first sample, in seconds since midnight."""
    data, at = Path(path).read_bytes(), 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"bext":
            return Fraction(struct.unpack_from("<Q", data, at + 8 + 338)[0], decoded(path)[0])
        at += 8 + size + size % 2
    return Fraction(0)


def track_sound(timeline: Timeline, track: Track, rate: int, with_disabled: bool = False) -> list[list[int]]:
    """What a track plays from the timeline's start to its end: one list for each of its channels.

    Quirk 9: a mono track plays the first channel of a stereo file.
    """
    width = _COUNTS.get(track.kind) or int(track.kind.replace("adaptive", ""))
    length = _sample(timeline, Fraction(timeline.GetEndFrame()), rate)
    sound = [[0] * length for _ in range(width)]
    for item in track.items:
        if (item.enabled or with_disabled) and item.kind == "clip" and item.media is not None:
            first, last = _sample(timeline, item.start, rate), _sample(timeline, item.end, rate)
            for channel, samples in zip(sound, _heard(item, last - first, rate)):
                channel[max(0, first) : last] = samples[max(0, -first) :]
    return sound


def mixed(timeline: Timeline, first: Fraction, last: Fraction, rate: int) -> list[list[int]]:
    """What is heard between two frames, in two channels."""
    start, end = _sample(timeline, first, rate), _sample(timeline, last, rate)
    mix = [[0] * (end - start) for _ in range(2)]
    for track in timeline.audio:
        if not track.enabled:
            continue
        sound = track_sound(timeline, track, rate)
        for number in range(2):
            heard = sound[min(number, len(sound) - 1)][start:end]
            for at, value in enumerate(heard):
                mix[number][at] += value
    return mix


def write_wav(path: Path, rate: int, channels: list[list[int]]) -> None:
    """24 bits, with a chunk that changes from render to render."""
    width = len(channels)
    data = b"".join(value.to_bytes(3, "little", signed=True) for frame in zip(*channels) for value in frame)
    form = struct.pack("<HHIIHH", 1, width, rate, rate * width * 3, width * 3, 24)
    stamp = struct.pack("<4sI8s", b"note", 8, str(id(data)).encode()[-8:].rjust(8))
    body = b"WAVE" + struct.pack("<4sI", b"fmt ", 16) + form + stamp + struct.pack("<4sI", b"data", len(data)) + data
    path.write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


def _sample(timeline: Timeline, frame: Fraction, rate: int) -> int:
    return _round((frame - timeline.zero) / timeline.rate * rate)


def _round(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def _heard(item: Item, length: int, rate: int) -> list[list[int]]:
    media = item.media
    assert media is not None
    file_rate, channels = decoded(media.sound_path)
    if file_rate != rate:
        raise ValueError(f"{media.path} has {file_rate} Hz")
    if item.channels is not None:
        channels = [channels[number - 1] for number in item.channels]
    start, speed = _round(item.source * rate), item.speed or Fraction(2)
    if speed == 1:
        return [_from(channel, start, length) for channel in channels]
    return [[_at(channel, start + math.floor(at * speed)) for at in range(length)] for channel in channels]


def _from(channel: list[int], start: int, length: int) -> list[int]:
    part = [0] * max(0, -start) + channel[max(0, start) : max(0, start + length)]
    return part + [0] * (length - len(part))


def _at(channel: list[int], at: int) -> int:
    return channel[at] if 0 <= at < len(channel) else 0


@functools.lru_cache(maxsize=256)
def decoded(path: str) -> tuple[int, list[list[int]]]:
    """(sample rate, one list a channel) of integer PCM, as 24 bits."""
    data = Path(path).read_bytes()
    at, form = 12, (0, 1, 1, 0, 1, 8)
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"fmt ":
            form = struct.unpack_from("<HHIIHH", data, at + 8)
        elif name == b"data":
            values = _integers(data[at + 8 : at + 8 + size], form[5] // 8)
            return form[2], [values[number :: form[1]] for number in range(form[1])]
        at += 8 + size + size % 2
    raise ValueError(f"{path} is no WAV file")


def _integers(sound: bytes, width: int) -> list[int]:
    """Little-endian integers of `width` bytes as 24 bits: each set at the top of 32 bits, then shifted down."""
    sound = sound[: len(sound) // width * width]
    wide = bytearray(len(sound) // width * 4)
    for byte in range(width):
        wide[4 - width + byte :: 4] = sound[byte::width]
    values = array.array("i")
    values.frombytes(bytes(wide))
    if sys.byteorder == "big":
        values.byteswap()
    return [value >> 8 for value in values]
