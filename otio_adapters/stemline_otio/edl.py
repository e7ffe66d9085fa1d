"""CMX 3600 edit lists: forgiving of how systems write them, strict about the frame rate, which they do not say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio

from stemline.errors import Code, EditError, UsageError
from stemline.timebase import is_drop_rate
from stemline_otio.document import only_timeline
from stemline_otio.edl_events import EventList, parse_events
from stemline_otio.facts import EDL_KEY, note_drop_frame

Parse = Callable[..., otio.core.SerializableObject]


def read_edl(path: Path, rate: Fraction | None, parse: Parse) -> tuple[otio.schema.Timeline, tuple[str, ...]]:
    """The timeline of an edit list, and what was assumed.

    Raises UsageError without a rate, EditError for what is no edit list.
    """
    if rate is None:
        raise UsageError(
            f"{path.name} is an EDL, which does not say its frame rate.", advice="Give --rate, for example --rate 25."
        )
    events = parse_events(_decoded(path.read_bytes()).splitlines(), rate)
    if not events.events:
        raise EditError(f"{path.name} holds no events.", code=Code.EDIT_NO_CLIPS)
    read = parse(events.text(), rate=float(rate), ignore_timecode_mismatch=True)
    timeline = only_timeline(read, path)
    _name_reels(timeline, events)
    _start_at_record(timeline, float(rate))
    if events.dropped:
        note_drop_frame(timeline)
    return timeline, tuple(_notes(path, events))


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _notes(path: Path, events: EventList) -> Iterator[str]:
    if events.dropped and not is_drop_rate(events.rate):
        yield f"{path.name} writes drop-frame timecode, which does not exist at {float(events.rate):g} frames/s."
    what = {
        "uneven": "of uneven source and record length: the record length holds",
        "overlapping": "on top of another: they stand on tracks of their own",
        "faded": "fading in from nothing: it is cut hard",
        "nowhere": "on no track: it is left out",
    }
    events.counts["nowhere"] = sum(not event.tracks for event in events.events)
    for name, sentence in what.items():
        count = events.counts[name]
        if count:
            yield f"{path.name} holds {count} event{'s' * (count > 1)} {sentence}."


def _name_reels(timeline: otio.schema.Timeline, events: EventList) -> None:
    """The adapter takes names of reels without spaces only."""
    for clip in timeline.find_clips():
        own = clip.metadata.get(EDL_KEY, {})
        if own.get("reel") in events.reels:
            own["reel"] = events.reels[own["reel"]]


def _start_at_record(timeline: otio.schema.Timeline, rate: float) -> None:
    """The adapter notes where a track begins as a negative source start; OTIO means a gap before it by that, and the
    edit's own start by `global_start_time`."""
    heads = {}
    for index, track in enumerate(timeline.tracks):
        if not len(track):
            continue
        start = track.source_range.start_time if track.source_range else otio.opentime.RationalTime(0, rate)
        heads[index] = otio.opentime.RationalTime(max(0.0, -start.value), rate)
    first = min(heads.values(), default=otio.opentime.RationalTime(0, rate))
    for index, head in heads.items():
        track = timeline.tracks[index]
        track.source_range = None
        if head > first:
            track.insert(0, otio.schema.Gap(duration=head - first))
    timeline.global_start_time = first
