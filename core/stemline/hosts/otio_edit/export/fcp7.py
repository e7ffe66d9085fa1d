"""Final Cut 7 XML (xmeml), as Premiere, Resolve and others read it: one audio clip item per channel of a stem."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree

import opentimelineio as otio

from stemline.hosts.otio_edit.effects import effect_name, is_idle
from stemline.hosts.otio_edit.export.sequence import Item, Sequence, SequenceTrack
from stemline.hosts.otio_edit.facts import FCP_KEY, fcp_facts
from stemline.hosts.otio_edit.formats import FCP_XML, call_adapter


class Leg(NamedTuple):
    """One channel of one stem clip as the file must say it."""

    track: int
    name: str
    start: int
    end: int
    file_in: int
    file_out: int
    channel: int
    enabled: bool
    path: str


def write(sequence: Sequence, spool: Path, target: Path) -> list[str]:
    """Writes and reads back; gives every difference."""
    builder = _Builder(sequence)
    text = call_adapter(FCP_XML, target, lambda adapter: adapter.write_to_string(builder.timeline))
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.write_text(_linked(text), encoding="utf-8", newline="\n")
    return _differences(sequence, builder.expected, spool, target)


class _Builder:
    """The timeline for the adapter, and what the file must then say."""

    def __init__(self, sequence: Sequence) -> None:
        self._notes = sequence.notes
        self._rate = float(sequence.rate)
        self._described: set[Path] = set()
        self.expected: list[Leg] = []
        self.timeline = otio.schema.Timeline(sequence.name, global_start_time=self._time(sequence.start))
        if sequence.drop_frame:
            self.timeline.metadata[FCP_KEY] = {"timecode": {"displayformat": "DF"}}
        for track in sequence.tracks:
            for channel in range(track.channels):
                self._add_track(track, channel, sequence.length)

    def _time(self, frames: int) -> otio.opentime.RationalTime:
        return otio.opentime.RationalTime(frames, self._rate)

    def _add_track(self, track: SequenceTrack, channel: int, length: int) -> None:
        number = len(self.timeline.tracks)
        made = _empty_track(track, channel, number)
        cursor = 0
        for item in track.items:
            if item.start > cursor:
                made.append(otio.schema.Gap(duration=self._time(item.start - cursor)))
            made.append(self._clip(item, channel, track))
            cursor = item.start + item.length
            file_out = item.file_start + item.length
            times = (item.start, cursor, item.file_start, file_out)
            self.expected.append(Leg(number, item.clip.name, *times, channel + 1, item.clip.enabled, str(item.path)))
        if length > cursor:
            made.append(otio.schema.Gap(duration=self._time(length - cursor)))
        self.timeline.tracks.append(made)

    def _clip(self, item: Item, channel: int, track: SequenceTrack) -> otio.schema.Clip:
        file_frames = max(item.file_frames, item.file_start + item.length)
        reference = otio.schema.ExternalReference(
            item.path.as_uri(),
            otio.opentime.TimeRange(self._time(0), self._time(file_frames)),
        )
        reference.name = item.path.name
        if item.path not in self._described:  # the adapter writes a file once, and refers to it after
            self._described.add(item.path)
            reference.metadata[FCP_KEY] = {"media": {"audio": _characteristics(item)}}
        clip = otio.schema.Clip(
            name=item.clip.name,
            media_reference=reference,
            source_range=otio.opentime.TimeRange(self._time(item.file_start), self._time(item.length)),
            metadata={FCP_KEY: self._facts(item, channel, track)},
        )
        clip.markers.extend(_markers(item, self._rate))
        return clip

    def _facts(self, item: Item, channel: int, track: SequenceTrack) -> dict[str, object]:
        facts: dict[str, object] = {
            "@id": f"clipitem-{len(self.expected) + 1}",
            "enabled": _flag(item.clip.enabled),
            "sourcetrack": {"mediatype": "audio", "trackindex": str(channel + 1)},
            "comments": {"mastercomment1": item.exact},
        }
        if track.channels == 2:
            facts["@premiereChannelType"] = "stereo"
        if len(item.clip.effects):
            facts["filter"] = [filter_of(effect) for effect in item.clip.effects if FCP_KEY in effect.metadata]
            left = [e for e in item.clip.effects if FCP_KEY not in e.metadata and not is_idle(e)]
            self._notes += [f"The effect {effect_name(e)} of {item.clip.name} is only in the .otio." for e in left]
        return facts


def _characteristics(item: Item) -> dict[str, object]:
    stream = item.stream
    return {
        "samplecharacteristics": {"depth": str(stream.bits or 24), "samplerate": str(stream.sample_rate)},
        "channelcount": str(stream.channels),
    }


def _empty_track(track: SequenceTrack, channel: int, number: int) -> otio.schema.Track:
    facts: dict[str, object] = {"@MZ.TrackName": track.name, "enabled": _flag(track.enabled), "locked": "FALSE"}
    if track.channels == 2:  # Premiere's own way to say that two tracks are the two sides of one
        facts |= {
            "@premiereTrackType": "Stereo",
            "@currentExplodedTrackIndex": str(channel),
            "@totalExplodedTrackCount": "2",
        }
    facts["outputchannelindex"] = str(channel + 1 if track.channels > 1 else number % 2 + 1)
    return otio.schema.Track(name=track.name, kind=otio.schema.TrackKind.Audio, metadata={FCP_KEY: facts})


def filter_of(effect: otio.schema.Effect) -> dict[str, object]:
    """An effect as the Final Cut adapter read it, in the form in which it writes."""
    return {"effect": {"name": effect.name, **dict(effect.metadata[FCP_KEY])}}


def _markers(item: Item, rate: float) -> Iterator[otio.schema.Marker]:
    """The clip's markers, counted from the start of its file."""
    for marker in item.clip.markers:
        moved = marker.marked_range.start_time - item.clip.media_reference.available_range.start_time
        times = (moved, marker.marked_range.duration)
        yield otio.schema.Marker(
            name=marker.name,
            marked_range=otio.opentime.TimeRange(
                *(otio.opentime.RationalTime(round(time.value_rescaled_to(rate)), rate) for time in times)
            ),
            metadata={FCP_KEY: dict(fcp_facts(marker))} if fcp_facts(marker) else None,
        )


def _flag(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _linked(text: str) -> str:
    """The document with `link` elements between the channels of each clip, which the adapter does not write."""
    if "totalExplodedTrackCount" not in text:
        return text
    root = ElementTree.fromstring(text)  # noqa: S314 - the text is our own, from the line before
    groups: dict[tuple[str, ...], list[tuple[ElementTree.Element, int, int]]] = defaultdict(list)
    for track_number, track in enumerate(root.iterfind(".//sequence/media/audio/track"), 1):
        if track.get("totalExplodedTrackCount") == "2":
            for number, item in enumerate(track.iterfind("clipitem"), 1):
                pair = (track_number - int(track.get("currentExplodedTrackIndex", "0")), number)
                groups[tuple(map(str, pair))].append((item, track_number, number))
    for members in groups.values():
        for item, _, _ in members:
            for other, track_number, number in members:
                link = ElementTree.SubElement(item, "link")
                for tag, value in (
                    ("linkclipref", other.get("id", "")), ("mediatype", "audio"), ("trackindex", str(track_number)),
                    ("clipindex", str(number)), ("groupindex", "1"),
                ):  # fmt: skip
                    ElementTree.SubElement(link, tag).text = value
    return '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _differences(sequence: Sequence, expected: list[Leg], spool: Path, target: Path) -> list[str]:
    """Against the elements themselves, by another parser than the adapter's; and whether the adapter reads them."""
    root = ElementTree.parse(spool).getroot()  # noqa: S314 - our own file
    found = list(_legs(root))
    differences = [
        f"{want.name} is {got} and not {want}" for want, got in zip(expected, found, strict=False) if want != got
    ]
    if len(found) != len(expected):
        differences.append(f"it has {len(found)} clips and not {len(expected)}")
    ids = [item.get("id") for item in root.iterfind(".//clipitem")]
    if len(set(ids)) != len(ids) or any(len(item) == 0 for item in root.iterfind(".//clipitem")):
        differences.append("its clips have no ids of their own")
    again = call_adapter(FCP_XML, target, lambda adapter: adapter.read_from_file(str(spool)))
    start = again.global_start_time
    if start is None or round(start.value) != sequence.start:
        differences.append(f"it starts at {start} and not at frame {sequence.start}")
    if root.findtext(".//sequence/duration") != str(sequence.length):
        differences.append(f"it is {root.findtext('.//sequence/duration')} frames long and not {sequence.length}")
    return differences


def _legs(root: ElementTree.Element) -> Iterator[Leg]:
    paths = {
        file.get("id"): unquote(urlparse(file.findtext("pathurl", "")).path)
        for file in root.iter("file")
        if file.find("pathurl") is not None
    }
    for number, track in enumerate(root.iterfind(".//sequence/media/audio/track")):
        for item in track.iterfind("clipitem"):
            times = [int(item.findtext(tag, "-1")) for tag in ("start", "end", "in", "out")]
            file = item.find("file")
            yield Leg(
                number,
                item.findtext("name", ""),
                times[0], times[1], times[2], times[3],
                int(item.findtext("sourcetrack/trackindex", "0")),
                item.findtext("enabled") == "TRUE",
                paths.get(file.get("id") if file is not None else None, ""),
            )  # fmt: skip
