"""The events of a CMX 3600 edit list: read as systems spell them, written as the adapter takes them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from stemline.errors import EditError, UsageError
from stemline.timebase import format_timecode, is_drop_rate, parse_timecode

_LABEL = r"\d{1,2}[:;.]\d{2}[:;.]\d{2}[:;.,]\d{2,3}"
_EVENT = re.compile(
    r"^\s*(?P<number>\d{1,6})\s+(?P<reel>\S.*?)\s+(?P<channels>\S+)\s+(?P<kind>C|D|W\d{3}|K\s?[BO]?)"
    r"(?:\s+(?P<length>\d{1,4}))?" + rf"\s+({_LABEL})" * 4 + r"\s*$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^\s*\d{1,6}\s+\S")
_PARTS = re.compile(r"(\d+)[:;.](\d+)[:;.](\d+)([:;.,])(\d+)")
_MODE = re.compile(r"^\s*FCM\s*:\s*(NON|DROP)", re.IGNORECASE)
_SPEED = re.compile(r"^\s*M2\b.*?\s([+-]?\d*\.?\d+)(?:\s+\d+[:;.]\d+[:;.]\d+[:;.,]\d+)?\s*$", re.IGNORECASE)
_FREEZE = re.compile(r"^\s*\*?\s*FREEZE FRAME", re.IGNORECASE)
_MORE_TRACKS = re.compile(r"^\s*\*?\s*AUD((?:\s+\d+)+)\s*$", re.IGNORECASE)
_KEYWORD = re.compile(r"^\s*\*\s*([A-Za-z][A-Za-z _]*?)\s*:")
_NAME = re.compile(r"^\*\s*(FROM|TO) CLIP NAME:")
_CHANNEL = re.compile(r"V\d*|A\d*")
_DROP_MARKS = ";,"
_SPEED_STEP = 0.1
_FADES = "DW"  # a key is a matter of picture: its sound is cut


@dataclass(frozen=True, slots=True)
class Event:
    """An edit in frames. `fade` is the length of a dissolve or wipe from `before`, the event it comes from."""

    number: str
    reel: str
    channels: str
    source: tuple[int, int]
    record: tuple[int, int]
    kind: str = "C"
    fade: int = 0
    before: Event | None = None
    comments: tuple[str, ...] = ()
    speed: float | None = None

    @property
    def tracks(self) -> tuple[str, ...]:
        """Names of the tracks it plays on: V, A1, A2 ..."""
        code = self.channels.upper()
        code = {"B": "VA", "NONE": ""}.get(code, code)
        found: list[str] = []
        for channel in _CHANNEL.findall(code):
            found.append(f"A{1 + found.count('A1')}" if channel == "A" else channel)
        for comment in self.comments:
            more = _MORE_TRACKS.match(comment)
            found += [f"A{int(number)}" for number in more[1].split()] if more else []
        return tuple(dict.fromkeys(found)) or ((self.channels,) if code else ())


@dataclass(slots=True)
class EventList:
    """All events in record order, the title, and how many were uneven, on top of another, or faded in from nothing."""

    rate: Fraction
    title: str = ""
    events: list[Event] = field(default_factory=list)
    dropped: bool = False
    reels: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        """The list for the adapter: labels that count every frame, one track an event, nothing on top of another.

        The adapter moves what overlaps, or comes out of order, to another time. It refuses a list whose first event
        fades in. `reels` says what its names of reels stand for.
        """
        self.counts["overlapping"] = self.counts["faded"] = 0
        lines = [f"TITLE: {self.title}"]
        ends: dict[str, int] = {}
        for event in self.events:
            for track in event.tracks:
                lane = self._lane(track, event, ends)
                lines += self._lines(event, lane, len(lines), first=lane not in ends)
                ends[lane] = event.record[1]
        return "\n".join(lines) + "\n"

    def _lane(self, track: str, event: Event, ends: dict[str, int]) -> str:
        lane, count = track, 1
        while ends.get(lane, 0) > event.record[0]:
            count += 1
            lane = f"{track}_{count}"
        self.counts["overlapping"] += count > 1
        return lane

    def _lines(self, event: Event, track: str, number: int, *, first: bool) -> Iterator[str]:
        fades = event.before is not None and event.kind[0] in _FADES
        if event.before is not None and fades and not first:
            yield self._line(event.before, track, number, "C")
            yield self._line(event, track, number, f"{event.kind} {event.fade:03d}")
        else:
            self.counts["faded"] += fades
            yield self._line(event, track, number, "C")
        if event.speed is not None:
            yield f"M2   X {event.speed:.6f} 00:00:00:00"
        if not any(_NAME.match(comment) for comment in event.comments):
            yield f"* FROM CLIP NAME: {event.number}"
        yield from event.comments

    def _line(self, event: Event, track: str, number: int, kind: str) -> str:
        start, end = event.source
        length = event.record[1] - event.record[0]
        if event.speed is None:
            end = start + length
        elif end - start == length:
            end += 1  # the adapter looks at speeds only where the lengths differ
        reel = "_".join(event.reel.split())
        self.reels[reel] = event.reel
        labels = (format_timecode(frame, self.rate) for frame in (start, end, *event.record))
        return f"{number:06d}  {reel} {track} {kind} {' '.join(labels)}"


def parse_events(lines: Iterable[str], rate: Fraction) -> EventList:
    """Raises EditError for an event that cannot be read, or timecode that the rate does not have."""
    found = EventList(rate)
    drop = False
    blocks: list[tuple[Event, list[str]]] = []
    for line in lines:
        mode = _MODE.match(line)
        if mode is not None:
            drop = mode[1].upper() == "DROP"
        elif line.strip().upper().startswith("TITLE:"):
            found.title = line.strip()[len("TITLE:") :].strip()
        elif _NUMBERED.match(line):
            event = _event(line, rate, drop=drop, found=found)
            last = blocks[-1] if blocks else None
            if last is not None and event.kind != "C" and last[0].number == event.number and not last[1]:
                event = replace(event, before=blocks.pop()[0])
            blocks.append((event, []))
        elif line.strip() and blocks:
            blocks[-1][1].append(_comment(line))
    events = (_with_comments(event, comments, found) for event, comments in blocks)
    found.events = sorted(events, key=lambda event: event.record)
    return found


def _event(line: str, rate: Fraction, *, drop: bool, found: EventList) -> Event:
    match = _EVENT.match(line)
    if match is None:
        raise EditError(
            f"The edit list holds an event that is none: {' '.join(line.split())[:100]!r}.",
            advice="Export it again as CMX 3600.",
        )
    frames = [_frame(label, rate, drop=drop, found=found) for label in match.groups()[-4:]]
    return Event(
        number=match["number"],
        reel=match["reel"],
        channels=match["channels"],
        source=(frames[0], frames[1]),
        record=(frames[2], frames[3]),
        kind=match["kind"].upper(),
        fade=int(match["length"] or 0),
    )


def _frame(label: str, rate: Fraction, *, drop: bool, found: EventList) -> int:
    hours, minutes, seconds, mark, frames = _PARTS.findall(label)[0]
    dropped = drop or mark in _DROP_MARKS
    found.dropped = found.dropped or dropped
    last = ";" if dropped and is_drop_rate(rate) else ":"
    try:
        return parse_timecode(f"{hours}:{minutes}:{seconds}{last}{frames}", rate)
    except UsageError as error:
        raise EditError(
            f"The edit list does not fit {float(rate):g} frames per second: {error.message}",
            advice="Give the right --rate.",
        ) from error


def _comment(line: str) -> str:
    """With its keyword in capitals, as the adapter wants it."""
    return _KEYWORD.sub(lambda match: f"* {match[1].upper()}:", line.strip())


def _with_comments(event: Event, comments: Sequence[str], found: EventList) -> Event:
    speed: float | None = None
    kept = []
    for comment in comments:
        stated = _SPEED.match(comment)
        if stated is not None:
            speed = float(stated[1])
        elif _FREEZE.match(comment) or comment.upper().startswith("M2"):
            speed = 0.0
        else:
            kept.append(comment)
    taken, shown = event.source[1] - event.source[0], event.record[1] - event.record[0]
    if speed is not None and shown > 0 and abs(taken * found.rate / shown - abs(speed)) < _SPEED_STEP:
        speed = math.copysign(float(taken * found.rate / shown), speed)  # exact, where M2 has one decimal
    if speed is not None and abs(speed - found.rate) < _SPEED_STEP:
        speed = None
    found.counts["uneven"] += taken != shown and speed is None
    return replace(event, comments=tuple(kept), speed=speed)
