"""Final Cut 7 XML (xmeml), as Premiere, Resolve and others read it: one audio clip item per channel of a stem."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import opentimelineio as otio

from stemline_otio.effects import effect_name, is_idle
from stemline_otio.export.sequence import Fade, Item, Sequence, SequenceTrack
from stemline_otio.format_metadata import FCP_KEY, fcp_facts
from stemline_otio.formats import FCP_XML, call_adapter
from stemline_otio.links import plain_path


class Leg(NamedTuple):
    """One channel of one stem clip, as the file must state it."""

    track: int
    name: str
    start: int
    end: int
    file_in: int
    file_out: int
    channel: int
    enabled: bool
    path: Path


def write(sequence: Sequence, spool: Path, target: Path) -> list[str]:
    """Write the sequence and read the file back; return every difference."""
    builder = _Builder(sequence)
    text = call_adapter(FCP_XML, target, lambda adapter: adapter.write_to_string(builder.timeline))
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.write_text(with_clip_links(text), encoding="utf-8", newline="\n")
    return _differences(sequence, builder, spool, target)


class _Builder:
    """Builds the timeline for the adapter, and lists what the file must then state."""

    def __init__(self, sequence: Sequence) -> None:
        self._notes = sequence.notes
        self._rate = float(sequence.rate)
        self._described: set[Path] = set()
        self.expected: list[Leg] = []
        self.crosses: list[tuple[int, int, int]] = []
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
        fades = self._fades(track)
        cursor = 0
        for item in track.items:
            if item.start > cursor:
                made.append(otio.schema.Gap(duration=self._time(item.start - cursor)))
            self._add_fade(made, fades.get(item.start))
            made.append(self._clip(item, channel, track))
            cursor = item.start + item.length
            self._add_fade(made, fades.get(cursor))
            self.expected.append(_leg(item, (fades.get(item.start), fades.get(cursor)), number, channel))
        self.crosses += [(number, fade.cut - fade.before, fade.cut + fade.after) for fade in fades.values()]
        if length > cursor:
            made.append(otio.schema.Gap(duration=self._time(length - cursor)))
        self.timeline.tracks.append(made)

    def _fades(self, track: SequenceTrack) -> dict[int, Fade]:
        """Return the fades that the format can state, by their cut: in the middle and at the two ends alone."""
        fades = {fade.cut: fade for fade in track.fades}
        starts = {item.start: item for item in track.items}
        ends = {item.start + item.length: item for item in track.items}
        for cut, fade in tuple(fades.items()):
            into, out_of = starts.get(cut), ends.get(cut)
            is_known = not (fade.before and fade.after) or abs(fade.before - fade.after) <= (fade.before < fade.after)
            room = into is None or into.file_start >= fade.before
            room = room and (out_of is None or out_of.file_start + out_of.length + fade.after <= out_of.file_frames)
            if not (is_known and room and (into or out_of) and fade.before + fade.after):
                del fades[cut]
                self._notes.append(f"The {fade.name or 'transition'} of {track.name} is a hard cut here.")
        return fades

    def _add_fade(self, made: otio.schema.Track, fade: Fade | None) -> None:
        if fade is not None and not (len(made) and isinstance(made[-1], otio.schema.Transition)):
            middle = "center" if fade.before and fade.after else "start" if fade.after else "end"
            facts = {"alignment": middle, "effect": _fade_effect(fade.name)}
            made.append(
                otio.schema.Transition(
                    fade.name, otio.schema.TransitionTypes.SMPTE_Dissolve, self._time(fade.before),
                    self._time(fade.after), {FCP_KEY: facts},
                )
            )  # fmt: skip

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


def _leg(item: Item, fades: tuple[Fade | None, Fade | None], track: int, channel: int) -> Leg:
    """Return what the file must state for one channel of a clip.

    At a transition the format states no time of a clip, and lets its media begin or end with the transition.
    """
    head, tail = fades
    start, end = item.start, item.start + item.length
    file_in, file_out = item.file_start, item.file_start + item.length
    if head is not None and head.after:
        start, file_in = -1, file_in - head.before
    if tail is not None and tail.before:
        end, file_out = -1, file_out + tail.after
    times = (start, end, file_in, file_out)
    return Leg(track, item.clip.name, *times, channel + 1, item.clip.enabled, item.path)


def _fade_effect(name: str) -> dict[str, object]:
    """Return one of the format's two cross fades of sound, chosen by the name of the original."""
    kind = "3dB" if re.search(r"\b3 ?dB|constant power", name, re.IGNORECASE) else "0dB"
    shown = "Cross Fade (+3dB)" if kind == "3dB" else "Cross Fade ( 0dB)"
    return {
        "name": shown,
        "effectid": f"KGAudioTransCrossFade{kind}",
        "effecttype": "transition",
        "mediatype": "audio",
    }


def _characteristics(item: Item) -> dict[str, object]:
    stream = item.stream
    return {
        "samplecharacteristics": {"depth": str(stream.bits or 24), "samplerate": str(stream.sample_rate)},
        "channelcount": str(stream.channels),
    }


def side_facts(channel: int, channels: int) -> dict[str, object]:
    """Return Premiere's own attributes for a track that is one side of several."""
    facts: dict[str, object] = {"@currentExplodedTrackIndex": str(channel), "@totalExplodedTrackCount": str(channels)}
    return {**facts, "@premiereTrackType": "Stereo"} if channels == 2 else facts


def _empty_track(track: SequenceTrack, channel: int, number: int) -> otio.schema.Track:
    facts: dict[str, object] = {"@MZ.TrackName": track.name, "enabled": _flag(track.enabled), "locked": "FALSE"}
    if track.channels == 2:
        facts |= side_facts(channel, 2)
    facts["outputchannelindex"] = str(channel + 1 if track.channels > 1 else number % 2 + 1)
    return otio.schema.Track(name=track.name, kind=otio.schema.TrackKind.Audio, metadata={FCP_KEY: facts})


def filter_of(effect: otio.schema.Effect) -> dict[str, object]:
    """Return an effect that the Final Cut adapter read, in the form that it writes."""
    return {"effect": {"name": effect.name, **dict(effect.metadata[FCP_KEY])}}


def _markers(item: Item, rate: float) -> Iterator[otio.schema.Marker]:
    """Yield the clip's markers, counted from the start of its file."""
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


def with_clip_links(text: str) -> str:
    """Return the document with `link` elements between the two sides of each clip, which the adapter does not write."""
    if "totalExplodedTrackCount" not in text:
        return text
    root = ElementTree.fromstring(text)  # noqa: S314 - Stemline wrote the text
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


def _differences(sequence: Sequence, builder: _Builder, spool: Path, target: Path) -> list[str]:
    """Compare the file with what it must state, by another parser; check that the adapter reads it."""
    root = ElementTree.parse(spool).getroot()  # noqa: S314 - Stemline wrote the file
    expected, found = builder.expected, list(_legs(root))
    differences = [
        f"{want.name} is {got} and not {want}" for want, got in zip(expected, found, strict=False) if want != got
    ]
    if len(found) != len(expected):
        differences.append(f"it has {len(found)} clips and not {len(expected)}")
    if sorted(builder.crosses) != sorted(_crosses(root)):
        differences.append("its transitions are not in their places")
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
        file.get("id"): Path(plain_path(file.findtext("pathurl", "")))
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
                paths.get(file.get("id") if file is not None else None, Path()),
            )  # fmt: skip


def _crosses(root: ElementTree.Element) -> Iterator[tuple[int, int, int]]:
    for number, track in enumerate(root.iterfind(".//sequence/media/audio/track")):
        for item in track.iterfind("transitionitem"):
            yield number, int(item.findtext("start", "-1")), int(item.findtext("end", "-1"))
