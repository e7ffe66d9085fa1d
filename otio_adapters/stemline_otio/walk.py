"""Every use of a clip in an edit's sounding tracks, in record time, nested sequences opened up.

OpenTimelineIO's own transforms do not cut a nested clip to what its parents show, so each parent's window is applied
here; and all positions are summed exactly, which its floating-point sums are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import opentimelineio as otio

from stemline.errors import Code, EditError
from stemline_otio.effects import is_speed_curve
from stemline_otio.exact_time import Span, Ticks, known_span, known_start, span_of, ticks_of

Speed = int | Fraction
LengthOf = Callable[[otio.schema.Clip], Ticks | None]


@dataclass(frozen=True, slots=True)
class Blend:
    """A transition at a cut: `before` and `after` are how far it reaches to each side.

    `ends_track` is true where nothing follows it on its track.
    """

    transition: otio.schema.Transition
    cut: Ticks
    before: Ticks
    after: Ticks
    ends_track: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why something is not separated."""

    code: Code
    reason: str


@dataclass(frozen=True, slots=True)
class Use:
    """A clip as it plays.

    `origin` is the record time of the clip's own first frame, which a nest may hide; `record` is what shows between the
    cuts (empty: nothing); `visible` adds what transitions show beyond them. `path` leads to the clip by child indices.
    `lost` names a transition that the flattened clip cannot carry.
    """

    path: tuple[int, ...]
    clip: otio.schema.Clip
    track: int
    origin: Ticks
    record: Span
    visible: Span
    head: Blend | None
    tail: Blend | None
    blocked: Blocked | None
    lost: str = ""


@dataclass(frozen=True, slots=True)
class _ParentRange:
    """Where a composition plays: the record time of its own time zero, and the window that shows of it (None: all)."""

    path: tuple[int, ...]
    zero: Ticks
    window: Span | None
    visible: Span | None
    head: Blend | None
    tail: Blend | None
    blocked: Blocked | None


@dataclass(frozen=True, slots=True)
class _Slot:
    """The place of a child in its parent: its record range there and the transitions at its two ends."""

    path: tuple[int, ...]
    range: Span
    head: Blend | None = None
    tail: Blend | None = None
    blocked: Blocked | None = None

    @property
    def visible(self) -> Span:
        """Return the range with the overlap of transitions."""
        before = self.head.before if self.head else 0
        after = self.tail.after if self.tail else 0
        return Span(self.range.start - before, self.range.end + after)


class Walk:
    """Walks the tracks of a timeline. `length_of` returns the length of a clip that states no range (None: unknown)."""

    def __init__(self, timeline: otio.schema.Timeline, length_of: LengthOf, *, transitions: bool = True) -> None:
        """Walk the tracks of `timeline`; without `transitions` clips meet at hard cuts."""
        self._stack = timeline.tracks
        self._transitions = transitions
        self._length_of = length_of
        self.notes: dict[str, None] = {}
        """What was left out on the way, once each."""

    def uses(self, tracks: Sequence[int]) -> Iterator[Use]:
        """Yield the uses of clips in the top-level tracks of those indices, in order."""
        stack_range = self._stack.source_range
        window = shown = None
        zero: Ticks = 0
        if stack_range is not None:
            span = span_of(stack_range)
            zero = -span.start
            window = shown = Span(0, span.duration)
        parent = _ParentRange((), zero, window, shown, None, None, _blocked(self._stack, "timeline"))
        children = list(self._stack)
        for index in tracks:
            child = children[index]
            duration = self._duration(child)
            end = zero + (duration if duration is not None else 0)
            yield from self._child(child, _Slot((index,), Span(zero, end)), parent)

    def _child(self, child: otio.core.Composable, slot: _Slot, parent: _ParentRange) -> Iterator[Use]:
        if isinstance(child, otio.schema.Clip):
            yield self._use(child, slot, parent)
        elif isinstance(child, otio.core.Composition):
            yield from self._composition(child, slot, parent)

    def _composition(self, item: otio.core.Composition, slot: _Slot, parent: _ParentRange) -> Iterator[Use]:
        source_range = item.source_range
        begin = known_start(source_range)
        window, visible = parent.window, parent.visible
        if source_range is not None or len(slot.path) > 1:
            window = _meet(slot.range, window)
            visible = _meet(slot.visible, visible)
        edges = _Edges(slot, parent)
        inner = _ParentRange(
            path=slot.path,
            zero=slot.range.start - (begin or 0),
            window=window,
            visible=visible,
            head=edges.head,
            tail=edges.tail,
            blocked=parent.blocked or slot.blocked or _untimed(item) or _blocked(item, "nested sequence"),
        )
        slots = self._sequence(item, inner) if isinstance(item, otio.schema.Track) else self._layers(item, inner)
        for child, child_slot in slots:
            yield from self._child(child, child_slot, inner)

    def _layers(
        self, stack: otio.core.Composition, parent: _ParentRange
    ) -> Iterator[tuple[otio.core.Composable, _Slot]]:
        children = list(stack)
        for index in sounding(children):
            duration = self._duration(children[index]) or 0
            yield children[index], _Slot((*parent.path, index), Span(parent.zero, parent.zero + duration))

    def _sequence(self, track: otio.schema.Track, parent: _ParentRange) -> Iterator[tuple[otio.core.Composable, _Slot]]:
        cursor = parent.zero
        blocked: Blocked | None = None
        items = [*track, None]
        previous: otio.core.Composable | None = None
        for index, (item, following) in enumerate(pairwise(items)):
            if not isinstance(item, otio.schema.Transition):
                duration = self._duration(item)
                end = cursor + (duration or 0)
                head = self._blend(previous, cursor)
                tail = self._blend(following, end, ends_track=index + 2 >= len(items) - 1)
                yield item, _Slot((*parent.path, index), Span(cursor, end), head, tail, blocked)
                if duration is None:
                    blocked = Blocked(
                        Code.CLIP_TIME_AMBIGUOUS,
                        "A clip before it on the track has no known length, so its position is not known.",
                    )
                cursor = end
            previous = item

    def _use(self, clip: otio.schema.Clip, slot: _Slot, parent: _ParentRange) -> Use:
        edges = _Edges(slot, parent)
        visible = _meet(slot.visible, parent.visible)
        return Use(
            path=slot.path,
            clip=clip,
            track=slot.path[0],
            origin=slot.range.start,
            record=_meet(slot.range, parent.window),
            visible=_meet(visible, Span(0, max(visible.end, 0))),
            head=edges.head,
            tail=edges.tail,
            blocked=parent.blocked or slot.blocked or _untimed(clip) or _disabled(clip, "clip"),
            lost=edges.lost,
        )

    def _blend(self, item: otio.core.Composable | None, cut: Ticks, *, ends_track: bool = False) -> Blend | None:
        if not isinstance(item, otio.schema.Transition):
            return None
        if not self._transitions:
            name = item.name or "transition"
            self.notes[f"The {name} is a hard cut in the result: the program that imports it ignores transitions."] = (
                None
            )
            return None
        try:
            return Blend(item, cut, ticks_of(item.in_offset), ticks_of(item.out_offset), ends_track)
        except EditError as error:
            self.notes[f"The transition {item.name or 'without name'} is not on the stems: {error.message}"] = None
            return None

    def _duration(self, item: otio.core.Composable) -> Ticks | None:
        """Return the record time that an item takes, None where that is unknown."""
        source_range = item.source_range if isinstance(item, otio.core.Item) else None
        if source_range is not None:
            return _known_length(source_range)
        if isinstance(item, otio.schema.Track):
            return self._sum(item)
        if isinstance(item, otio.core.Composition):
            lengths = [self._duration(child) for child in item]
            return max((length for length in lengths if length is not None), default=0)
        if isinstance(item, otio.schema.Clip):
            available = known_span(item.media_reference.available_range if item.media_reference else None)
            return available.duration if available is not None else self._length_of(item)
        return 0

    def _sum(self, track: otio.schema.Track) -> Ticks | None:
        total: Ticks = 0
        for child in track:
            length = None if isinstance(child, otio.schema.Transition) else self._duration(child)
            if length is not None:
                total += length
            elif not isinstance(child, otio.schema.Transition):
                return None
        return total


def sounding(children: Sequence[otio.core.Composable]) -> list[int]:
    """Return the indices of the layers that are a stack's sound: its audio tracks, or all where there are none."""
    audio = [
        index
        for index, child in enumerate(children)
        if isinstance(child, otio.schema.Track) and child.kind == otio.schema.TrackKind.Audio
    ]
    return audio or list(range(len(children)))


def speed_of(item: otio.core.Item) -> Speed | None:
    """Return media seconds per record second.

    None for a speed that is not steady and forward: reverse, freeze frames, speed curves.
    """
    speed: Speed = 1
    if not len(item.effects):  # iterating takes most of the time of reading a clip
        return speed
    for effect in item.effects:
        if not effect.enabled:
            continue
        if isinstance(effect, otio.schema.LinearTimeWarp):
            scalar = effect.time_scalar
            if not (math.isfinite(scalar) and scalar > 0):
                return None
            speed *= Fraction(scalar).limit_denominator(1_000_000)
            if not speed:
                return None
        elif isinstance(effect, otio.schema.TimeEffect) or is_speed_curve(effect):
            return None
    return speed


class _Edges:
    """The transitions at the ends of a child once its parent's window has cut it."""

    def __init__(self, slot: _Slot, parent: _ParentRange) -> None:
        window = parent.window
        lost = [b for b in (slot.head, slot.tail) if b is not None and _cut_through(b, window)]
        self.lost = ", ".join(b.transition.name or "a transition" for b in lost)
        self.head = slot.head if slot.head is not None and _inside(slot.head, window) else None
        self.tail = slot.tail if slot.tail is not None and _inside(slot.tail, window) else None
        if self.head is None and window is not None and slot.range.start <= window.start:
            self.head = parent.head
        if self.tail is None and window is not None and slot.range.end >= window.end:
            self.tail = parent.tail


def _known_length(time_range: otio.opentime.TimeRange) -> Ticks | None:
    try:
        length = ticks_of(time_range.duration)
    except EditError:
        return None
    return length if length >= 0 else None


def _untimed(item: otio.core.Item) -> Blocked | None:
    """Return why an item whose own range cannot be read is not separated; a bad time stops no other clip."""
    try:
        if item.source_range is not None:
            span_of(item.source_range)
    except EditError as error:
        return Blocked(Code.CLIP_TIME_AMBIGUOUS, error.message)
    return None


def _inside(blend: Blend, window: Span | None) -> bool:
    return window is None or (window.start <= blend.cut - blend.before and blend.cut + blend.after <= window.end)


def _cut_through(blend: Blend, window: Span | None) -> bool:
    """Return whether only a part of a transition shows, which a flattened clip cannot state."""
    if window is None or _inside(blend, window):
        return False
    return blend.cut + blend.after > window.start and blend.cut - blend.before < window.end


def _meet(span: Span, window: Span | None) -> Span:
    """Return the common part of a range and a window; empty where they do not meet."""
    if window is None:
        return span
    start = max(span.start, window.start)
    return Span(start, max(start, min(span.end, window.end)))


def _disabled(item: otio.core.Item, what: str) -> Blocked | None:
    return None if item.enabled else Blocked(Code.CLIP_DISABLED, f"The {what} is disabled.")


def _blocked(item: otio.core.Composition, what: str) -> Blocked | None:
    if isinstance(item, otio.schema.Track):
        what = "track"
    if speed_of(item) != 1:
        return Blocked(Code.CLIP_RETIMED, f"The {what} around it changes its speed as a whole.")
    return _disabled(item, what)
