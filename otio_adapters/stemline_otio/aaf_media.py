"""The media behind an AAF clip: the files its chain of mobs names, each with position, length and channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio

from stemline_otio.exact_time import exact_rate

AAF_KEY = "AAF"
CHANNELS_KEY = "PhysicalTrackNumbers"
"""In the metadata of a media reference: the channels that the clip plays, counted from 1; none for all of them."""

_MAX_CHAIN = 32


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file that a clip names, or the essence that the AAF holds of it.

    `position` is where the clip begins in it and `length` how long it is, in seconds. `channels` count from 1; none
    are all of them.
    """

    link: str
    name: str
    mob_id: str
    position: Fraction
    length: Fraction
    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClipMedia:
    """The files of a clip, the nearest first. `time` is where the clip begins by source timecode, in seconds."""

    name: str
    files: tuple[MediaFile, ...]
    time: Fraction

    def merged(self, other: ClipMedia) -> ClipMedia | None:
        """Return the media of both where they are channels of the same file at the same position, else None."""
        mine, theirs = self.files[:1], other.files[:1]
        if not (mine and theirs and mine[0].link and _is_same(mine[0], theirs[0])):
            return None
        alike = {file.link: file for file in other.files}
        files = [
            replace(file, channels=tuple(dict.fromkeys((*file.channels, *alike[file.link].channels))))
            for file in self.files
            if file.link in alike and _is_same(file, alike[file.link])
        ]
        return replace(self, files=tuple(files))


def _is_same(one: MediaFile, other: MediaFile) -> bool:
    channels_known = bool(one.channels and other.channels) or one.channels == other.channels
    return one.link == other.link and one.position == other.position and channels_known


class MediaChain:
    """Follows source clips down to the files. `essence_file` gives the file of a mob whose essence the AAF holds."""

    def __init__(self, essence_file: Callable[[Any], Path | None]) -> None:
        """Copy essence with `essence_file`."""
        self._essence_file = essence_file

    def media_of(self, clip: Any, rate: Fraction) -> ClipMedia:
        """Return the media of a source clip in a slot of that edit rate."""
        import aaf2  # noqa: PLC0415 - it comes with the adapter, which may be missing

        first = clip.mob
        position = Fraction(clip.start or 0) / rate
        wanted = _channel_ids(clip)
        files: list[MediaFile] = []
        time: Fraction | None = None
        owner = slot_of(clip) if isinstance(first, aaf2.mobs.MasterMob) and len(_sound_slots(first)) > 1 else None
        mob: Any = first
        for _ in range(_MAX_CHAIN):
            slot = slot_of(clip)
            if mob is None or slot is None:
                break
            if isinstance(mob, aaf2.mobs.SourceMob):
                channels = wanted or _channels(mob, slot, owner)
                files += self._files(mob, position, Fraction(slot.segment.length or 0) / _rate(slot), channels)
                start = start_timecode(mob)
                time = start + position if time is None and start is not None else time
            found = _component_at(slot, position)
            if found is None:
                break
            clip, inside = found
            wanted = wanted or _channel_ids(clip)
            position = inside + Fraction(clip.start or 0) / _rate(slot)
            mob = clip.mob
        if first is not None:
            files += _commented(first, files, position)
        by_link = {file.link: file for file in reversed(files)}  # the nearest mob of a file knows its channels
        nearest = tuple(file for file in files if by_link[file.link] is file)
        return ClipMedia(str(first.name or ""), nearest, position if time is None else time)

    def _files(self, mob: Any, position: Fraction, length: Fraction, channels: tuple[int, ...]) -> Iterator[MediaFile]:
        descriptor = mob.getvalue("EssenceDescription")
        stated = _length(descriptor) or length
        if descriptor is not None and descriptor.getvalue("Channels") == 1:
            channels = ()
        essence = self._essence_file(mob)
        if essence is not None:
            yield MediaFile(essence.as_uri(), str(mob.name or ""), str(mob.mob_id), position, stated, channels)
        for locator in _values(descriptor, "Locator"):
            link = locator.getvalue("URLString")
            if link:
                yield MediaFile(str(link), str(mob.name or ""), str(mob.mob_id), position, stated, channels)


def start_timecode(mob: Any) -> Fraction | None:
    """Return the primary timecode of a mob's start, in seconds, None where it has none."""
    found = primary_timecode(mob)
    return Fraction(found[0].start or 0) / found[1] if found is not None else None


def primary_timecode(mob: Any) -> tuple[Any, Fraction] | None:
    """Return the timecode of the first timecode slot of a mob and its edit rate."""
    import aaf2  # noqa: PLC0415

    best: tuple[int, Any, Fraction] | None = None
    for slot in mob.slots:
        for part in parts_of(slot.segment):
            number = slot.getvalue("PhysicalTrackNumber") or 0
            if isinstance(part, aaf2.components.Timecode) and (best is None or number == 1 != best[0]):
                best = number, part, _rate(slot)
    return best[1:] if best is not None else None


def slot_of(clip: Any) -> Any:
    """Return the slot that a source clip refers to, None where there is none."""
    mob = clip.mob
    return next((slot for slot in mob.slots if slot.slot_id == clip.slot_id), None) if mob is not None else None


def is_sound(slot: Any) -> bool:
    """Return whether a slot holds sound, under the names of old and new AAF."""
    return str(slot.media_kind or "").replace("Legacy", "") == "Sound"


def references_of(media: ClipMedia, rate: float) -> dict[str, otio.core.MediaReference]:
    """Return the media references of a clip: the nearest file under the default key, the others beside it."""
    key = otio.schema.Clip.DEFAULT_MEDIA_KEY
    references: dict[str, otio.core.MediaReference] = {}
    for number, file in enumerate(media.files, 1):
        span = otio.opentime.TimeRange(time_at(media.time - file.position, rate), time_at(file.length, rate))
        facts = {"MobID": file.mob_id, CHANNELS_KEY: list(file.channels)}
        reference = otio.schema.ExternalReference(file.link, span, {AAF_KEY: facts})
        reference.name = file.name
        references[key if number == 1 else f"media {number}"] = reference
    return references or {key: otio.schema.MissingReference()}


def time_at(seconds: Fraction, rate: float) -> otio.opentime.RationalTime:
    """Return exact seconds at a rate as a file spells it."""
    frames = seconds * exact_rate(rate)
    return otio.opentime.RationalTime(float(frames), rate)


def _rate(slot: Any) -> Fraction:
    rate = getattr(slot, "edit_rate", None)
    return Fraction(rate.numerator, rate.denominator) if rate and rate.denominator and rate.numerator else Fraction(1)


def parts_of(segment: Any) -> list[Any]:
    """Return the components of a sequence in order, or the segment itself."""
    import aaf2  # noqa: PLC0415

    if isinstance(segment, aaf2.components.Sequence):
        return [part for component in segment.components for part in parts_of(component)]
    if isinstance(segment, aaf2.components.EssenceGroup):
        return parts_of(next(iter(segment.getvalue("Choices") or []), None))
    if isinstance(segment, aaf2.components.OperationGroup):
        return parts_of(next(iter(segment.getvalue("InputSegments") or []), None))
    return [segment] if segment is not None else []


def _component_at(slot: Any, position: Fraction) -> tuple[Any, Fraction] | None:
    """Return the source clip of a slot at a position in seconds, and the position inside it."""
    import aaf2  # noqa: PLC0415

    rate = _rate(slot)
    at = position * rate + (slot.getvalue("Origin") or 0)
    clips = []
    for part in parts_of(slot.segment):
        length = part.length or 0
        if isinstance(part, aaf2.components.SourceClip):
            clips.append((part, at))
            if at < length:
                break
        at -= length
    return (clips[-1][0], clips[-1][1] / rate) if clips else None


def _length(descriptor: Any) -> Fraction:
    """Return how many seconds of media a descriptor states, 0 where it states none."""
    if descriptor is None:
        return Fraction(0)
    length, rate = descriptor.getvalue("Length"), descriptor.getvalue("SampleRate")
    return Fraction(length) * rate.denominator / rate.numerator if length and rate and rate.numerator else Fraction(0)


def _values(item: Any, name: str) -> Sequence[Any]:
    return list(item.getvalue(name) or []) if item is not None else []


def _channel_ids(clip: Any) -> tuple[int, ...]:
    """Return the channels that a source clip itself chooses, counted from 1."""
    chosen = tuple(int(number) for number in clip.getvalue("ChannelIDs") or () if int(number) > 0)
    slot_ids = list(clip.getvalue("MonoSourceSlotIDs") or ()) if clip.mob is not None else []
    numbers = {slot.slot_id: slot.getvalue("PhysicalTrackNumber") or 0 for slot in clip.mob.slots} if slot_ids else {}
    return chosen or tuple(number for slot_id in slot_ids if (number := numbers.get(int(slot_id), 0)) > 0)


def _sound_slots(mob: Any) -> list[Any]:
    return [slot for slot in mob.slots if is_sound(slot)]


def _channels(mob: Any, slot: Any, owner: Any) -> tuple[int, ...]:
    """Return the channel of a mob's media that a slot represents, none for all of them.

    PhysicalTrackNumber counts the channels of the media. `owner` is the slot of a master mob with several sound slots:
    it knows the channel where the mob of the file has one slot for all. A single slot on both sides plays the whole
    file.
    """
    if slot is None or not is_sound(slot):
        return ()
    slots = _sound_slots(mob)
    number = slot.getvalue("PhysicalTrackNumber") or 0
    if number < 1 and len(slots) > 1:
        number = slots.index(slot) + 1
    if len(slots) == 1 and number < 2 and owner is not None:
        number = owner.getvalue("PhysicalTrackNumber") or number
    return (max(1, number),) if owner is not None or number > 1 or len(slots) > 1 else ()


def _commented(mob: Any, files: Sequence[MediaFile], position: Fraction) -> list[MediaFile]:
    """Return the file that Avid notes as "UNC Path": the original, which the files of the chain were made of."""
    links = [item.getvalue("Value") for item in _values(mob, "UserComments") if item.getvalue("Name") == "UNC Path"]
    original = files[-1] if files else MediaFile("", "", str(mob.mob_id), position, Fraction(0), ())
    return [replace(original, link=str(link), name="UNC Path") for link in links if link]
