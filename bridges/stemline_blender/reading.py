"""The selection as the answer to `read_clips`: clips, strips to render first, and skipped strips by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from bpy.app.translations import pgettext_iface as iface_

from . import compat
from .link import METADATA_KEY, HostError, to_exact
from .strips import (
    Fingerprint,
    channel_count,
    media_path,
    needs_rendering,
    nominal_rate,
    playing_rate,
    readable_media,
    sibling_sound,
    sounds_by_media,
)


@dataclass
class Pick:
    """A strip that is to be separated.

    `clip` has the form of the protocol; it is None until the strip is rendered. For a rendered strip, `sound_start` is
    the frame, counted from the strip's content start, at which its media's first sample is.
    """

    clip_id: str
    channel: int
    fingerprint: Fingerprint
    render_reason: str = ""
    clip: dict[str, Any] | None = None
    sound_start: Fraction = Fraction(0)


@dataclass
class StripSelection:
    """What one button press works on. `holder` names the opened meta strip, empty for none."""

    scene: str
    holder: str
    picks: list[Pick] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def chosen_strips(holder: Any) -> tuple[list[Any], list[Any]]:
    """Return (strips with sound, strips without) of the selection, in order of time.

    A movie strip selects the sound strip beside it. Stems count only where nothing else is selected.
    """
    sounding: dict[int, Any] = {}
    silent = []
    strips = compat.strips_of(holder)
    selected = [strip for strip in strips if strip.select]
    sounds = sounds_by_media(strips) if any(strip.type == compat.MOVIE for strip in selected) else {}
    for strip in [strip for strip in selected if METADATA_KEY not in strip] or selected:
        sound = sibling_sound(strip, sounds) if strip.type == compat.MOVIE else strip
        if sound is None or (sound.type != compat.SOUND and not needs_rendering(sound)):
            silent.append(strip)
        else:
            sounding[sound.as_pointer()] = sound
    return sorted(sounding.values(), key=lambda s: (compat.left(s), s.channel)), silent


def read_selection(scene: Any, packed_folder: Path) -> StripSelection:
    """Read the selected strips. Packed sounds are written into `packed_folder`."""
    holder = compat.holder_on_show(scene.sequence_editor)
    reading = StripSelection(scene.name, "" if holder == scene.sequence_editor else holder.name)
    sounding, silent = chosen_strips(holder)
    rate = playing_rate(scene)
    for strip in silent:
        reading.skipped.append(_skip(strip, holder, rate, "CLIP_NOT_MEDIA", _why_silent(strip)))
    for number, strip in enumerate(sounding):
        try:
            reading.picks.append(_pick(f"{number + 1} {strip.name}", strip, holder, scene, packed_folder))
        except HostError as problem:
            reason = f"{problem} {problem.advice}".rstrip()
            reading.skipped.append(_skip(strip, holder, rate, problem.code, reason))
    return reading


def _pick(clip_id: str, strip: Any, holder: Any, scene: Any, packed_folder: Path) -> Pick:
    rate = playing_rate(scene)
    pick = Pick(clip_id, strip.channel, Fingerprint.of(strip, rate), needs_rendering(strip))
    if not pick.render_reason:
        place = pick.fingerprint.place
        path = readable_media(strip.sound, packed_folder)
        pick.clip = clip_of(pick, track_name(holder, strip.channel), path, scene) | {
            "source_range": place.source_range(rate),
            "record_range": place.record_range(rate),
        }
    return pick


def clip_of(pick: Pick, track: str, path: Path, scene: Any) -> dict[str, Any]:
    """Return the clip without its ranges."""
    return {
        "clip_id": pick.clip_id,
        "name": pick.fingerprint.name,
        "track": track,
        "source": {"path": str(path)},
        "frame_rate": to_exact(nominal_rate(scene)),
    }


def track_name(holder: Any, channel: int) -> str:
    """Return the name of a channel."""
    channels = holder.channels
    return str(channels[channel].name) if channel < len(channels) else f"Channel {channel}"


def _skip(strip: Any, holder: Any, rate: Fraction, code: str, reason: str) -> dict[str, Any]:
    return {
        "clip": strip.name,
        "track": track_name(holder, strip.channel),
        "record_start": to_exact(compat.left(strip) / rate),
        "code": code,
        "reason": reason,
    }


def _why_silent(strip: Any) -> str:
    if strip.type == compat.MOVIE:
        return "The movie strip has no sound strip of the same file beside it."
    return f"A strip of type {strip.type.lower()} has no sound."


def in_words(scene: Any) -> list[str]:
    """Return sentences about what would be separated. Reads no file.

    For example "2 strips, 00:12-00:27, stereo, from interview.mp4".
    """
    sounding, silent = chosen_strips(compat.holder_on_show(scene.sequence_editor))
    if not sounding:
        return [iface_("No strip with sound is selected." if silent else "Select the strips to separate.")]
    rate = playing_rate(scene)
    start, end = min(map(compat.left, sounding)), max(map(compat.right, sounding))
    sounds = [strip.sound for strip in sounding if strip.type == compat.SOUND and strip.sound is not None]
    parts = [
        iface_("1 strip" if len(sounding) == 1 else "{count} strips").format(count=len(sounding)),
        f"{_clock(start / rate)}-{_clock(end / rate)}",
        *_few({channel_count(sound) for sound in sounds}, "{count} channel layouts"),
    ]
    media = _few({media_path(sound).name for sound in sounds}, "{count} files")
    words = [", ".join([*parts, *(iface_("from {media}").format(media=name) for name in media)])]
    rendered = sum(bool(needs_rendering(strip)) for strip in sounding)
    if rendered:
        words.append(iface_("{count} to render first (meta, scene, speed or modifier)").format(count=rendered))
    return words


def _few(names: Iterable[str], kind: str) -> list[str]:
    known = sorted(name for name in names if name)
    return known if len(known) < 2 else [iface_(kind).format(count=len(known))]


def _clock(seconds: Fraction) -> str:
    whole = int(abs(seconds))
    hours = f"{whole // 3600}:" if whole >= 3600 else ""
    return f"{'-' if seconds < 0 else ''}{hours}{whole // 60 % 60:02d}:{whole % 60:02d}"
