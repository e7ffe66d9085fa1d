"""Final Cut 7 XML (xmeml), checked and made ready for the OpenTimelineIO adapter.

The adapter pushes clips that overlap, come out of order or follow a fade to another time, and takes the first of two
clips of one id for both. Here every item gets its position; clips that overlap go to tracks of their own.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement
from xml.parsers import expat

import opentimelineio as otio

from stemline.errors import Code, EditError
from stemline.plan import pack_lanes
from stemline_otio.description import FCPXML_ADVICE
from stemline_otio.format_metadata import FCP_KEY
from stemline_otio.messages import list_names
from stemline_otio.xmeml_items import (
    Definitions,
    TrackItem,
    complete_file,
    in_point,
    is_rate_ambiguous,
    number,
    own_frames,
    placed,
    rate_of,
    set_number,
    track_children,
    trim_to_cuts,
)


class _Root(Exception):
    """Raised at the first element of a document, to stop the parser."""


def read_xmeml(path: Path) -> tuple[ElementTree.Element, tuple[str, ...]]:
    """Return the document ready for the adapter, and what had to be assumed.

    Raises EditError for other documents, and for declared entities, which can fill any memory or name other files.
    """
    data = path.read_bytes()
    _check_root(data, path)
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - no document with entities gets here
        settler = TrackSettler(root)
        settler.settle()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _no_xml(path, error) from error
    except RecursionError as error:
        raise EditError(f"{path.name} is nested deeper than any edit.", code=Code.EDIT_CYCLIC) from error
    return root, tuple(settler.notes())


def _check_root(data: bytes, path: Path) -> None:
    """Parse no further than the root element, and refuse other documents."""
    parser = expat.ParserCreate()
    root = ""

    def start(tag: str, attributes: object) -> None:
        nonlocal root
        root = tag
        raise _Root

    def entity(*declaration: object) -> None:
        raise EditError(
            f"{path.name} declares XML entities, which no editor writes: it is not read.", advice="Export it again."
        )

    parser.StartElementHandler = start
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(data, True)
    except _Root:
        pass
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _no_xml(path, error) from error
    if root == "fcpxml":
        raise EditError(
            f"{path.name} is FCPXML of Final Cut Pro, which cannot be read.",
            code=Code.EDIT_FORMAT_UNKNOWN,
            advice=FCPXML_ADVICE,
        )
    if root != "xmeml":
        raise EditError(
            f"{path.name} is XML, but not Final Cut 7 XML: it is a <{root[:40]}> document.",
            code=Code.EDIT_FORMAT_UNKNOWN,
            advice="Export the sequence as .otio or as Final Cut 7 XML.",
        )


def _no_xml(path: Path, error: Exception) -> EditError:
    return EditError(f"{path.name} is not readable XML ({error}).", advice="Export it again.")


_POSITION, _RATE = "stemlineAt", "stemlineRate"
"""Attributes that carry the record position of an item, and the rate of its track, through the adapter."""

_SENTENCES = {
    "subclip": "counted from where the subclip begins",
    "ticks": "Premiere states an exact in point that differs from `in` by a frame or more; it was used",
    "rate": "the in point counts frames of another rate than the sequence's, and programs disagree on which of the two "
    "is meant; it was read at the clip's own rate. Check one of them by ear",
    "overlapping": "on top of another clip of the track; on a track of its own",
    "unplaced": "left out, because its record position cannot be read",
    "one side": "only on the second side of a stereo track; on a track of its own",
}


class TrackSettler:
    """Makes the sequences of a document ready for the adapter. `notes` returns what had to be assumed."""

    def __init__(self, root: Element) -> None:
        """Collect the definitions of a document."""
        self._root = root
        self._definitions = Definitions(root)
        self._clip_ids: set[str] = set()
        self._walked: set[Element] = set()
        self._named: dict[str, list[str]] = defaultdict(list)

    def settle(self) -> None:
        """Give every track its items in order of time, then resolve what they refer to."""
        sequences = list(self._root.iter("sequence"))
        first = next((rate for s in sequences if (rate := rate_of(s, None)) is not None), None)
        for sequence in sequences:
            _drop_unreadable(sequence)
            for kind in _kinds(sequence):
                _Tracks(kind, rate_of(sequence, first), self._named, self._clip_ids).settle()
        for sequence in [*self._root.iterfind("./sequence"), *self._root.iterfind(".//children/sequence")]:
            self._walk(sequence, first)

    def notes(self) -> list[str]:
        """Return what had to be assumed, a sentence each."""
        return [f"{list_names(names)}: {_SENTENCES[what]}." for what, names in self._named.items()]

    def _walk(self, sequence: Element, inherited: Fraction | None) -> None:
        """Visit the items in the order in which the adapter reads them."""
        definition = self._definitions.settle(sequence)
        if definition in self._walked:
            return
        self._walked.add(definition)
        rate = rate_of(definition, inherited)
        for kind in _kinds(definition):
            for track in kind.iterfind("track"):
                if kind.tag == "video" or _is_primary(track):
                    for element in track_children(track):
                        self._refer(element, rate_of(element, rate_of(track, rate)))

    def _refer(self, element: Element, rate: Fraction | None) -> None:
        file, nest = element.find("file"), element.find("sequence")
        if nest is not None:
            self._walk(nest, rate)
            _open_nest(nest)
        elif file is not None:
            definition = self._definitions.settle(file)
            complete_file(file, rate)
            if not element.findtext("name", "").strip():
                _set_text(element, "name", definition.findtext("name", ""))
        elif element.tag == "clipitem":
            SubElement(element, "file")  # over a clip that names neither file nor sequence the adapter refuses all


@dataclass(slots=True)
class _Tracks:
    """The audio or video tracks of one sequence."""

    kind: Element
    rate: Fraction | None
    named: dict[str, list[str]]
    clip_ids: set[str]
    more: list[Element] = field(init=False, default_factory=list)

    def settle(self) -> None:
        """Put the items of every track in order of time, and what overlaps on further tracks."""
        label = 0
        primary: list[TrackItem] = []
        for track in self.kind.findall("track"):
            rate = rate_of(track, self.rate)
            if self.kind.tag == "audio" and not _is_primary(track):
                self._settle_side(track, rate, primary, f"A{label}")
                continue
            label += 1
            primary = self._items(list(track_children(track)), rate)
            lanes = _lanes(primary)
            for child in list(track_children(track)):
                track.remove(child)
            name = track.get("MZ.TrackName") or f"{self.kind.tag[0].upper()}{label}"
            for number_, lane in enumerate(lanes[1:], 2):
                self.more.append(_like(track, lane, f"{name} ({number_})", rate))
                self.named["overlapping"] += [item.name for item in lane if not item.is_transition]
            _fill(track, lanes[0] if lanes else [], rate)
        self.kind.extend(self.more)

    def _settle_side(self, track: Element, rate: Fraction | None, primary: list[TrackItem], label: str) -> None:
        """Move clips that only a further side of a stereo track has to a track of their own.

        The adapter reads the first side alone.
        """
        elements = list(track_children(track))
        found = [item for i in range(len(elements)) if (item := placed(elements, i)) and not item.is_transition]
        beside = _Extents(primary)
        missing = [item.element for item in found if not beside.meet(item)]
        if not missing:
            return
        items = self._items(missing, rate)
        self.named["one side"] += [item.name for item in items]
        name = f"{track.get('MZ.TrackName') or label} (side 2)"
        self.more += [_like(track, lane, name, rate) for lane in _lanes(items)]

    def _items(self, elements: list[Element], sequence_rate: Fraction | None) -> list[TrackItem]:
        """Return the items of a track with their exact positions and in points, which are written to the elements."""
        items = []
        for index, element in enumerate(elements):
            item = placed(elements, index)
            if item is None:
                if element.tag != "transitionitem":
                    self.named["unplaced"].append(element.findtext("name", "").strip() or "a clip")
                continue
            if not item.is_transition:
                self._clip(item, elements[index - 1] if index else None, sequence_rate)
            items.append(item)
        trim_to_cuts(items, sequence_rate)
        for item in items:
            item.element.set(_POSITION, str(item.cut))
            if item.is_transition:
                _complete_transition(item.element)
            else:
                set_number(item.element, "in", item.begin)
                set_number(item.element, "start", item.start)
                set_number(item.element, "end", item.end)
        return items

    def _clip(self, item: TrackItem, before: Element | None, sequence_rate: Fraction | None) -> None:
        element = item.element
        item.rate = rate_of(element, sequence_rate)
        _drop_unreadable(element)
        self._unique_id(element)
        if is_rate_ambiguous(item, sequence_rate):
            self.named["rate"].append(item.name)
        item.begin, is_subclip, differs = in_point(element, item.rate)
        subclip = element.find("subclipinfo")
        if is_subclip and subclip is not None:
            self.named["subclip"].append(item.name)
            element.remove(subclip)
        if differs:
            self.named["ticks"].append(item.name)
        if number(element.findtext("start")) == -1 and before is not None and before.tag == "transitionitem":
            hidden = item.start - round(number(before.findtext("start")) or item.start)
            item.begin += own_frames(hidden, item, sequence_rate)

    def _unique_id(self, element: Element) -> None:
        name = element.get("id")
        if name is not None:
            while name in self.clip_ids:
                name += "#"
            element.set("id", name)
            self.clip_ids.add(name)


def restore_positions(timeline: otio.schema.Timeline) -> None:
    """Put every item of a timeline that the adapter made to the position that `TrackSettler` found."""
    for track in timeline.find_children(descended_from_type=otio.schema.Track):
        rate = _taken(track, _RATE)
        children = [child for child in track if not isinstance(child, otio.schema.Gap)]
        positions = [_taken(child, _POSITION) for child in children]
        if rate is None:
            continue
        del track[:]
        cursor = 0
        for child, position in zip(children, positions, strict=True):
            at = int(position or cursor)
            if at > cursor:
                gap = otio.opentime.TimeRange(
                    otio.opentime.RationalTime(0, float(rate)), otio.opentime.RationalTime(at - cursor, float(rate))
                )
                track.append(otio.schema.Gap(source_range=gap))
                cursor = at
            track.append(child)
            if not isinstance(child, otio.schema.Transition):
                cursor = at + round(child.source_range.duration.rescaled_to(float(rate)).value)


def _taken(item: otio.core.Composable, name: str) -> str | None:
    """Return an attribute that `TrackSettler` set, and remove it from the metadata."""
    facts = item.metadata.get(FCP_KEY)
    if facts is None or (value := facts.get(f"@{name}")) is None:
        return None
    del facts[f"@{name}"]
    if not len(facts):
        del item.metadata[FCP_KEY]
    return str(value)


def _kinds(sequence: Element) -> Iterator[Element]:
    media = sequence.find("media")
    return (kind for kind in (media if media is not None else sequence) if kind.tag in ("audio", "video"))


def _is_primary(track: Element) -> bool:
    """Return whether the adapter reads an audio track: the first of those that hold the sides of one."""
    return track.get("currentExplodedTrackIndex", "0") == "0" or track.get("totalExplodedTrackCount", "1") == "1"


class _Extents:
    """The ranges that the clips of each file cover on a track."""

    def __init__(self, items: list[TrackItem]) -> None:
        self._by_content: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for item in sorted((item for item in items if not item.is_transition), key=lambda item: item.start):
            self._by_content[_content_id(item.element)].append((item.start, item.end))

    def meet(self, item: TrackItem) -> bool:
        """Return whether a clip of the same file overlaps `item`."""
        extents = self._by_content.get(_content_id(item.element), [])
        following = bisect_left(extents, (item.end, 0))
        return any(end > item.start for _, end in extents[max(0, following - 2) : following])


def _content_id(element: Element) -> str:
    content = element.find("file")
    content = element.find("sequence") if content is None else content
    return content.get("id", "") if content is not None else ""


def _lanes(items: list[TrackItem]) -> list[list[TrackItem]]:
    """Return the items in order of time, on lanes on which none overlaps; a transition goes to the clip at its cut."""
    clips = [item for item in items if not item.is_transition]
    lanes = pack_lanes(clips, lambda item: (item.start, item.end))
    cuts = [{cut for item in lane for cut in (item.start, item.end)} for lane in lanes]
    for transition in (item for item in items if item.is_transition):
        lane = next((lane for lane, own in zip(lanes, cuts, strict=True) if transition.cut in own), None)
        if lane is not None:
            lane.append(transition)
    return [sorted(lane, key=lambda item: (item.cut, not item.is_transition)) for lane in lanes]


def _like(track: Element, items: list[TrackItem], name: str, rate: Fraction | None) -> Element:
    """Return another track with the settings of `track`."""
    made = Element("track", {**track.attrib, "MZ.TrackName": name, "currentExplodedTrackIndex": "0"})
    items_of_track = {"clipitem", "generatoritem", "transitionitem"}
    made.extend(copy.deepcopy([child for child in track if child.tag not in items_of_track]))
    _fill(made, items, rate)
    return made


def _fill(track: Element, items: list[TrackItem], rate: Fraction | None) -> None:
    track[:0] = [item.element for item in items]
    if rate is not None:
        track.set(_RATE, repr(float(rate)))


def _complete_transition(transition: Element) -> None:
    """Add what the adapter cannot do without."""
    if not transition.findtext("alignment", "").strip():
        _set_text(transition, "alignment", "center")
    if transition.find("effect") is None:
        SubElement(transition, "effect")


def _drop_unreadable(element: Element) -> None:
    """Remove markers and filters that the adapter would refuse all of the edit for."""
    for marker in element.findall("marker"):
        if number(marker.findtext("in")) is None or number(marker.findtext("out")) is None:
            element.remove(marker)
    for effect in element.findall("filter"):
        if effect.find("effect") is None:
            element.remove(effect)


def _open_nest(nest: Element) -> None:
    """Move the tracks of a nested sequence right under it, where the adapter looks for them."""
    media = nest.find("media")
    if media is not None:
        nest.extend(list(media))
        nest.remove(media)


def _set_text(parent: Element, tag: str, text: str) -> None:
    child = parent.find(tag)
    if child is None:
        child = SubElement(parent, tag)
    child.text = text
