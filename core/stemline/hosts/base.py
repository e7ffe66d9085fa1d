"""The seam between Stemline and whatever holds the edit.

A host gives clip ranges and takes stem tracks; it does no audio and has no rules of its own. An OTIO edit, plain
files and every remote host behind the JSON-RPC companion implement this one protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from stemline.clips import ClipRange, Skip, StemTrack, TimeRange


@dataclass(frozen=True, slots=True)
class HostCapabilities:
    """What a host can do beyond the minimum. Work that needs more than it has is refused in words, never tried."""

    name: str
    version: str
    writes_tracks: bool = True
    disables_clips: bool = False
    carries_metadata: bool = False
    renders_ranges: bool = False
    removes_results: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which clips are meant: by track name (empty: all tracks), and whether those the host holds disabled count too."""

    tracks: tuple[str, ...] = ()
    include_disabled: bool = False


@dataclass(frozen=True, slots=True)
class ReadClips:
    """The clips to work on, by name everything that is left out, and what was assumed where the edit does not say.
    `warnings` are those of the `notes` that nobody may miss.

    `results` are the handles (`Written.result`) of which something can still be taken back; None where the host does
    not look. `timeline_start` is the timecode of the timeline's first frame, in seconds since frame 00:00:00:00, for
    people: record times count from that frame.
    """

    clips: tuple[ClipRange, ...]
    skipped: tuple[Skip, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    results: tuple[str, ...] | None = None
    timeline_start: Fraction = Fraction(0)
    drop_frame: bool = False


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How the new tracks go in. `disable_clips` are ids of clips whose sound the new tracks replace."""

    disable_clips: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """What is in the host now, read back: track names as the host has them, where, and what could not be carried over.

    `result` is the host's own handle of what it wrote, for `remove_result`; empty where it cannot take it back.
    """

    tracks: tuple[str, ...]
    output: str = ""
    notes: tuple[str, ...] = ()
    result: str = ""


@dataclass(frozen=True, slots=True)
class RangeToRender:
    """Sound that no single media file holds (a retimed, nested or treated clip): the host is to render it into
    `folder`.

    `clip_id` names one clip; without it, everything that sounds on `tracks` in `record_range` is meant.
    """

    record_range: TimeRange
    folder: str
    clip_id: str = ""
    tracks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the host rendered, as a clip of its own file. Notes say what of the host's state could not be put back."""

    clip: ClipRange
    notes: tuple[str, ...] = ()


class Host(Protocol):
    """Anything that holds clips. Calls come one at a time, from one thread."""

    @property
    def capabilities(self) -> HostCapabilities: ...

    def read_clips(self, selection: Selection) -> ReadClips:
        """The clips that `selection` names. Raises HostError or EditError when the edit cannot be read at all."""
        ...

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Adds `tracks` beside what is there, reads them back and says what it found. Nothing else is changed."""
        ...
