"""CMX 3600 edit lists: forgiving of how systems spell timecode, strict about the frame rate, which they do not say."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio

from stemline.errors import Code, EditError, UsageError
from stemline.hosts.otio_edit.document import only_timeline
from stemline.timebase import format_timecode, is_drop_rate, parse_timecode

_TIMECODE = re.compile(r"\b(\d{1,2})([:;.])(\d{2})([:;.])(\d{2})([:;.,])(\d{2,3})\b")
_EVENT = re.compile(r"^\s*\d{1,6}\s+\S")
_EFFECT = re.compile(r"^\s*(M2\b|\*.*FREEZE FRAME)", re.IGNORECASE)
_MODE = re.compile(r"^\s*FCM\s*:\s*(NON|DROP)", re.IGNORECASE)

Parse = Callable[..., otio.core.SerializableObject]


def read_edl(path: Path, rate: Fraction | None, parse: Parse) -> tuple[otio.schema.Timeline, tuple[str, ...]]:
    """The timeline of an edit list, and what was assumed.

    Raises UsageError without a rate, EditError for what the adapter does not read.
    """
    if rate is None:
        raise UsageError(
            f"{path.name} is an EDL, which does not say its frame rate.", advice="Give --rate, for example --rate 25."
        )
    text, dropped, uneven = _settle_events(_decoded(path.read_bytes()).splitlines(), rate)
    notes = []
    if dropped and not is_drop_rate(rate):
        notes.append(f"{path.name} writes drop-frame timecode, which does not exist at {float(rate):g} frames/s.")
    if uneven:
        notes.append(f"{path.name} holds {uneven} events of uneven source and record length: the record length holds.")
    read = parse(text, rate=float(rate), ignore_timecode_mismatch=True)
    timeline = only_timeline(read, path)
    if not list(timeline.find_clips()):
        raise EditError(f"{path.name} holds no events.", code=Code.EDIT_NO_CLIPS)
    _start_at_record(timeline, float(rate))
    return timeline, tuple(notes)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _settle_events(lines: list[str], rate: Fraction) -> tuple[str, bool, int]:
    """The list as the adapter takes it, whether it is drop frame, and how many events had uneven lengths.

    Timecode: `;` for drop frame (from the FCM line or the event itself), else `:`. The adapter moves everything behind
    an event whose source is longer than its record, so the record length is given to both; speed effects keep theirs.
    """
    settled, drop, seen, uneven = [], False, False, 0
    for number, line in enumerate(lines):
        mode = _MODE.match(line)
        if mode:
            drop = mode[1].upper() == "DROP"
        event = line
        if _EVENT.match(line):
            dropped = drop or any(match[6] in ";," for match in _TIMECODE.finditer(line))
            seen = seen or dropped
            as_drop = dropped and is_drop_rate(rate)
            event = _TIMECODE.sub(r"\1:\3:\5;\7" if as_drop else r"\1:\3:\5:\7", line)
            if not _has_effect(lines, number):
                spelled, event = event, _evened(event, rate, drop_frame=as_drop)
                uneven += event != spelled
        settled.append(event)
    return "\n".join(settled) + "\n", seen, uneven


def _has_effect(lines: list[str], number: int) -> bool:
    for line in lines[number + 1 :]:
        if _EVENT.match(line):
            return False
        if _EFFECT.match(line):
            return True
    return False


def _evened(line: str, rate: Fraction, *, drop_frame: bool) -> str:
    """The event with its source as long as its record. Text that is no timecode is left for the adapter to refuse."""
    found = list(_TIMECODE.finditer(line))
    if len(found) != 4:
        return line
    try:
        source_in, source_out, record_in, record_out = (parse_timecode(match[0], rate) for match in found)
    except UsageError:
        return line
    if source_out - source_in == record_out - record_in:
        return line
    label = format_timecode(source_in + record_out - record_in, rate, drop_frame=drop_frame)
    return line[: found[1].start()] + label + line[found[1].end() :]


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
