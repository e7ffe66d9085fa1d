"""A strip in the terms of the protocol: exact times from Blender's frames, and its sound."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy

from . import compat
from .link import HostError, atomic_write, to_exact

REPLACED = "stemline_replaced_by"  # that of an original: Blender copies it to both halves of a cut
_BASE_STEP = 10**6  # fps_base is a 32-bit float: 1.001 is stored as 1.00100004673


def playing_rate(scene: Any) -> Fraction:
    """Return the frames per second that Blender plays: with `fps_base` as it is stored."""
    return Fraction(scene.render.fps) / Fraction(scene.render.fps_base)


def nominal_rate(scene: Any) -> Fraction:
    """Return the intended frames per second: 30 with base 1.001 gives 30000/1001."""
    base = Fraction(round(scene.render.fps_base * _BASE_STEP), _BASE_STEP)
    return Fraction(scene.render.fps) / base


@dataclass(frozen=True)
class Place:
    """Where a strip plays (frames, half-open), and from which second of its media, as Blender plays it."""

    left: int
    right: int
    source_start: Fraction

    def source_range(self, rate: Fraction) -> dict[str, str]:
        """Return the range of the media in seconds."""
        return _range(self.source_start, self.source_start + (self.right - self.left) / rate)

    def record_range(self, rate: Fraction) -> dict[str, str]:
        """Return the range of the sequence in seconds."""
        return _range(self.left / rate, self.right / rate)


def place_of(strip: Any, rate: Fraction) -> Place:
    """Return the place of a sound strip at normal speed."""
    left = compat.left(strip)
    frames = compat.hard_trim(strip) + left - compat.content_start(strip)
    return Place(left, compat.right(strip), frames / rate - Fraction(compat.sound_offset_s(strip)))


def _range(start: Fraction, end: Fraction) -> dict[str, str]:
    return {"start": to_exact(start), "end": to_exact(end)}


def overlap(one: Any, other: Any) -> bool:
    """Return whether two strips play at the same time."""
    return compat.left(one) < compat.right(other) and compat.left(other) < compat.right(one)


def media_path(sound: Any) -> Path:
    """Return the absolute path that the sound names. That of a packed sound need not exist."""
    return Path(bpy.path.abspath(sound.filepath, library=sound.library)).absolute()


def readable_media(sound: Any, folder: Path) -> Path:
    """Return a file with the sound that another program can read.

    A packed sound is written into `folder` once, under the hash of its bytes. Raises HostError where there is none.
    """
    path = media_path(sound)
    if sound.packed_file is None:
        if not path.is_file():
            advice = "Use File > External Data > Find Missing Files, or relink it."
            raise HostError(f"{path} does not exist.", "MEDIA_MISSING", advice)
        return path
    data = bytes(sound.packed_file.data)
    held = folder / f"{path.stem[:60]}_{hashlib.sha256(data).hexdigest()[:8]}{path.suffix}"
    if not held.is_file():
        atomic_write(held, data, durable=True)
    return held


def needs_rendering(strip: Any) -> str:
    """Return why no media file holds what this strip plays; empty where one does."""
    if strip.type == compat.META:
        return "it is a meta strip"
    if strip.type == compat.SCENE:
        return "it is a scene strip"
    if strip.type != compat.SOUND:
        return ""
    if compat.is_retimed(strip):
        return "it plays at another speed"
    if any(modifier.type == "SOUND_EQUALIZER" and not modifier.mute for modifier in strip.modifiers):
        return "it has a sound modifier"
    return ""


def sounds_by_media(strips: Any) -> dict[Path, list[Any]]:
    """Return the sound strips by the file they play."""
    found: dict[Path, list[Any]] = {}
    for strip in strips:
        if strip.type == compat.SOUND and strip.sound is not None:
            found.setdefault(media_path(strip.sound), []).append(strip)
    return found


def sibling_sound(movie: Any, sounds: dict[Path, list[Any]]) -> Any:
    """Return the sound strip that was added with a movie strip, or None.

    It plays the same file and begins at the same frame, or overlaps it.
    """
    same = sounds.get(Path(bpy.path.abspath(movie.filepath)).absolute(), [])
    start = compat.content_start(movie)
    aligned = [strip for strip in same if compat.content_start(strip) == start]
    overlapping = [strip for strip in same if overlap(strip, movie)]
    best = [strip for strip in aligned if strip in overlapping] or aligned or overlapping
    return best[0] if best else None


def channel_count(sound: Any) -> str:
    """Return "mono", "stereo", "5.1" and so on; empty where Blender has not read the file."""
    names = {"MONO": "mono", "STEREO": "stereo", "STEREO_LFE": "2.1", "SURROUND_4": "4.0", "SURROUND_5": "5.0"}
    names |= {"SURROUND_51": "5.1", "SURROUND_61": "6.1", "SURROUND_71": "7.1"}
    return names.get(sound.channels, "")


@dataclass(frozen=True)
class Fingerprint:
    """How to find a strip again after edits. `pointer` is valid until the next undo or load."""

    pointer: int
    kind: str
    name: str
    media: str
    place: Place

    @classmethod
    def of(cls, strip: Any, rate: Fraction) -> Fingerprint:
        """Return the fingerprint of a strip."""
        return cls(strip.as_pointer(), strip.type, strip.name, _media_name(strip), place_of(strip, rate))

    def find(self, strips: Any, rate: Fraction) -> Any:
        """Return the strip, or None when it is gone.

        The name counts first: after an undo another strip may have the pointer. A renamed strip is found by its
        pointer, else as the only strip that plays the same of the same media.
        """
        alike = [strip for strip in strips if strip.type == self.kind and _media_name(strip) == self.media]
        candidates = [
            [strip for strip in alike if strip.name == self.name],
            [strip for strip in alike if strip.as_pointer() == self.pointer],
            [strip for strip in alike if self.media and place_of(strip, rate).source_start == self.place.source_start],
        ]
        return next((found[0] for found in candidates if len(found) == 1), None)


def _media_name(strip: Any) -> str:
    """Return the absolute path of what the strip plays. A saved path may be relative."""
    if strip.type == compat.SOUND and strip.sound is not None:
        return str(media_path(strip.sound))
    return ""
