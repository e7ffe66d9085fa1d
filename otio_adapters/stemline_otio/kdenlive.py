"""Results for Kdenlive's import, which ignores `enabled` and counts media from its first frame."""

from __future__ import annotations

from collections.abc import Sequence

import opentimelineio as otio

from stemline.clips import StemTrack
from stemline_otio.dialect import Dialect
from stemline_otio.exact_time import (
    Span,
    Ticks,
    frame_ticks,
    known_span,
    known_start,
    rational_range,
    rational_time,
    ticks_of,
)
from stemline_otio.messages import list_names
from stemline_otio.reading import Placed


def playable_tracks(tracks: Sequence[StemTrack], dialect: Dialect) -> list[StemTrack]:
    """Return the stem tracks to write: without the disabled ones where the program would play them."""
    return [track for track in tracks if track.enabled or not dialect.removes_originals]


def tracks_left_out(tracks: Sequence[StemTrack], dialect: Dialect) -> list[str]:
    """Return a note on the stem tracks that `playable_tracks` leaves out."""
    names = [track.name for track in tracks if not track.enabled and dialect.removes_originals]
    return [f"{list_names(names, 'tracks')}: left out, because the program imports disabled tracks as enabled."] * bool(
        names
    )


def shape_for_kdenlive(
    timeline: otio.schema.Timeline, originals: Sequence[tuple[otio.schema.Clip, Placed]], dialect: Dialect
) -> list[str]:
    """Count the media of all clips from zero and take disabled sound out; return notes.

    `originals` are the clips of the timeline that were read, with what was read.
    """
    for clip, placed in originals:
        _count_from_zero(clip, placed, dialect)
    known = {id(clip) for clip, _ in originals}
    for clip in timeline.find_clips():
        if id(clip) not in known:
            _count_from_zero(clip, None, dialect)
    retimed = [clip.name for clip, placed in originals if placed.speed != 1]
    notes = [f"{list_names(retimed)}: the program ignores the change of speed; set it again there."] if retimed else []
    removed = _take_out_disabled(timeline)
    if removed:
        notes.append(
            f"{list_names(removed)}: taken out of the result, because the program imports disabled clips as enabled. "
            "The originals are in the edit itself."
        )
    return notes


def _count_from_zero(clip: otio.schema.Clip, placed: Placed | None, dialect: Dialect) -> None:
    """Make the ranges of an original count as Kdenlive's importer does: from the first frame of the media.

    Kdenlive takes a timecode off that the program `mediainfo` finds, which knows those of QuickTime and MXF files but
    not the time stamp of a broadcast WAV.
    """
    reference = clip.media_reference
    if reference is None or clip.source_range is None:
        return
    start = placed.clock.zero if placed is not None else known_start(reference.available_range)
    if start is None:
        return
    label = placed.clock.label if placed is not None and dialect is Dialect.KDENLIVE else 0
    rate = clip.source_range.duration.rate
    for item in (clip, *clip.markers):
        _shift(item, label - start)
    available = known_span(reference.available_range)
    length = available.duration if available is not None else placed.media_length if placed is not None else None
    frame = frame_ticks(rate)
    reference.available_range = (
        rational_range(Span(label, label + length // frame * frame), rate) if length is not None else None
    )


def _shift(item: otio.schema.Clip | otio.schema.Marker, ticks: Ticks) -> None:
    """Move the range of a clip or of a marker on it; a time that cannot be read stays."""
    name = "source_range" if isinstance(item, otio.schema.Clip) else "marked_range"
    span = getattr(item, name)
    if known_span(span) is not None:
        begin = rational_time(ticks_of(span.start_time) + ticks, span.start_time.rate)
        setattr(item, name, otio.opentime.TimeRange(begin, span.duration))


def _take_out_disabled(timeline: otio.schema.Timeline) -> list[str]:
    """Put gaps in the place of disabled clips of the audio tracks, and return their names."""
    names = []
    for track in timeline.tracks:
        if not isinstance(track, otio.schema.Track) or track.kind != otio.schema.TrackKind.Audio:
            continue
        for clip in track.find_clips():
            parent = clip.parent()
            if (clip.enabled and track.enabled) or not isinstance(parent, otio.schema.Track):
                continue
            duration = clip.trimmed_range().duration
            zero = otio.opentime.RationalTime(0, duration.rate)
            parent[parent.index(clip)] = otio.schema.Gap(source_range=otio.opentime.TimeRange(zero, duration))
            names.append(clip.name)
        for owner in (track, *track.find_children(descended_from_type=otio.schema.Track)):
            _drop_idle_transitions(owner)
    return names


def _drop_idle_transitions(track: otio.schema.Track) -> None:
    """Remove transitions between gaps, where clips were taken out."""
    items = [None, *track, None]
    for index in reversed(range(len(track))):
        beside = (items[index], items[index + 2])
        if isinstance(track[index], otio.schema.Transition) and not any(
            isinstance(item, otio.schema.Clip | otio.core.Composition) for item in beside
        ):
            del track[index]
