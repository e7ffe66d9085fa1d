"""An OTIO timeline as a host: clips are read from it, and a new timeline with stem tracks is written beside it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio

from stemline._version import __version__
from stemline.clips import METADATA_VERSION, StemTrack
from stemline.errors import Code, EditError, HostError, OutputError
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, TimelineMarker, WriteOptions, Written
from stemline.timebase import round_half_up, snap_rate
from stemline_otio.dialect import (
    Dialect,
    relink_originals,
    shape_for_resolve,
    shape_original_for_resolve,
)
from stemline_otio.document import refuse_endless_nesting, save_timeline
from stemline_otio.exact_time import is_rate, rational_time, ticks_of, to_seconds
from stemline_otio.format_metadata import is_drop_frame
from stemline_otio.formats import ReadOptions, read_edit
from stemline_otio.kdenlive import playable_tracks, shape_for_kdenlive, tracks_left_out
from stemline_otio.links import LinkRules, MediaFinder
from stemline_otio.messages import list_names
from stemline_otio.reading import STEMLINE, Placed, Reading, read_timeline_clips, source_tracks
from stemline_otio.sources import SoundFinder
from stemline_otio.writing import TrackBuilder, is_placed_right, otio_metadata

_DEFAULT_RATE = 24.0


@dataclass(frozen=True, slots=True)
class OtioTarget:
    """Where the result goes and which program imports it.

    With `checkerboard` neighbours never share a stem track. `report` names the report beside the result, if there is
    one.
    """

    path: Path
    dialect: Dialect = Dialect.GENERIC
    checkerboard: bool = False
    report: str = ""


class OtioEdit:
    """A timeline as a host (`stemline.hosts.Host`). The timeline itself stays as it is.

    For a retimed clip `source_range` is the media that it consumes (its record duration times its speed);
    `record_range` is what it fills on the timeline. For a clip at a transition both include the part that shows beyond
    the cut.
    """

    def __init__(
        self, timeline: otio.schema.Timeline, links: LinkRules, target: OtioTarget, notes: Sequence[str] = ()
    ) -> None:
        """Hold a timeline. Raises EditError for one that nests without end. `notes` are those of its reading."""
        refuse_endless_nesting(timeline)
        self._timeline = timeline
        self._links = links
        self._target = target
        self._sounds = SoundFinder(MediaFinder(links))
        self._placed: Mapping[str, Placed] | None = None
        self._notes = tuple(notes)

    @property
    def capabilities(self) -> HostCapabilities:
        """Return what this host can do."""
        return HostCapabilities("otio", __version__, disables_clips=True, carries_metadata=True)

    @property
    def timeline(self) -> otio.schema.Timeline:
        """Return the timeline as it was read."""
        return self._timeline

    def read_clips(self, selection: Selection) -> ReadClips:
        """Return the clips of the selected tracks. Raises UsageError for a track that does not exist, and EditError."""
        reading = self._read(selection)
        reading.notes[:0] = [*self._notes, *self._sounds.notes()]
        drop_frame = is_drop_frame(self._timeline)
        return dataclasses.replace(reading.public(), timeline_start=self._start(), drop_frame=drop_frame)

    def _start(self) -> Fraction:
        start = self._timeline.global_start_time
        try:
            return to_seconds(ticks_of(start)) if start is not None else Fraction(0)
        except EditError:  # no clip depends on it
            return Fraction(0)

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Write a copy of the timeline with stem tracks, and read it back.

        Raises:
            OutputError: The file cannot be written, or does not read back as written.
            HostError: A stem names a clip that the edit does not have.
        """
        if self._placed is None:
            self._read(Selection(include_disabled=True))
        placed = self._placed or {}
        try:
            result: otio.schema.Timeline = copy.deepcopy(self._timeline)
        except ValueError as error:
            raise EditError("The edit's metadata holds the edit itself.", code=Code.EDIT_CYCLIC) from error
        folder = self._target.path.absolute().parent
        sources = {track.name: self._timeline.tracks[track.index] for track in source_tracks(self._timeline)}
        stack_range = self._timeline.tracks.source_range
        builder = TrackBuilder(
            placed=placed,
            folder=folder,
            dialect=self._target.dialect,
            zero=ticks_of(stack_range.start_time) if stack_range is not None else 0,
            rate=self._gap_rate(),
            source_tracks=sources,
            checkerboard=self._target.checkerboard,
        )
        built = builder.tracks(playable_tracks(tracks, self._target.dialect))
        notes = list(builder.notes) + _disable(result, placed, options.disable_clips)
        if self._target.dialect.counts_from_zero:
            originals = {known.use.path: (_at(result, known.use.path), known) for known in placed.values()}
            notes += shape_for_kdenlive(result, tuple(originals.values()), self._target.dialect)
            notes += tracks_left_out(tracks, self._target.dialect)
        relink_originals(result, self._links.folder.absolute(), folder, self._target.dialect)
        _insert(result, built)
        about = {"report": self._target.report} if self._target.report else {}
        result.metadata[STEMLINE] = otio_metadata({"version": METADATA_VERSION, **options.metadata, **about})
        if self._target.dialect is Dialect.RESOLVE:
            shape_for_resolve(result, builder.rate)
            for known in placed.values():
                shape_original_for_resolve(_at(result, known.use.path), known)
        places = {track.name: where for track, where in zip(built, builder.places, strict=True)}
        back = save_timeline(
            result,
            self._target.path.absolute(),
            lambda read: all(
                is_placed_right(track, places[track.name]) for track in read.tracks if track.name in places
            ),
        )
        names = tuple(track.name for track in back.tracks if STEMLINE in track.metadata)
        return Written(names[-len(built) :] if built else (), str(self._target.path), tuple(notes))

    def write_markers(self, markers: Sequence[TimelineMarker]) -> str:
        """Write a copy of the timeline with these markers on its track stack, read it back, and return its path.

        Marker times count from the start of the timeline, as OTIO requires. Raises OutputError.
        """
        result: otio.schema.Timeline = copy.deepcopy(self._timeline)
        rate = self._gap_rate()
        exact = snap_rate(rate)
        stack_range = self._timeline.tracks.source_range
        zero = ticks_of(stack_range.start_time) if stack_range is not None else 0
        for marker in markers:
            start, end = (
                rational_time(ticks_of(otio.opentime.RationalTime(round_half_up(time * exact), rate)) + zero, rate)
                for time in (marker.record_range.start, marker.record_range.end)
            )
            result.tracks.markers.append(
                otio.schema.Marker(
                    name=marker.name,
                    marked_range=otio.opentime.TimeRange(start, end - start),
                    color=otio.schema.MarkerColor.PURPLE,
                    metadata={STEMLINE: {"comment": marker.comment}},
                )
            )
        path = self._target.path.absolute()
        relink_originals(result, self._links.folder.absolute(), path.parent, self._target.dialect)
        expected = len(result.tracks.markers)
        save_timeline(result, path, lambda read: len(read.tracks.markers) == expected)
        return str(path)

    def _read(self, selection: Selection) -> Reading:
        transitions = not self._target.dialect.ignores_transitions
        reading = read_timeline_clips(self._timeline, selection, self._sounds, transitions=transitions)
        self._placed = reading.placed
        return reading

    def _gap_rate(self) -> float:
        """Return the rate that the edit counts in: that of its start time, else of the first item on its tracks."""
        start = self._timeline.global_start_time
        if start is not None and is_rate(start.rate):
            return float(start.rate)
        for track in self._timeline.tracks:
            for item in track if isinstance(track, otio.schema.Track) else [track]:
                span = item.source_range if isinstance(item, otio.core.Item) else None
                if span is not None and is_rate(span.duration.rate):
                    return float(span.duration.rate)
        return _DEFAULT_RATE


def open_edit(
    path: Path, target: OtioTarget, links: LinkRules | None = None, options: ReadOptions | None = None
) -> OtioEdit:
    """Open the edit in a file of any readable format.

    Raises:
        EditError: The edit cannot be read.
        OutputError: The result would replace the edit itself.
    """
    if target.path.absolute() == path.absolute() or (target.path.exists() and target.path.samefile(path)):
        raise OutputError(
            f"The result would replace the edit {path} itself.",
            code=Code.OUTPUT_EXISTS,
            advice="Choose another folder with -o.",
        )
    read = read_edit(path, options)
    rules = dataclasses.replace(links, folder=read.folder) if links else LinkRules(read.folder)
    return OtioEdit(read.timeline, rules, target, read.notes)


def _insert(timeline: otio.schema.Timeline, tracks: Sequence[otio.schema.Track]) -> None:
    """Insert tracks after the last audio track, under names that no other track has."""
    children = list(timeline.tracks)
    taken = {child.name for child in children}
    position = len(children)
    for index, child in enumerate(children, 1):
        if isinstance(child, otio.schema.Track) and child.kind == otio.schema.TrackKind.Audio:
            position = index
    for offset, track in enumerate(tracks):
        base, count = track.name, 2
        while track.name in taken:
            track.name = f"{base} ({count})"
            count += 1
        taken.add(track.name)
        timeline.tracks.insert(position + offset, track)


def _disable(timeline: otio.schema.Timeline, placed: Mapping[str, Placed], clip_ids: Sequence[str]) -> list[str]:
    """Disable those clips alone, and return notes.

    A clip with a picture stays enabled: disabling it would hide the picture too.
    """
    pictures = []
    for clip_id in clip_ids:
        if clip_id not in placed:
            raise HostError(f"The edit has no clip {clip_id!r}.", code=Code.HOST_PROTOCOL)
        clip = _at(timeline, placed[clip_id].use.path)
        track = clip.parent()
        if isinstance(track, otio.schema.Track) and track.kind == otio.schema.TrackKind.Video:
            pictures.append(clip.name)
        else:
            clip.enabled = False
    return [f"{list_names(pictures)}: left enabled for the picture, mute the sound by hand."] if pictures else []


def _at(timeline: otio.schema.Timeline, path: Sequence[int]) -> otio.schema.Clip:
    item = timeline.tracks
    for index in path:
        item = item[index]
    return item
