"""The interface between Stemline and the holder of an edit.

A host returns clip ranges and accepts stem tracks; it processes no audio and makes no decisions. OTIO edits, media
files and every remote host behind the JSON-RPC companion implement this one protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol, runtime_checkable

from stemline.clips import ClipRange, Skip, StemTrack, TimeRange


@dataclass(frozen=True, slots=True)
class HostCapabilities:
    """What a host can do beyond the minimum. Work that needs more is refused with a reason, never tried.

    Attributes:
        name: Name of the host program.
        version: Its version, or that of its bridge.
        writes_tracks: Whether `write_tracks` adds tracks; False where the stem files are the result.
        disables_clips: Whether it can disable single clips.
        carries_metadata: Whether tracks and clips keep metadata.
        renders_ranges: Whether it can render what it plays, for sound that no media file holds.
        removes_results: Whether it can remove what it wrote.
        removes_clips: Whether its stems grow: new ones go on the tracks of earlier ones and take the place of those of
            the same clips, and it can remove the stems of single clips.
    """

    name: str
    version: str
    writes_tracks: bool = True
    disables_clips: bool = False
    carries_metadata: bool = False
    renders_ranges: bool = False
    removes_results: bool = False
    removes_clips: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Clips to read: those on tracks of these names (empty: all tracks), with or without disabled ones."""

    tracks: tuple[str, ...] = ()
    include_disabled: bool = False


@dataclass(frozen=True, slots=True)
class ReadClips:
    """The clips of an edit, as far as a selection names them.

    Attributes:
        clips: Clips to separate.
        skipped: Clips that cannot be separated, each with a code and a reason.
        notes: What was assumed where the edit does not state it.
        warnings: Those of the notes that a user must see.
        results: Handles of results that `remove_result` can still remove; None where the host does not look.
        applied: Ids of clips that have stems on the timeline; None where the host does not look.
        timeline_start: Timecode of the timeline's first frame, in seconds since 00:00:00:00, for display: record times
            count from that frame.
        drop_frame: Whether the edit counts in drop-frame timecode.
    """

    clips: tuple[ClipRange, ...]
    skipped: tuple[Skip, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    results: tuple[str, ...] | None = None
    applied: tuple[str, ...] | None = None
    timeline_start: Fraction = Fraction(0)
    drop_frame: bool = False


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How new tracks are written.

    Attributes:
        disable_clips: Ids of clips whose sound the new tracks replace.
        metadata: Settings of the run, for the key `stemline` of the timeline.
    """

    disable_clips: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """What the host holds after a write, read back.

    Attributes:
        tracks: Names of the new tracks as the host has them.
        output: Path or name of what was written; empty where nothing was.
        notes: What could not be carried over from the original clips.
        result: The host's handle of this result for `remove_result`; empty where it cannot remove it.
    """

    tracks: tuple[str, ...]
    output: str = ""
    notes: tuple[str, ...] = ()
    result: str = ""


@dataclass(frozen=True, slots=True)
class TimelineMarker:
    """A note on a stretch of the timeline: a name, seconds from its start, and a comment."""

    name: str
    record_range: TimeRange
    comment: str = ""


@runtime_checkable
class WritesMarkers(Protocol):
    """A host that can write markers."""

    def write_markers(self, markers: Sequence[TimelineMarker]) -> str:
        """Write a copy of the edit with these markers, and return its path. Raises OutputError."""
        ...


@dataclass(frozen=True, slots=True)
class RangeToRender:
    """Sound for the host to render because no media file holds it: a retimed, nested or processed clip.

    Attributes:
        record_range: The range of the timeline.
        folder: Folder for the rendered file.
        clip_id: One clip; empty for everything that sounds on `tracks`.
        tracks: Names of tracks.
    """

    record_range: TimeRange
    folder: str
    clip_id: str = ""
    tracks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered range, as a clip that plays the new file. `notes` list host settings that could not be restored."""

    clip: ClipRange
    notes: tuple[str, ...] = ()


class Host(Protocol):
    """Anything that holds clips. Calls come one at a time, from one thread."""

    @property
    def capabilities(self) -> HostCapabilities:
        """Return what the host can do."""
        ...

    def read_clips(self, selection: Selection) -> ReadClips:
        """Return the clips that `selection` names. Raises HostError or EditError when the edit cannot be read."""
        ...

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Add `tracks` to the timeline, read them back, and return what was found. Change nothing else."""
        ...
