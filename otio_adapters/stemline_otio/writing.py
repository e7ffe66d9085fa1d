"""Stem tracks, built beside the originals in a copy of the edit."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import opentimelineio as otio

from stemline.clips import METADATA_VERSION, StemClip, StemTrack
from stemline.errors import Code, HostError
from stemline.plan import pack_lanes
from stemline_otio.dialect import Dialect, file_zero, link_to, shape_stem_clip, shape_stem_track
from stemline_otio.effects import copy_effects, copy_markers, effects_of_nests
from stemline_otio.exact_time import (
    TICKS_PER_SECOND,
    Span,
    Ticks,
    frame_ticks,
    rational_range,
    rational_time,
    samples_to_ticks,
    ticks_of,
    to_ticks,
)
from stemline_otio.reading import STEMLINE, Placed
from stemline_otio.walk import Blend

_PLACE_TOLERANCE = TICKS_PER_SECOND // 1_000_000
_PLACE_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Seat:
    """A stem clip and its place between the cuts. Its file may hold more: handles, transition overlaps."""

    stem: StemClip
    placed: Placed
    range: Span


@dataclass(slots=True)
class TrackBuilder:
    """Builds the tracks of one edit.

    `notes` collects, once each, what could not be carried over; `places` holds the positions of the clips of each built
    track. `zero` is the tracks' own time of the timeline's first moment; `rate` is the edit's own. With `checkerboard`
    neighbours never share a track.
    """

    placed: Mapping[str, Placed]
    folder: Path
    dialect: Dialect
    zero: Ticks
    rate: float
    source_tracks: Mapping[str, otio.core.Composable]
    checkerboard: bool = False
    notes: dict[str, None] = field(default_factory=dict)
    places: list[list[Span]] = field(default_factory=list)

    def tracks(self, tracks: Sequence[StemTrack]) -> list[otio.schema.Track]:
        """Return one OTIO track per lane.

        Clips that overlap only because a transition shows both come on lanes of their own; a track with the transition
        holds both, so lanes are laid again on the ranges between the cuts.
        """
        groups: dict[tuple[str, str, int, bool], list[StemTrack]] = defaultdict(list)
        for track in tracks:
            groups[track.stem, track.source_track, track.channels, track.enabled].append(track)
        return [
            self._track(given or group[-1], lane)
            for group in groups.values()
            for given, lane in zip_longest(group, self._lanes(group))
            if lane
        ]

    def _lanes(self, group: Sequence[StemTrack]) -> list[list[Seat]]:
        seats = [self._seat(clip) for track in group for clip in track.clips]
        return pack_lanes(seats, lambda seat: seat.range, checkerboard=self.checkerboard)

    def _seat(self, clip: StemClip) -> Seat:
        placed = self.placed.get(clip.clip_id)
        if placed is None:
            raise HostError(f"The edit has no clip {clip.clip_id!r}.", code=Code.HOST_PROTOCOL)
        record = placed.use.record
        start = max(record.start, to_ticks(clip.record_range.start))
        return Seat(clip, placed, Span(start, max(start, min(record.end, to_ticks(clip.record_range.end)))))

    def _track(self, given: StemTrack, lane: Sequence[Seat]) -> otio.schema.Track:
        own = {
            "version": METADATA_VERSION,
            "stem": given.stem,
            "source_track": given.source_track,
            "lane": given.lane,
            "prompt": lane[0].stem.metadata.get("prompt"),
        }
        track = otio.schema.Track(
            name=given.name,
            kind=otio.schema.TrackKind.Audio,
            metadata={STEMLINE: otio_metadata({**own, **given.metadata})},
        )
        track.enabled = given.enabled
        source = self.source_tracks.get(given.source_track)
        if source is not None:
            effects, left = copy_effects(source)
            track.effects.extend(effects)
            self._note_effects(left, f"track {given.source_track}")
        if self.dialect is Dialect.RESOLVE:
            shape_stem_track(track, given.channels)
        for item in self._items(given, lane):
            track.append(item)
        self.places.append([Span(seat.range.start + self.zero, seat.range.end + self.zero) for seat in lane])
        return track

    def _items(self, given: StemTrack, lane: Sequence[Seat]) -> list[otio.core.Composable]:
        items: list[otio.core.Composable] = []
        before: Seat | None = None
        cursor = -self.zero
        for seat in lane:
            items += self._join(before, seat, seat.range.start - cursor)
            items.append(self._clip(seat, given.channels))
            before, cursor = seat, seat.range.end
        last = lane[-1].placed.use.tail
        if last is not None and last.cut == cursor:
            items.append(_copy(last))
            if not last.ends_track:
                items.append(self._gap(last.after, lane[-1]))
        return items

    def _join(self, before: Seat | None, after: Seat, space: Ticks) -> list[otio.core.Composable]:
        """Return what stands between two clips of a lane: their transition, or a gap with a fade on either side."""
        tail = before.placed.use.tail if before is not None else None
        head = after.placed.use.head
        tail = tail if before is not None and tail is not None and tail.cut == before.range.end else None
        head = head if head is not None and head.cut == after.range.start else None
        if before is not None and space == 0:
            if head is not None and tail is not None and head.transition is tail.transition:
                return [_copy(head)]
            self._lose(head, tail)
            return []
        if before is None and space == 0:
            return [_copy(head)] if head is not None else []
        if (tail.after if tail else 0) + (head.before if head else 0) > space:
            self._lose(head, tail)
            head = tail = None
        return [
            *([_copy(tail)] if tail is not None else []),
            self._gap(space, after),
            *([_copy(head)] if head is not None else []),
        ]

    def _clip(self, seat: Seat, channels: int) -> otio.schema.Clip:
        stem, placed = seat.stem, seat.placed
        original, rate = placed.use.clip, placed.clock.rate
        file_start = samples_to_ticks(stem.file_range.start_sample, stem.sample_rate)
        zero = file_zero(placed, self.dialect)
        available: Ticks = 0 if zero is None else zero + file_start
        skipped = (seat.range.start - to_ticks(stem.record_range.start)) * placed.speed
        start = available + to_ticks(stem.file_start) + skipped
        if self.dialect.starts_at_clip and math.fabs(start - available) * stem.sample_rate < TICKS_PER_SECOND:
            start = available
        path = Path(stem.path).absolute()
        clip = otio.schema.Clip(
            name=stem.name,
            media_reference=otio.schema.ExternalReference(
                target_url=link_to(path, self.folder, self.dialect),
                available_range=rational_range(_whole_frames(available, stem, rate), rate),
            ),
            source_range=otio.opentime.TimeRange(rational_time(start, rate), rational_time(seat.range.duration, rate)),
            metadata={STEMLINE: otio_metadata(stem.metadata)},
        )
        clip.media_reference.name = path.name
        clip.enabled = placed.use.blocked is None
        effects, left = copy_effects(original, round(file_start / frame_ticks(rate)))
        clip.effects.extend(effects)
        clip.markers.extend(copy_markers(original, available - placed.clock.zero - file_start))
        if len(clip.markers) < len(original.markers):
            self.notes[f"A marker of {original.name} has a time that cannot be read: it is not on its stems."] = None
        self._note_effects(left, original.name)
        self._note_effects(list(effects_of_nests(original)), f"the nest around {original.name}")
        if self.dialect is Dialect.RESOLVE:
            shape_stem_clip(clip, channels)
        return clip

    def _gap(self, duration: Ticks, beside: Seat) -> otio.schema.Gap:
        """Return a gap in frames of the clip beside it where they are whole, so that a track keeps to one rate."""
        own = beside.placed.clock.rate
        rate = own if duration % frame_ticks(own) == 0 else self.rate
        return otio.schema.Gap(source_range=rational_range(Span(0, duration), rate))

    def _note_effects(self, names: Sequence[str], where: str) -> None:
        for name in names:
            self.notes[f"The effect {name} of {where} is not on its stems."] = None

    def _lose(self, *blends: Blend | None) -> None:
        for blend in blends:
            if blend is not None:
                name = blend.transition.name or "transition"
                self.notes[f"The {name} at {float(blend.cut / TICKS_PER_SECOND):.3f} s is not on the stem tracks."] = (
                    None
                )


def is_placed_right(track: otio.schema.Track, places: Sequence[Span]) -> bool:
    """Return whether the clips of a track lie at `places`, by the exact lengths of its items as they were read back.

    OpenTimelineIO's own (floating-point) positions are compared with the same lengths. It takes a rate such as 23.976
    literally, so that its positions drift from the exact ones.
    """
    ranges = track.range_of_all_children()
    exact: Ticks = 0
    spelled = Fraction(0)
    found = 0
    for item in track:
        if isinstance(item, otio.schema.Transition):
            continue
        duration = item.source_range.duration
        length = ticks_of(duration)
        if isinstance(item, otio.schema.Clip):
            if (
                found == len(places)
                or not _near(exact, places[found].start)
                or not _near(length, places[found].duration)
            ):
                return False
            if abs(ranges[item].start_time.to_seconds() - float(spelled)) > _PLACE_TOLERANCE_S:
                return False
            found += 1
        exact += length
        spelled += Fraction(duration.value) / Fraction(duration.rate)
    return found == len(places)


def _near(one: Ticks, other: Ticks) -> bool:
    return -_PLACE_TOLERANCE <= one - other <= _PLACE_TOLERANCE


def _copy(blend: Blend) -> otio.schema.Transition:
    return copy.deepcopy(blend.transition)


def _whole_frames(start: Ticks, stem: StemClip, rate: float) -> Span:
    """Return the whole frames that a file holds."""
    frame = frame_ticks(rate)
    return Span(start, start + samples_to_ticks(stem.file_range.length, stem.sample_rate) // frame * frame)


def otio_metadata(value: object) -> object:
    """Return a value as OTIO metadata can hold it: JSON types, 64-bit integers, valid UTF-8."""
    if isinstance(value, Mapping):
        return {str(otio_metadata(str(key))): otio_metadata(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [otio_metadata(item) for item in value]
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return str(value).encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
