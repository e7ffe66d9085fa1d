"""AAF compositions as timelines, read from their mobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio

from stemline.errors import Code, EditError
from stemline_otio.aaf_effects import attach_markers, effect_of, is_time_warp, transition_of
from stemline_otio.aaf_media import (
    AAF_KEY,
    ClipMedia,
    MediaChain,
    is_sound,
    parts_of,
    primary_timecode,
    references_of,
    slot_of,
    time_at,
)
from stemline_otio.exact_time import exact_rate
from stemline_otio.packed_media import EssenceFiles

_MAX_NESTING = 64
_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, otio.exceptions.OTIOError)
"""What pyaaf2 and OpenTimelineIO raise over an object that is not as it should be."""


def read_aaf(path: Path, unpack_to: Path) -> tuple[otio.schema.Timeline, tuple[str, ...]]:
    """Return the timeline of an AAF, and what of it cannot be read.

    Sound that the AAF itself holds is copied to `unpack_to`.

    Raises:
        EditError: It holds no composition, or several.
        OutputError: Its sound cannot be copied.
    """
    import aaf2  # noqa: PLC0415 - it comes with the adapter, which may be missing

    with aaf2.open(str(path)) as document:
        composition = _only_composition(document.content, path)
        reader = _Reader(EssenceFiles(document, unpack_to).file_of)
        return reader.timeline(composition), tuple(reader.notes)


def _only_composition(content: Any, path: Path) -> Any:
    found = list(content.toplevel())
    if not found:
        used = {mob.mob_id for owner in content.mobs for mob in owner.dependant_mobs()}
        found = [mob for mob in content.compositionmobs() if mob.mob_id not in used]
    if len(found) != 1:
        raise EditError(
            f"{path.name} is a collection of {len(found)} sequences.",
            code=Code.EDIT_UNREADABLE if found else Code.EDIT_NO_CLIPS,
            advice="Export the one you need on its own.",
        )
    return found[0]


Items = list[otio.core.Composable]


@dataclass(slots=True)
class _Reader:
    essence_file: Callable[[Any], Path | None]
    notes: list[str] = field(init=False, default_factory=list)
    _open: list[Any] = field(init=False, default_factory=list)

    def timeline(self, composition: Any) -> otio.schema.Timeline:
        """Return the timeline of a composition."""
        timeline = otio.schema.Timeline(str(composition.name or ""))
        timecode = primary_timecode(composition)
        if timecode is not None:
            timeline.global_start_time = otio.opentime.RationalTime(timecode[0].start or 0, float(timecode[1]))
            if timecode[0].getvalue("Drop"):
                timeline.metadata[AAF_KEY] = {"Drop": True}
        self._open.append(composition)
        tracks: dict[tuple[int, int], otio.schema.Track] = {}
        for slot in composition.slots:
            kind = _track_kind(slot)
            for number, segment in _layers(slot) if kind is not None else ():
                track = self._readable_track(slot, segment)
                if track is not None and track.find_clips():
                    timeline.tracks.append(track)
                    tracks[slot.slot_id, number] = track
        try:
            attach_markers(timeline, tracks, composition)
        except _DAMAGE as error:
            self.notes.append(f"Markers are left out, because one cannot be read ({type(error).__name__}: {error}).")
        return timeline

    def _readable_track(self, slot: Any, segment: Any) -> otio.schema.Track | None:
        """Return a track, None with a note where it cannot be read: the others do not depend on it."""
        open_before = list(self._open)
        try:
            return self._track(slot, segment)
        except _DAMAGE as error:
            self._open = open_before
            name = str(slot.name or "") or f"{slot.media_kind} {slot.getvalue('PhysicalTrackNumber') or slot.slot_id}"
            self.notes.append(f"The track {name} is left out: it cannot be read ({type(error).__name__}: {error}).")
            return None

    def _track(self, slot: Any, segment: Any) -> otio.schema.Track:
        rate = float(slot.edit_rate)
        track = otio.schema.Track(str(slot.name or ""), kind=_track_kind(slot))
        number = slot.getvalue("PhysicalTrackNumber") or 0
        track.metadata[AAF_KEY] = {"SlotID": slot.slot_id, "PhysicalTrackNumber": number}
        while _is_effect_of_track(segment):
            track.effects.append(effect_of(segment))
            [segment] = segment.getvalue("InputSegments")
        track.extend(self._items(segment, rate))
        return track

    def _items(self, segment: Any, rate: float) -> Items:
        """Return what a segment plays, in order."""
        kinds = _components()
        if segment is None:
            return []
        if isinstance(segment, kinds.Sequence):
            return self._sequence(segment, rate)
        if isinstance(segment, kinds.SourceClip):
            return [self._source_clip(segment, rate)]
        if isinstance(segment, kinds.OperationGroup):
            return [self._operation(segment, rate)]
        if isinstance(segment, kinds.NestedScope):
            return [_stack([self._items(slot, rate) for slot in segment.slots], segment, "", rate)]
        if isinstance(segment, kinds.Selector):
            return self._selector(segment, rate)
        if isinstance(segment, kinds.EssenceGroup):
            choices = [choice for choice in segment.getvalue("Choices") or [] if choice.length]
            return self._items(choices[0], rate) if choices else []
        return [_gap(segment.length, rate)] if segment.length else []

    def _sequence(self, sequence: Any, rate: float) -> Items:
        """Return the components, those beside a transition cut to its edit point: AAF lets them overlap under it."""
        items: Items = []
        hidden = 0
        for component in sequence.components:
            if isinstance(component, _components().Transition):
                length, cut = component.length or 0, component.getvalue("CutPoint") or 0
                _trim_tail(items, length - cut)
                items.append(transition_of(component, rate))
                hidden = cut
            else:
                following = self._items(component, rate)
                _trim_head(following, hidden)
                hidden = 0
                items += following
        return items

    def _source_clip(self, clip: Any, rate: float) -> otio.core.Item:
        mob, length = clip.mob, clip.length or 0
        if isinstance(mob, _mobs().CompositionMob):
            return self._nested(clip, mob, rate)
        if mob is None and not int(clip.mob_id or 0):
            return _gap(length, rate)
        if mob is None or slot_of(clip) is None:
            facts = {AAF_KEY: {"MobID": str(clip.mob_id)}}
            return otio.schema.Clip("offline", otio.schema.MissingReference(), _span(0, length, rate), facts)
        return _clip(self._media(clip, rate), length, rate)

    def _media(self, clip: Any, rate: float) -> ClipMedia:
        return MediaChain(self.essence_file).media_of(clip, exact_rate(rate))

    def _nested(self, clip: Any, mob: Any, rate: float) -> otio.core.Item:
        """Return a subclip as its clip, moved to where it begins; another composition as a nested sequence."""
        slot, length = slot_of(clip), clip.length or 0
        if slot is None:
            return _gap(length, rate)
        if mob in self._open or len(self._open) > _MAX_NESTING:
            raise EditError(
                f"The edit nests sequences more than {_MAX_NESTING} deep, or one inside itself.",
                code=Code.EDIT_CYCLIC,
                advice="Take the sequence out of itself, or render the nest, and export again.",
            )
        inner_rate = float(slot.edit_rate)
        self._open.append(mob)
        inner = self._items(slot.segment, inner_rate)
        self._open.pop()
        start = Fraction(clip.start or 0) / exact_rate(rate) + Fraction(slot.getvalue("Origin") or 0) / exact_rate(
            inner_rate
        )
        if len(inner) == 1 and isinstance(inner[0], otio.schema.Clip) and not _is_retimed(inner[0]):
            begin = inner[0].source_range.start_time
            moved = Fraction(begin.value).limit_denominator(1_000_000) / exact_rate(begin.rate) + start
            inner[0].source_range = otio.opentime.TimeRange(time_at(moved, rate), _time(length, rate))
            return inner[0]
        nest = _stack([inner], clip, str(mob.name or ""), rate)
        nest.source_range = otio.opentime.TimeRange(time_at(start, rate), _time(length, rate))
        return nest

    def _selector(self, selector: Any, rate: float) -> Items:
        """Return what is selected. Silence in place of a clip is Avid's way to mute it."""
        items = self._items(selector.getvalue("Selected"), rate)
        alternates = selector.getvalue("Alternates", None) or []
        if all(isinstance(item, otio.schema.Gap) for item in items) and alternates:
            items = self._items(alternates[0], rate)
            for item in items:
                if isinstance(item, otio.core.Item) and not isinstance(item, otio.schema.Gap):
                    item.enabled = False
        return items

    def _operation(self, group: Any, rate: float) -> otio.core.Item:
        """Return an effect's inputs as one item with the effect on it."""
        length = group.length or 0
        segments = list(group.getvalue("InputSegments") or [])
        media = self._combined(segments, rate)
        if media is not None:
            return _clip(media, length, rate)
        inputs = [items for segment in segments if (items := self._items(segment, rate))]
        effect = effect_of(group)
        if not inputs:
            return otio.schema.Clip(
                effect.name, otio.schema.GeneratorReference(effect.name, effect.name), _span(0, length, rate)
            )
        if len(inputs) == 1 and len(inputs[0]) == 1:
            item = inputs[0][0]
            item.source_range = otio.opentime.TimeRange(item.source_range.start_time, _time(length, rate))
        else:
            item = _stack([_as_long_as(items, length, rate) for items in inputs], group, effect.name, rate)
        if "combiner" not in effect.name.lower():
            item.effects.append(effect)
        return item

    def _combined(self, segments: Sequence[Any], rate: float) -> ClipMedia | None:
        """Return several inputs that are channels of one file as one: an "Audio Channel Combiner"."""
        clips = [parts[0] for segment in segments if len(parts := parts_of(segment)) == 1]
        if len(segments) < 2 or len(clips) != len(segments):
            return None
        kinds = (_mobs().MasterMob, _mobs().SourceMob)
        if not all(isinstance(clip, _components().SourceClip) and isinstance(clip.mob, kinds) for clip in clips):
            return None
        media: ClipMedia | None = self._media(clips[0], rate)
        for clip in clips[1:]:
            media = media.merged(self._media(clip, rate)) if media is not None else None
        return media


def _components() -> Any:
    import aaf2.components  # noqa: PLC0415 - it comes with the adapter, which may be missing

    return aaf2.components


def _mobs() -> Any:
    import aaf2.mobs  # noqa: PLC0415

    return aaf2.mobs


def _track_kind(slot: Any) -> str | None:
    return _kind_of(slot) if hasattr(slot, "edit_rate") and slot.segment is not None else None


def _kind_of(item: Any) -> str | None:
    if is_sound(item):
        return str(otio.schema.TrackKind.Audio)
    return str(otio.schema.TrackKind.Video) if str(item.media_kind).endswith("Picture") else None


def _layers(slot: Any) -> list[tuple[int, Any]]:
    """Return the segments of a slot that play together, with their track numbers: a nested scope holds several."""
    segment = slot.segment
    if isinstance(segment, _components().NestedScope):
        return list(enumerate(segment.slots, 1))
    return [(slot.getvalue("PhysicalTrackNumber") or 0, segment)]


def _is_effect_of_track(segment: Any) -> bool:
    """Return whether an effect applies to a whole sequence, and so to its track."""
    kinds = _components()
    if not isinstance(segment, kinds.OperationGroup) or is_time_warp(segment):
        return False
    inputs = list(segment.getvalue("InputSegments") or [])
    return len(inputs) == 1 and isinstance(inputs[0], kinds.Sequence | kinds.OperationGroup)


def _clip(media: ClipMedia, length: int, rate: float) -> otio.schema.Clip:
    clip = otio.schema.Clip(media.name)
    clip.set_media_references(references_of(media, rate), otio.schema.Clip.DEFAULT_MEDIA_KEY)
    clip.source_range = otio.opentime.TimeRange(time_at(media.time, rate), _time(length, rate))
    return clip


def _is_retimed(clip: otio.schema.Clip) -> bool:
    return any(isinstance(effect, otio.schema.TimeEffect) for effect in clip.effects)


def _stack(tracks: Sequence[Items], segment: Any, name: str, rate: float) -> otio.schema.Stack:
    """Return layers that play together in the place of a segment."""
    stack = otio.schema.Stack(name, source_range=_span(0, segment.length or 0, rate))
    for items in tracks:
        track = otio.schema.Track(kind=_kind_of(segment) or otio.schema.TrackKind.Audio)
        track.extend(items)
        if len(track):
            stack.append(track)
    return stack


def _as_long_as(items: Items, length: int, rate: float) -> Items:
    """Return a single clip as long as the effect around it: Resolve rounds the inputs of a combiner to frames."""
    if len(items) == 1 and isinstance(items[0], otio.schema.Clip):
        items[0].source_range = otio.opentime.TimeRange(items[0].source_range.start_time, _time(length, rate))
    return items


def _trim_tail(items: Items, frames: int) -> None:
    """Take frames off the end. An item that is used up exactly stays, with no length, beside its transition."""
    while frames > 0 and items:
        item = items[-1]
        if isinstance(item, otio.schema.Transition) or item.source_range.duration.value < frames:
            frames -= 0 if isinstance(item, otio.schema.Transition) else round(item.source_range.duration.value)
            items.pop()
            continue
        duration = item.source_range.duration
        item.source_range = otio.opentime.TimeRange(
            item.source_range.start_time, _time(duration.value - frames, duration.rate)
        )
        return


def _trim_head(items: Items, frames: int) -> None:
    """Take frames off the beginning, as `_trim_tail` does off the end."""
    while frames > 0 and items:
        item = items[0]
        if isinstance(item, otio.schema.Transition) or item.source_range.duration.value < frames:
            frames -= 0 if isinstance(item, otio.schema.Transition) else round(item.source_range.duration.value)
            items.pop(0)
            continue
        span = item.source_range
        item.source_range = otio.opentime.TimeRange(
            span.start_time + _time(frames, span.duration.rate), span.duration - _time(frames, span.duration.rate)
        )
        return


def _gap(length: float, rate: float) -> otio.schema.Gap:
    return otio.schema.Gap(source_range=_span(0, length, rate))


def _span(start: float, length: float, rate: float) -> otio.opentime.TimeRange:
    return otio.opentime.TimeRange(_time(start, rate), _time(length, rate))


def _time(value: float, rate: float) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(value, rate)
