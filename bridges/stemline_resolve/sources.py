"""Which file an item plays, which of its channels, and from where in that file."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from stemline_bridge.timeline import round_half_up

from .api import Remote
from .document import OpenTimeline, PlacedItem, frame_of, rate_of

_ONE_STREAM_A_CHANNEL = {".mxf"}
_UNCLEAR = "CLIP_TIME_AMBIGUOUS"


class NeedsRender(Exception):
    """The item plays no plain range of one file, so Resolve must render it. `code` is one of docs/errors.md."""

    def __init__(self, reason: str, code: str) -> None:
        """Say why in a sentence and a code."""
        super().__init__(reason)
        self.code = code


class SourceSound(NamedTuple):
    """The sound of an item. No `channels`: all. `start` is in exact seconds from the file's first sample."""

    path: str
    channels: tuple[int, ...]
    start: Fraction


def sound_of(document: OpenTimeline, placed: PlacedItem, media: Remote) -> SourceSound:
    """Return the sound behind an item. Raises NeedsRender."""
    path = str(media.GetClipProperty("File Path") or "")
    if not path:
        kind = str(media.GetClipProperty("Type") or "clip").lower()
        raise NeedsRender(f"It is a {kind}, not a single file.", "CLIP_NOT_MEDIA")
    rate = media_rate(document, media)
    start = _start_in_media(document, placed, media, rate)
    _refuse_other_speed(document, placed, rate)
    mapped, channels = _mapped(placed.item, media, path)
    return SourceSound(mapped, channels, start)


def media_rate(document: OpenTimeline, media: Remote) -> Fraction:
    """Return the rate in which Resolve counts a clip of the media pool."""
    try:
        return rate_of(media.GetClipProperty("FPS"))
    except ValueError:
        return document.rate


def _start_in_media(document: OpenTimeline, placed: PlacedItem, media: Remote, rate: Fraction) -> Fraction:
    """Return the seconds from the media's first sample.

    The source time counts from midnight where the media has timecode. The left offset, which Resolve counts in frames
    of the timeline, says the same without timecode, and must agree.
    """
    left = document.position(placed.item, "GetLeftOffset") / document.rate
    if "GetSourceStartTime" not in placed.item:
        if rate != document.rate:
            raise NeedsRender("This Resolve is too inexact about media of another frame rate.", _UNCLEAR)
        return _snapped(left, rate, document.rate, media)
    time = Fraction(placed.item.GetSourceStartTime() or 0)
    tolerance = 1 / rate + 1 / document.rate
    for candidate in (time - _timecode_zero(media, rate), time):
        if abs(candidate - left) <= tolerance:
            return _snapped(candidate, rate, document.rate, media)
    raise NeedsRender("Its source times don't match its media.", _UNCLEAR)


def _timecode_zero(media: Remote, rate: Fraction) -> Fraction:
    start = str(media.GetClipProperty("Start") or "").strip()
    if start.lstrip("-").isdigit():
        return int(start) / rate
    try:
        return frame_of(str(media.GetClipProperty("Start TC") or ""), rate) / rate
    except ValueError:
        return Fraction(0)


def _snapped(seconds: Fraction, own_rate: Fraction, timeline_rate: Fraction, media: Remote) -> Fraction:
    """Return `seconds`, which came through a float, on a frame of the media or the timeline, else on a sample."""
    for rate in (own_rate, timeline_rate):
        frame = Fraction(round_half_up(seconds * rate))
        if abs(frame / rate - seconds) < Fraction(1, 200_000):
            return frame / rate
    try:
        sample_rate = int(media.GetClipProperty("Sample Rate") or 48000)
    except ValueError:
        sample_rate = 48000
    return Fraction(round_half_up(seconds * sample_rate), sample_rate)


def _refuse_other_speed(document: OpenTimeline, placed: PlacedItem, rate: Fraction) -> None:
    """Raise NeedsRender for an item that plays at another speed than its media.

    Resolve gives no speed; it shows in the lengths on the timeline and in the media. Resolve gives an end as the last
    frame in some versions and as the frame after it in others.
    """
    item, on_timeline = placed.item, (placed.end - placed.start) / document.rate
    if "GetSourceEndTime" in item:
        start, end = Fraction(item.GetSourceStartTime() or 0), Fraction(item.GetSourceEndTime() or 0)
    elif "GetSourceEndFrame" in item:
        start, end = (
            Fraction(getattr(item, name)() or 0) / rate for name in ("GetSourceStartFrame", "GetSourceEndFrame")
        )
    else:
        return
    if start == end == 0:
        raise NeedsRender("Its speed is unknown.", "CLIP_RETIMED")
    slack = 1 / rate + (0 if rate == document.rate else 1 / document.rate)
    if abs(end - start - on_timeline) > slack + Fraction(1, 10_000):
        raise NeedsRender("It plays at another speed than its media.", "CLIP_RETIMED")


def _mapped(item: Remote, media: Remote, path: str) -> tuple[str, tuple[int, ...]]:
    """Return (file, channels counted from 0) that the item plays, from Resolve's mapping. No channels: all."""
    mapping = _mapping_of(item, "GetSourceAudioChannelMapping") or _mapping_of(media, "GetAudioMapping")
    tracks = [track for track in (mapping.get("track_mapping") or {}).values() if not track.get("mute")]
    if not tracks:
        _refuse_streams(path)
        return path, ()
    if len(tracks) > 1:
        raise NeedsRender("It plays several tracks of its media at once.", "CLIP_NOT_MEDIA")
    wanted = [int(channel) for channel in tracks[0].get("channel_idx") or []]
    files = _files(mapping, path)
    held = [one for one in files if set(wanted) & set(one.numbers)]
    if len(held) != 1 or not set(wanted) <= set(held[0].numbers):
        raise NeedsRender("Its channels come from several files.", "CLIP_NOT_MEDIA")
    file = held[0]
    if not file.starts_with_media:
        raise NeedsRender("Its sound is a linked recording that begins at another time.", _UNCLEAR)
    if len(file.numbers) > 1:
        _refuse_streams(file.path)
    return file.path, tuple(number - file.numbers[0] for number in wanted)


def _refuse_streams(path: str) -> None:
    """Raise NeedsRender for a file whose channels may each be a stream: only one stream would be read."""
    if Path(path).suffix.lower() in _ONE_STREAM_A_CHANNEL:
        raise NeedsRender("Its file keeps each channel in a stream of its own.", "CLIP_NOT_MEDIA")


class _File(NamedTuple):
    """A file of the mapping with Resolve's numbers of its channels: embedded ones first, then linked ones."""

    path: str
    numbers: range
    starts_with_media: bool


def _files(mapping: dict[str, Any], path: str) -> list[_File]:
    embedded = int(mapping.get("embedded_audio_channels") or 0)
    files, following = [_File(path, range(1, embedded + 1), True)], embedded + 1
    linked = mapping.get("linked_audio") or {}
    for name in sorted(linked, key=int):
        one = linked[name]
        count = int(one.get("channels") or 0)
        numbers = range(following, following + count)
        files.append(_File(str(one.get("path") or ""), numbers, one.get("offset") == 0))
        following += count
    return files


def _mapping_of(thing: Remote, name: str) -> dict[str, Any]:
    if name not in thing:
        return {}
    try:
        mapping = json.loads(getattr(thing, name)() or "{}")
    except ValueError:
        return {}
    return mapping if isinstance(mapping, dict) else {}
