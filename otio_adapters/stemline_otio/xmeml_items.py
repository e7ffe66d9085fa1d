"""Clips and transitions of Final Cut 7 XML: their exact record positions, in points and file definitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from xml.etree.ElementTree import Element, SubElement

from stemline.errors import UsageError
from stemline.timebase import parse_timecode

TICKS_PER_SECOND = 254_016_000_000
"""Premiere Pro's unit of time."""

_NTSC = Fraction(1000, 1001)
Number = int | Fraction


@dataclass(slots=True)
class TrackItem:
    """A clip or a transition with its record position in frames of the sequence.

    `start` and `end` of a transition are where it begins and ends; `cut` is the edit point that it covers. The cut of
    a clip is its start. `begin` is the frame of the file that a clip begins with, counted at `rate`.
    """

    element: Element
    start: int
    end: int
    cut: int
    begin: Number = 0
    rate: Fraction | None = None

    @property
    def is_transition(self) -> bool:
        """Return whether it is a transition."""
        return self.element.tag == "transitionitem"

    @property
    def name(self) -> str:
        """Return the name of the clip, for messages."""
        return self.element.findtext("name", "").strip() or self.element.get("id", "") or "a clip"


def rate_of(element: Element, inherited: Fraction | None) -> Fraction | None:
    """Return the frame rate that an element states, else the one it inherits."""
    timebase = number(element.findtext("rate/timebase"))
    if timebase is None or timebase <= 0:
        return inherited
    return Fraction(timebase) * (_NTSC if element.findtext("rate/ntsc", "").strip().upper() == "TRUE" else 1)


def number(text: str | None) -> Number | None:
    """Return the number in a text, None where there is none."""
    if text is None:
        return None
    try:
        return int(text) if text.isdecimal() else Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        return None


def set_number(item: Element, tag: str, value: Number) -> None:
    """Set a child element to a number: whole where it is whole, else a decimal."""
    child = item.find(tag)
    if child is None:
        child = SubElement(item, tag)
    child.text = str(value.numerator) if value.denominator == 1 else repr(float(value))


def in_point(item: Element, rate: Fraction | None) -> tuple[Number, bool, bool]:
    """Return where a clip begins in its file, in frames of `rate`.

    The offset of a subclip is added. Premiere's `pproTicksIn` is exact and wins over `in`, which is rounded to frames
    and may count from the beginning of a transition.

    Returns:
        The frame, whether a subclip's offset was added, whether `pproTicksIn` differs from `in` by a frame or more.
    """
    stated = number(item.findtext("in"))
    subclip = item.find("subclipinfo")
    offset = number(subclip.findtext("startoffset")) if subclip is not None else None
    offset = offset if offset is not None and offset > 0 and stated is not None else 0
    base = (stated or 0) + offset
    ticks = number(item.findtext("pproTicksIn"))
    if ticks is None or rate is None or ticks < 0:
        return base, offset > 0, False
    exact = ticks * rate / TICKS_PER_SECOND
    if exact == base:
        return base, offset > 0, False
    if offset and abs(exact + offset - base) < 1:
        exact += offset
    return exact, offset > 0, stated is not None and abs(exact - base) >= 1


def is_rate_ambiguous(item: TrackItem, sequence_rate: Fraction | None) -> bool:
    """Return whether the in point has another place at the sequence's rate, and nothing decides between the two."""
    rate = item.rate
    stated, out = number(item.element.findtext("in")), number(item.element.findtext("out"))
    if rate is None or sequence_rate is None or rate == sequence_rate or not stated:
        return False
    if abs(stated / rate - stated / sequence_rate) * sequence_rate < Fraction(1, 2):
        return False
    ticks = number(item.element.findtext("pproTicksIn"))
    if ticks is not None and abs(ticks * rate / TICKS_PER_SECOND - stated) < 1:
        return False
    if out is None:
        return True
    record = Fraction(item.end - item.start) / sequence_rate
    fits_own = abs((out - stated) / rate - record) * sequence_rate <= 1
    fits_sequence = abs((out - stated) / sequence_rate - record) * sequence_rate <= 1
    return fits_sequence or not fits_own


def cut_of(transition: Element, start: int, end: int) -> int:
    """Return the frame of the edit point under a transition."""
    alignment = transition.findtext("alignment", "").strip()
    if alignment.startswith("end"):
        return end
    return start if alignment.startswith("start") else (start + end) // 2


def complete_file(file: Element, inherited: Fraction | None) -> None:
    """Give the timecode of a file the frame number that its label names; remove what cannot be read."""
    path = file.find("pathurl")
    if path is not None:
        path.text = (path.text or "").strip()
        if not path.text:
            file.remove(path)
    timecode = file.find("timecode")
    if timecode is None or number(timecode.findtext("frame")) is not None:
        return
    rate = rate_of(timecode, rate_of(file, inherited))
    label = timecode.findtext("string", "").strip()
    try:
        if rate is None:
            raise UsageError("no rate")
        dropped = timecode.findtext("displayformat", "").strip() == "DF" and label.count(":") == 3
        frame = parse_timecode(";".join(label.rsplit(":", 1)) if dropped else label, rate)
    except UsageError:
        file.remove(timecode)
    else:
        set_number(timecode, "frame", frame)


class Definitions:
    """The elements of a document that others refer to by their `id`: files and nested sequences.

    A reference may stand before its definition, and some programs give one id to different files: the last definition
    before a reference counts, else the first one after it.
    """

    def __init__(self, root: Element) -> None:
        """Find the definition of every reference in a document."""
        self._definition: dict[Element, Element] = {}
        self._met: dict[tuple[str, str], Element] = {}
        self._renamed: dict[Element, str] = {}
        for tag in ("file", "sequence"):
            self._resolve(root, tag)

    def _resolve(self, root: Element, tag: str) -> None:
        current: dict[str, Element] = {}
        waiting: dict[str, list[Element]] = {}
        for element in root.iter(tag):
            name = element.get("id")
            if name is None:
                continue
            if len(element):
                current[name] = element
                for reference in waiting.pop(name, ()):
                    self._definition[reference] = element
            elif name in current:
                self._definition[element] = current[name]
            else:
                waiting.setdefault(name, []).append(element)

    def settle(self, element: Element) -> Element:
        """Return the definition of an element, and let the adapter find the same one.

        The adapter takes the first element of an id that it meets for all others, even an empty one. Must be called in
        the order in which the adapter reads.
        """
        definition = self._definition.get(element, element)
        name = element.get("id")
        if name is None:
            return definition
        is_new = (element.tag, name) not in self._met
        first = self._met.setdefault((element.tag, name), definition)
        if first is not definition and not _is_alike(first, definition):
            is_new = definition not in self._renamed
            element.set("id", self._renamed.setdefault(definition, f"{name}#{len(self._renamed) + 2}"))
        if is_new and not len(element) and definition is not element:
            element.extend(list(definition))
        return definition


def _is_alike(one: Element, other: Element) -> bool:
    """Return whether two definitions of one id are of the same thing."""
    return one.tag != "file" or one.findtext("pathurl") == other.findtext("pathurl")


def track_children(track: Element) -> Iterator[Element]:
    """Yield the clips, generators and transitions of a track."""
    return (child for child in track if child.tag in ("clipitem", "generatoritem", "transitionitem"))


def placed(elements: Sequence[Element], index: int) -> TrackItem | None:
    """Return an item of a track with its position, None where it states none that can be read.

    A clip at a transition states -1: it begins or ends at the transition's edit point.
    """
    element = elements[index]
    start, end = number(element.findtext("start")), number(element.findtext("end"))
    if element.tag == "transitionitem":
        if start is None or end is None or not 0 <= start <= end:
            return None
        return TrackItem(element, round(start), round(end), cut_of(element, round(start), round(end)))
    start, end = _known(start, elements, index - 1), _known(end, elements, index + 1)
    first, last = number(element.findtext("in")), number(element.findtext("out"))
    length = last - first if first is not None and last is not None and last > first >= 0 else None
    if start is None and end is not None and length is not None:
        start = max(0, end - length)
    if end is None and start is not None and length is not None:
        end = start + length
    if start is None or end is None or end < start:
        return None
    return TrackItem(element, round(start), round(end), round(start))


def _known(time: Number | None, elements: Sequence[Element], neighbour: int) -> Number | None:
    """Return a time that is stated, else the edit point of the transition beside it."""
    if time is not None and time >= 0:
        return time
    if 0 <= neighbour < len(elements) and elements[neighbour].tag == "transitionitem":
        transition = placed(elements, neighbour)
        return transition.cut if transition is not None else None
    return None


def trim_to_cuts(items: Sequence[TrackItem], sequence_rate: Fraction | None) -> None:
    """End and begin clips at the edit point of a transition where they state its whole overlap."""
    for before, transition, after in zip(items, items[1:], items[2:], strict=False):
        if not transition.is_transition or before.is_transition or after.is_transition or before.end <= after.start:
            continue
        cut = transition.cut
        if before.start < cut < before.end <= transition.end:
            before.end = cut
        if transition.start <= after.start < cut < after.end:
            after.begin += own_frames(cut - after.start, after, sequence_rate)
            after.start = after.cut = cut


def own_frames(frames: int, item: TrackItem, sequence_rate: Fraction | None) -> Number:
    """Return a number of frames of the sequence as frames of the clip's own rate."""
    if item.rate is None or sequence_rate is None:
        return frames
    return frames * item.rate / sequence_rate
