"""The events of a CMX 3600 edit list, in the spellings of many systems."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate

from stemline.errors import EditError, UsageError
from stemline.timebase import is_drop_rate, parse_timecode

_LABEL = r"\d{1,2}[:;.]\d{2}[:;.]\d{2}[:;.,]\d{2,3}"
_EVENT = re.compile(
    r"^\s*(?P<number>[A-Z]?\d{1,6}[A-Z]?)\s+(?P<reel>\S.*?)\s+(?P<channels>\S+)\s+(?P<kind>C|D|W\d{3}|K\s?[BO]?)"
    r"(?:\s+(?P<length>\d{1,4}))?" + rf"\s+({_LABEL})" * 4 + r"(?:\s+.*)?$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^\s*\d{1,6}[A-Z]?\s+\S|^[^*]*" + rf"\s{_LABEL}" * 4, re.IGNORECASE)
_PARTS = re.compile(r"(\d+)[:;.](\d+)[:;.](\d+)([:;.,])(\d+)")
_MODE = re.compile(r"^\s*FCM\s*:\s*(NON|DROP)", re.IGNORECASE)
_SPEED = re.compile(r"^\s*M2\b.*?\s([+-]?\d*\.?\d+)(?:\s+\d+[:;.]\d+[:;.]\d+[:;.,]\d+)?\s*$", re.IGNORECASE)
_FREEZE = re.compile(r"^\s*\*?\s*FREEZE FRAME", re.IGNORECASE)
_MORE_TRACKS = re.compile(r"^\s*\*?\s*AUD((?:\s+\d+)+)\s*$", re.IGNORECASE)
_PATCH = re.compile(r"^\s*\*?\s*PATCH\b.*?\bFROM SOURCE\s+(\d+)\s+TO RECORD\s+(\d+)", re.IGNORECASE)
_STATED = re.compile(
    r"^\s*\*?\s*(?P<what>(?P<side>FROM|TO) CLIP NAME|SOURCE FILE(?: NAME)?|(?:FROM|TO) (?:CLIP|FILE)(?: PATH)?"
    r"|OTIO REFERENCE \w+|LOC)\s*(?:[:=]|(?<=NAME|FILE)\s)\s*(?P<text>.*?)\s*$",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"V\d*|A\d*")
_DROP_MARKS = ";,"
_SPEED_STEP = 0.1
_MOST_BAD_EVENTS = 0.1
_HALF_DAY_S = 12 * 3600


class _BadTime(Exception):
    """A timecode label that names no frame. `is_rate` is true where it would at another rate."""

    def __init__(self, message: str, *, is_rate: bool) -> None:
        super().__init__(message)
        self.is_rate = is_rate


@dataclass(frozen=True, slots=True)
class Event:
    """An edit in frames.

    `fade` is the length of a dissolve or wipe from `before`, the event it comes from.
    """

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
        """Return the names of the tracks it plays on: V, A1, A2 ..."""
        code = self.channels.upper()
        code = {"B": "VA", "NONE": ""}.get(code, code)
        found: list[str] = []
        for channel in _CHANNEL.findall(code):
            found.append(f"A{1 + found.count('A1')}" if channel == "A" else channel)
        for comment in self.comments:
            more = _MORE_TRACKS.match(comment)
            found += [f"A{int(number)}" for number in more[1].split()] if more else []
        return tuple(dict.fromkeys(found)) or ((self.channels,) if code else ())

    @property
    def is_fade(self) -> bool:
        """Return whether it fades in from the event before. A key concerns the picture alone: its sound is cut."""
        return self.kind[0] in "DW" and self.fade > 0

    def stated(self, *what: str) -> tuple[str, ...]:
        """Return the texts of its comments of those kinds, for example FROM CLIP NAME."""
        return tuple(text for kind, text in map(_stated, self.comments) if kind in what and text)

    def patches(self) -> dict[str, int]:
        """Return the source channel of each track that a PATCH comment names, counted from 1."""
        found = (_PATCH.match(comment) for comment in self.comments)
        return {f"A{int(match[2])}": int(match[1]) for match in found if match}

    def remarks(self) -> tuple[str, ...]:
        """Return the comments that state nothing known."""
        return tuple(text.lstrip("* ") for text in self.comments if not _stated(text)[0] and text.strip("* "))


def _stated(comment: str) -> tuple[str, str]:
    """Return what a comment states, with its text; empty where it is a remark."""
    match = _STATED.match(comment)
    return (" ".join(match["what"].upper().split()), match["text"]) if match else ("", "")


@dataclass(slots=True)
class EventList:
    """All events in record order, the title, and what had to be assumed.

    `day` is the length of a day in frames; record times past midnight go on counting. `counts` counts events
    that were uneven; `unread` names those whose timecode cannot be read.
    """

    rate: Fraction
    title: str = ""
    events: list[Event] = field(default_factory=list)
    dropped: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)

    @property
    def day(self) -> int:
        """Return the length of a day in frames."""
        return parse_timecode(f"24:00:00{';' if self.dropped and is_drop_rate(self.rate) else ':'}00", self.rate)


def parse_events(lines: Iterable[str], rate: Fraction) -> EventList:
    """Return the events of a list. One whose timecode cannot be read is left out by name.

    Raises EditError for a line that is not an event, and for timecode that the rate does not have.
    """
    found = EventList(rate)
    drop = False
    blocks: list[tuple[Event, list[str]]] = []
    bad: list[_BadTime] = []
    for line in lines:
        mode = _MODE.match(line)
        if mode is not None:
            drop = mode[1].upper() == "DROP"
        elif line.strip().upper().startswith("TITLE:"):
            found.title = line.strip()[len("TITLE:") :].strip()
        elif _NUMBERED.match(line):
            try:
                event = _event(line, rate, drop=drop, found=found)
            except _BadTime as error:
                bad.append(error)
                found.unread.append(" ".join(line.split())[:100])
                blocks.append((_NONE, []))
                continue
            last = blocks[-1] if blocks else None
            if last is not None and event.kind != "C" and last[0].number == event.number:
                event = replace(event, before=replace(last[0], comments=tuple(last[1])))
                blocks[-1] = (event, last[1])
            else:
                blocks.append((event, []))
        elif line.strip() and blocks:
            blocks[-1][1].append(line.strip())
    _refuse_wrong_rate(bad, len(blocks), rate)
    events = [_with_comments(event, comments, found) for event, comments in blocks if event is not _NONE]
    found.events = sorted(_over_midnight(events, found), key=lambda event: event.record)
    return found


_NONE = Event("", "", "", (0, 0), (0, 0))


def _event(line: str, rate: Fraction, *, drop: bool, found: EventList) -> Event:
    match = _EVENT.match(line)
    if match is None:
        raise EditError(
            f"The edit list holds an event that cannot be read: {' '.join(line.split())[:100]!r}.",
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
    if last == ";" and int(seconds) == 0 and int(minutes) % 10 and int(frames) < math.ceil(rate) // 15:
        frames = str(math.ceil(rate) // 15)  # a label that drop frame skips: the next one
    try:
        return parse_timecode(f"{hours}:{minutes}:{seconds}{last}{frames}", rate)
    except UsageError as error:
        raise _BadTime(error.message, is_rate=int(frames) >= math.ceil(rate)) from error


def _refuse_wrong_rate(bad: Sequence[_BadTime], count: int, rate: Fraction) -> None:
    """Refuse a list in which so many labels do not exist that its rate must be another. Raises EditError."""
    wrong = [error for error in bad if error.is_rate]
    if (len(bad) == count and bad) or len(wrong) > count * _MOST_BAD_EVENTS:
        raise EditError(
            f"The edit list does not fit {float(rate):g} frames per second: {(wrong or bad)[0]}",
            advice="Give the right --rate.",
        ) from bad[0]


def _with_comments(event: Event, comments: Sequence[str], found: EventList) -> Event:
    speed: float | None = None
    others = []
    for comment in comments:
        stated = _SPEED.match(comment)
        if stated is not None:
            speed = float(stated[1])
        elif _FREEZE.match(comment) or comment.upper().startswith("M2"):
            speed = 0.0
        else:
            others.append(comment)
    event = _ordered(event, found)
    taken, shown = event.source[1] - event.source[0], event.record[1] - event.record[0]
    if speed is not None and shown > 0 and abs(taken * found.rate / shown - abs(speed)) < _SPEED_STEP:
        speed = math.copysign(float(taken * found.rate / shown), speed)  # exact, where M2 has one decimal
    if speed is not None and abs(speed - found.rate) < _SPEED_STEP:
        speed = None
    found.counts["uneven"] += taken != shown and speed is None
    return replace(event, comments=tuple(others), speed=speed)


def _ordered(event: Event, found: EventList) -> Event:
    """Return an event whose times end after they begin: past midnight, or for the length that the other side states."""
    source, record = (_past_midnight(span, found) for span in (event.source, event.record))
    if record[1] < record[0] and source[1] > source[0]:
        record = record[0], record[0] + source[1] - source[0]
    return replace(event, source=source, record=record)


def _past_midnight(span: tuple[int, int], found: EventList) -> tuple[int, int]:
    start, end = span
    return (start, end + found.day) if start - end > _HALF_DAY_S * found.rate else span


def _over_midnight(events: list[Event], found: EventList) -> list[Event]:
    """Return the events with record times that go on counting at midnight.

    An edit that seems to last more than half a day begins after the longest pause of the day.
    """
    if not events:
        return events
    in_order = sorted(events, key=lambda event: event.record[0])
    ends = list(accumulate((event.record[1] for event in in_order), max))
    if ends[-1] - in_order[0].record[0] <= _HALF_DAY_S * found.rate:
        return events
    pauses = [(after.record[0] - end, after.record[0]) for end, after in zip(ends, in_order[1:], strict=False)]
    longest, first = max(pauses, default=(0, 0))
    if longest <= in_order[0].record[0] + found.day - ends[-1]:
        return events
    return [event if event.record[0] >= first else _a_day_later(event, found.day) for event in events]


def _a_day_later(event: Event, day: int) -> Event:
    return replace(event, record=(event.record[0] + day, event.record[1] + day))
