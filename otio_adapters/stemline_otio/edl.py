"""CMX 3600 edit lists as timelines, in the spellings of many systems."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PureWindowsPath

import opentimelineio as otio

from stemline.errors import Code, EditError, UsageError
from stemline.timebase import is_drop_rate, parse_timecode
from stemline_otio.edl_events import Event, EventList, parse_events
from stemline_otio.format_metadata import EDL_KEY, note_drop_frame

_BLACK = frozenset({"BL", "BLACK"})
_LOCATOR = re.compile(r"(\d+[:;.]\d+[:;.]\d+[:;.,]\d+)\s*(\w*)\s*(.*)")
_SENTENCES = {
    "uneven": "of uneven source and record length: the record length holds",
    "overlapping": "on top of another: they are on separate tracks",
    "faded": "fading in from nothing: it is cut hard",
    "nowhere": "on no track: it is left out",
}


def read_edl(path: Path, rate: Fraction | None) -> tuple[otio.schema.Timeline, tuple[str, ...]]:
    """Return the timeline of an edit list, and what was assumed.

    Raises UsageError without a rate, EditError for a file that is not an edit list.
    """
    if rate is None:
        raise UsageError(
            f"{path.name} is an EDL, which does not state its frame rate.", advice="Give --rate, for example --rate 25."
        )
    events = parse_events(_decoded(path.read_bytes()).splitlines(), rate)
    if not events.events:
        raise EditError(f"{path.name} holds no events.", code=Code.EDIT_NO_CLIPS)
    builder = _Builder(events)
    timeline = builder.timeline()
    if events.dropped:
        note_drop_frame(timeline)
    return timeline, tuple(_notes(path, events))


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _notes(path: Path, events: EventList) -> Iterator[str]:
    if events.dropped and not is_drop_rate(events.rate):
        yield f"{path.name} writes drop-frame timecode, which does not exist at {float(events.rate):g} frames/s."
    for line in events.unread:
        yield f"{path.name}: the event {line!r} is left out, because its timecode cannot be read."
    for name, sentence in _SENTENCES.items():
        count = events.counts[name]
        if count:
            yield f"{path.name} holds {count} event{'s' * (count > 1)} {sentence}."


@dataclass(slots=True)
class _Lane:
    """A track under construction, and the record frame at which its last clip ends."""

    track: otio.schema.Track
    end: int


@dataclass(slots=True)
class _Builder:
    """Builds the timeline of a list. What lies on top of another event goes to a track of its own."""

    events: EventList
    _lanes: dict[str, _Lane] = field(init=False, default_factory=dict)
    _start: int = field(init=False, default=0)

    def timeline(self) -> otio.schema.Timeline:
        """Return the timeline of the list."""
        events = self.events
        heard = [event for event in events.events if event.tracks]
        self._start = min((event.record[0] for event in heard), default=0)
        shared = _Shared(heard)
        for event in events.events:
            events.counts["nowhere"] += not event.tracks
            for track in event.tracks:
                self._add(event, track, shared)
        timeline = otio.schema.Timeline(events.title, global_start_time=self._time(self._start))
        timeline.tracks.extend([lane.track for lane in self._lanes.values()])
        return timeline

    def _time(self, frame: int) -> otio.opentime.RationalTime:
        return otio.opentime.RationalTime(frame, float(self.events.rate))

    def _span(self, start: int, length: int) -> otio.opentime.TimeRange:
        return otio.opentime.TimeRange(self._time(start), self._time(length))

    def _add(self, event: Event, track: str, shared: _Shared) -> None:
        lane = self._lane(event, track)
        if event.record[0] > lane.end:
            lane.track.append(otio.schema.Gap(source_range=self._span(0, event.record[0] - lane.end)))
        before = lane.track[-1] if len(lane.track) else None
        if event.is_fade and isinstance(before, otio.schema.Clip):
            lane.track.append(self._fade(event))
        elif event.is_fade and event.before is not None and event.before.reel.upper() not in _BLACK:
            lane.track.append(self._clip(event.before, track, shared, _outgoing(event)))
            lane.track.append(self._fade(event))
        else:
            self.events.counts["faded"] += event.is_fade
        lane.track.append(self._clip(event, track, shared, _incoming(event, before)))
        lane.end = max(lane.end, event.record[1])

    def _lane(self, event: Event, track: str) -> _Lane:
        name, count = track, 1
        while name in self._lanes and self._lanes[name].end > event.record[0]:
            count += 1
            name = f"{track}_{count}"
        self.events.counts["overlapping"] += count > 1
        if name not in self._lanes:
            kind = otio.schema.TrackKind.Audio if track.startswith("A") else otio.schema.TrackKind.Video
            self._lanes[name] = _Lane(otio.schema.Track(name=name, kind=kind), self._start)
        return self._lanes[name]

    def _clip(self, event: Event, track: str, shared: _Shared, name: str) -> otio.schema.Clip:
        files = event.stated("SOURCE FILE", "SOURCE FILE NAME")
        links = _links(event)
        facts: dict[str, object] = {"event": event.number, "clip_name": name, **shared.channel(event, track)}
        if self.events.dropped:
            facts["drop_frame"] = True
        if event.reel.upper() != "AX":
            facts["reel"] = event.reel
        if files:
            facts["source_file"] = files[-1] if event.is_fade else files[0]
        if event.remarks():
            facts["comments"] = list(event.remarks())
        clip = otio.schema.Clip(
            name=name or (PureWindowsPath(links[0]).stem if links else "") or event.number,
            media_reference=_reference(event, links),
            source_range=self._span(event.source[0], max(0, event.record[1] - event.record[0])),
            metadata={EDL_KEY: facts},
        )
        if event.speed is not None:
            scalar = event.speed / float(self.events.rate)
            clip.effects.append(otio.schema.LinearTimeWarp(time_scalar=scalar) if scalar else otio.schema.FreezeFrame())
        clip.markers.extend(self._markers(event))
        return clip

    def _markers(self, event: Event) -> Iterator[otio.schema.Marker]:
        """Yield its locators, which state record timecode, in the clip's own time."""
        for text in event.stated("LOC"):
            match = _LOCATOR.match(text)
            if match is None:
                continue
            mark = ";" if self.events.dropped and is_drop_rate(self.events.rate) else ":"
            try:
                at = parse_timecode(mark.join(re.sub("[;.,]", ":", match[1]).rsplit(":", 1)), self.events.rate)
            except UsageError:
                continue
            color = match[2].upper()
            yield otio.schema.Marker(
                name=match[3],
                marked_range=self._span(event.source[0] + at - event.record[0], 0),
                color=color if hasattr(otio.schema.MarkerColor, color) else otio.schema.MarkerColor.RED,
            )

    def _fade(self, event: Event) -> otio.schema.Transition:
        return otio.schema.Transition(
            name=f"{'dissolve' if event.kind[0] == 'D' else 'wipe'} {event.number}",
            transition_type=otio.schema.TransitionTypes.SMPTE_Dissolve,
            in_offset=self._time(0),
            out_offset=self._time(event.fade),
            metadata={EDL_KEY: {"transition": event.kind}},
        )


def _reference(event: Event, links: Sequence[str]) -> otio.core.MediaReference:
    if event.reel.upper() in _BLACK | {"BARS"}:
        kind = "SMPTEBars" if event.reel.upper() == "BARS" else "black"
        return otio.schema.GeneratorReference(generator_kind=kind)
    return otio.schema.ExternalReference(links[0]) if links else otio.schema.MissingReference()


def _links(event: Event) -> tuple[str, ...]:
    """Return the paths that an event states, those of the clip that comes in first."""
    sides = ("TO", "FROM") if event.is_fade else ("FROM", "TO")
    kinds = ("{} CLIP", "{} FILE", "{} CLIP PATH", "{} FILE PATH", "OTIO REFERENCE {}")
    return tuple(link for side in sides for kind in kinds for link in event.stated(kind.format(side)))


def _incoming(event: Event, before: otio.core.Composable | None) -> str:
    """Return the name of the clip that an event brings in.

    At a fade FROM names the clip that goes out and TO the one that comes in; at a cut FROM names the clip. A fade that
    states FROM alone names the clip that comes in, unless it is the name of the clip before.
    """
    outgoing, incoming = event.stated("FROM CLIP NAME"), event.stated("TO CLIP NAME")
    if not event.is_fade:
        return next(iter((*outgoing, *incoming)), "")
    if incoming:
        return incoming[0]
    named = before is not None and before.name in outgoing
    return "" if named or not outgoing else outgoing[0]


def _outgoing(event: Event) -> str:
    names = event.stated("FROM CLIP NAME") if event.stated("TO CLIP NAME") else ()
    return names[0] if names else ""


class _Shared:
    """The events that play several channels of one source together: one event on many tracks, or several alike."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._tracks: Mapping[tuple[object, ...], dict[str, None]] = {}
        tracks: dict[tuple[object, ...], dict[str, None]] = {}
        self._uses: Counter[tuple[object, ...]] = Counter()
        for event in events:
            for track in event.tracks:
                if track.startswith("A"):
                    tracks.setdefault(_source_key(event), {})[track] = None
                    self._uses[_source_key(event), track] += 1
        self._tracks = tracks

    def channel(self, event: Event, track: str) -> dict[str, object]:
        """Return what the list states of the channel of its source that a track plays, for `channels.py`."""
        patched = event.patches().get(track)
        if patched is not None:
            return {"source_channel": patched}
        tracks = sorted(self._tracks.get(_source_key(event), {}), key=lambda name: int(name[1:] or 1))
        if track not in tracks or len(tracks) < 2:
            return {}
        return {"channel_of_event": [int(track[1:] or 1), tracks.index(track) + 1, len(tracks)]}


def _source_key(event: Event) -> tuple[object, ...]:
    names = event.stated("FROM CLIP NAME", "TO CLIP NAME", "SOURCE FILE", "SOURCE FILE NAME", "FROM CLIP", "FROM FILE")
    return event.reel, event.source, event.record, event.kind, names
