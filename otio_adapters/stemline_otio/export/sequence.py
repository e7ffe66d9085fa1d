"""The stem tracks of a written edit on one frame grid, for formats that count whole frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio

from stemline.errors import MediaError, UsageError
from stemline.media import AudioStream, probe
from stemline_otio.exact_time import (
    TICKS_PER_SECOND,
    Ticks,
    frame_rate_of,
    frame_ticks,
    is_rate,
    nearest_frame,
    span_of,
    ticks_of,
)
from stemline_otio.format_metadata import is_drop_frame
from stemline_otio.links import LinkRules, MediaFinder
from stemline_otio.walk import speed_of

_STEMLINE = "stemline"


@dataclass(frozen=True, slots=True)
class Item:
    """One stem clip in whole frames: `start` and `length` on the timeline, `file_start` in its file.

    `clip` is the clip in the written edit, `file_frames` and `stream` describe its file, `off_by` is how far the frame
    grid moves it in its file.
    """

    clip: otio.schema.Clip
    path: Path
    start: int
    length: int
    file_start: int
    file_frames: int
    stream: AudioStream
    off_by: Ticks

    @property
    def stemline(self) -> Mapping[str, Any]:
        """Return the metadata of Stemline on the clip."""
        own: Mapping[str, Any] = self.clip.metadata[_STEMLINE]
        return own

    @property
    def source(self) -> Mapping[str, Any]:
        """Return the range of the media that its file holds."""
        source: Mapping[str, Any] = self.stemline.get("source", {})
        return source

    @property
    def exact(self) -> str:
        """Return where its sound comes from, to the sample, as text for a comment in the format."""
        source = self.source
        return (
            f"stemline: samples {source.get('start_sample')} to {source.get('end_sample')} "
            f"of {Path(str(source.get('media', ''))).name} at {source.get('sample_rate')} Hz"
        )


@dataclass(frozen=True, slots=True)
class Fade:
    """A transition at a cut, in frames: its position, and how far it reaches to each side."""

    cut: int
    before: int
    after: int
    name: str


@dataclass(slots=True)
class SequenceTrack:
    """A stem track. `channels` counts those of its files; a track of mono files is channel `side` of `sides`."""

    name: str
    enabled: bool
    channels: int
    items: list[Item] = field(default_factory=list)
    fades: list[Fade] = field(default_factory=list)
    side: int = 0
    sides: int = 1


def note_hard_cuts(tracks: Iterable[SequenceTrack], notes: list[str]) -> None:
    """Note the tracks whose transitions a format cannot hold."""
    names = [track.name for track in tracks if track.fades]
    if names:
        notes.append(f"The transitions of {', '.join(names)} are only in the .otio: the clips are cut hard.")


@dataclass(slots=True)
class Sequence:
    """The stem tracks on the frame grid of the edit.

    `start` and `length` are those of the edit, in frames of `rate`; `notes` list what is not carried over.
    """

    name: str
    rate: Fraction
    start: int
    length: int
    drop_frame: bool
    tracks: list[SequenceTrack] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Files:
    """Finds and probes each stem file once."""

    def __init__(self, folder: Path) -> None:
        self._finder = MediaFinder(LinkRules(folder))
        self._known: dict[str, tuple[Path, AudioStream]] = {}

    def find(self, link: str) -> tuple[Path, AudioStream]:
        """Return a stem file and its stream. Raises MediaError where it is missing."""
        if link not in self._known:
            path = Path(self._finder.find(link))
            self._known[link] = path, probe(path).streams[0]
        return self._known[link]


def sequence_of(
    timeline: otio.schema.Timeline, folder: Path, names: Collection[str], rate: Fraction | None
) -> Sequence:
    """Return the tracks called `names` on a frame grid. Relative links count from `folder`.

    Raises:
        UsageError: Neither the edit nor `rate` states a frame rate.
    """
    rate = rate or frame_rate_of_edit(timeline)
    frame = frame_ticks(float(rate))
    begin = timeline.global_start_time
    whole: Ticks = 0
    for track in timeline.tracks:
        length = _length(track)
        whole = length if length > whole else whole
    sequence = Sequence(
        name=f"{timeline.name or 'edit'} stems",
        rate=rate,
        start=_frames(ticks_of(begin), frame) if begin is not None else 0,
        length=int(-(-whole // frame)),
        drop_frame=is_drop_frame(timeline),
    )
    files = _Files(folder)
    for track in timeline.tracks:
        if track.name in names and _STEMLINE in track.metadata:
            sequence.tracks.append(_track(track, files, frame, sequence.notes))
    return sequence


def _track(track: otio.schema.Track, files: _Files, frame: Ticks, notes: list[str]) -> SequenceTrack:
    made = SequenceTrack(track.name, track.enabled, 1, fades=list(_fades(track, frame)))
    worst: Ticks = 0
    for clip, at, length in _clips(track):
        if speed_of(clip) != 1:
            notes.append(f"{clip.name} changes its speed, so its stem is only in the .otio.")
            continue
        try:
            file = files.find(clip.media_reference.target_url)
        except MediaError as error:
            notes.append(f"{clip.name} is left out: {error.message}")
            continue
        item = _item(clip, file, (at, at + length), frame)
        off_by: Ticks = item.off_by if item.off_by >= 0 else -item.off_by
        worst = off_by if off_by > worst else worst
        made.channels = max(made.channels, item.stream.channels)
        if item.length > 0:
            made.items.append(item)
    if worst:
        notes.append(
            f"Stems of {track.name} lie up to {float(worst / TICKS_PER_SECOND) * 1000:.2f} ms off: their media is "
            "counted at another frame rate. The .otio is exact."
        )
    return made


def _item(clip: otio.schema.Clip, file: tuple[Path, AudioStream], record: tuple[Ticks, Ticks], frame: Ticks) -> Item:
    available = span_of(clip.media_reference.available_range)
    start, end = (_frames(time, frame) for time in record)
    inside = ticks_of(clip.source_range.start_time) - available.start
    file_start = max(0, _frames(inside, frame))
    drift = (file_start * frame - inside) - (start * frame - record[0])
    file_frames = int(available.duration // frame)
    return Item(clip, file[0], start, end - start, file_start, file_frames, file[1], drift)


def _clips(track: otio.schema.Track) -> Iterator[tuple[otio.schema.Clip, Ticks, Ticks]]:
    cursor: Ticks = 0
    for item in track:
        if isinstance(item, otio.schema.Transition):
            continue
        length = span_of(item.trimmed_range()).duration
        if isinstance(item, otio.schema.Clip):
            yield item, cursor, length
        cursor += length


def _fades(track: otio.schema.Track, frame: Ticks) -> Iterator[Fade]:
    cursor: Ticks = 0
    for item in track:
        if isinstance(item, otio.schema.Transition):
            before, after = (_frames(ticks_of(time), frame) for time in (item.in_offset, item.out_offset))
            yield Fade(_frames(cursor, frame), before, after, item.name)
        else:
            cursor += span_of(item.trimmed_range()).duration


def _length(track: otio.core.Composable) -> Ticks:
    return span_of(track.trimmed_range()).duration if len(track) else 0


def _frames(time: Ticks, frame: Ticks) -> int:
    return int(nearest_frame(time, frame) // frame)


def frame_rate_of_edit(timeline: otio.schema.Timeline) -> Fraction:
    """Return the edit's own frame rate: that of its start time, else of the first clip that counts frames.

    Raises UsageError for an edit that states none.
    """
    rates = [timeline.global_start_time.rate] if timeline.global_start_time is not None else []
    rates += [clip.source_range.duration.rate for clip in timeline.find_clips() if clip.source_range is not None]
    found = next((exact for rate in rates if is_rate(rate) and (exact := frame_rate_of(rate)) is not None), None)
    if found is None:
        raise UsageError(
            "The edit does not state its frame rate, which --to needs.", advice="Give --rate, for example --rate 25."
        )
    return found
