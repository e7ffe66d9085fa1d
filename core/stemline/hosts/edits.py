"""Edits that come from files: how they are read and what is written of the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from stemline.errors import StemlineError, UsageError
from stemline.hosts.base import Host
from stemline.options import MAX_HANDLE_S, PLAYS, check_choice
from stemline.timebase import snap_rate

ORIGINALS = ("disable", "keep")
LANES = ("fit", "checkerboard")
SPLITS = ("mono", "interleaved")
TIMECODES = ("record", "source")
NAME_TEMPLATE = "{track}_{record}_{clip}"
_MAX_RATE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOptions:
    """How an edit is read, which of its clips are separated, and what is written.

    Attributes:
        tracks: Names of the audio tracks to separate; empty for all.
        clips: Names of the clips to separate; empty for all.
        handle_s: Extra media around the used range in each stem file, in seconds (0 to 600). Numbers and decimal text
            become an exact `Fraction`.
        enable: New tracks that sound: "all", "stem" or "residual" (which removes the sound from the edit).
        originals: What happens to the separated clips: "disable" or "keep".
        lanes: "fit" adds a second track only where clips overlap; "checkerboard" puts neighbours on alternating tracks.
        dialect: The program that imports the result, by a name that a host announces.
        rate: Frame rate of an edit that does not say it (EDL), in frames per second: a number, or text such as
            "24000/1001".
        media_roots: Folders to search for media that is not where the edit says.
        path_map: Pairs of folders: where the edit says media is, and where it is now.
        audition_s: Separate only so many seconds of each clip, from its start, and write no edit; 0 for all.
        to: Formats to write the stems in beside the edit, such as "xml", "aaf" and "wav".
        rewrite: Write the whole edit in the formats of `to`, too, where no clip of it gets lost.
        split_channels: "mono" writes a file and a track per channel, "interleaved" all channels in one; None chooses
            by the format.
        timecode: Timecode in the files of "wav": the edit's ("record") or the media's ("source"); None for the edit's.
        previews: Write a small preview of each clip's mix beside the report, as browsers play few formats of media.
        name_template: File names of "wav"; fields are track, record, clip, edit, stem, source and number.

    Raises:
        UsageError: An option has a value that no run accepts.

    Examples:
        >>> import stemline
        >>> stemline.EditOptions(tracks=("A1",), handle_s=1.5).handle_s
        Fraction(3, 2)
    """

    tracks: Sequence[str] = ()
    clips: Sequence[str] = ()
    handle_s: Fraction | float | str = Fraction(2)
    enable: str = "all"
    originals: str = "disable"
    lanes: str = "fit"
    dialect: str = "generic"
    rate: Fraction | float | str | None = None
    media_roots: Sequence[Path | str] = ()
    path_map: Sequence[tuple[str, str]] = ()
    audition_s: int = 0
    to: Sequence[str] = ()
    rewrite: bool = False
    split_channels: str | None = None
    timecode: str | None = None
    name_template: str = NAME_TEMPLATE
    previews: bool = True

    def __post_init__(self) -> None:
        """Check the values and make numbers exact."""
        check_choice("enable", self.enable, PLAYS)
        check_choice("originals", self.originals, ORIGINALS)
        check_choice("lanes", self.lanes, LANES)
        check_choice("split_channels", self.split_channels, (None, *SPLITS))
        check_choice("timecode", self.timecode, (None, *TIMECODES))
        if self.audition_s < 0:
            raise UsageError(f"audition_s must be 0 or more, not {self.audition_s}.")
        for name in ("tracks", "clips", "to", "media_roots", "path_map"):
            object.__setattr__(self, name, _several(name, getattr(self, name)))
        object.__setattr__(self, "handle_s", _seconds(self.handle_s))
        object.__setattr__(self, "rate", None if self.rate is None else _frames_per_second(self.rate))

    @property
    def handle(self) -> Fraction:
        """Return the handle in exact seconds."""
        return Fraction(self.handle_s)

    @property
    def roots(self) -> tuple[Path, ...]:
        """Return `media_roots` as absolute paths."""
        return tuple(Path(root).absolute() for root in self.media_roots)

    @property
    def frame_rate(self) -> Fraction | None:
        """Return the frame rate in exact frames per second."""
        return None if self.rate is None else Fraction(self.rate)


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An edit file to open.

    Attributes:
        edit: The file.
        target: Path of the result.
        options: How to read and write it.
        report: Name of the report beside the result.
        unpack_to: Folder for media that the edit file itself holds.
    """

    edit: Path
    target: Path
    options: EditOptions
    report: str
    unpack_to: Path


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """A finished edit to write in the formats of `options.to`.

    `choose` returns a free path for a suffix and a text that tells this export from others; `note` is called with each
    path after it is written.
    """

    edit: Path
    tracks: tuple[str, ...]
    options: EditOptions
    choose: Callable[[str, str], Path]
    note: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Delivered:
    """Files that were written, what the formats cannot hold, and what could not be written."""

    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    failed: tuple[StemlineError, ...] = ()


class EditFiles(Protocol):
    """Opens edits from files and writes results in further formats. A module with these functions is one."""

    def check(self, options: EditOptions, sample_format: str | None) -> None:
        """Refuse what could not be written at the end. Raises UsageError or EditError before any work is done."""
        ...

    def open_edit(self, request: OpenRequest) -> Host:
        """Open an edit. Raises EditError, and OutputError where the result would replace the edit itself."""
        ...

    def deliver(self, request: DeliveryRequest) -> Delivered:
        """Write every format of `options.to`; a format that fails is listed and the others are written."""
        ...


def _several(name: str, values: Sequence[object]) -> tuple[object, ...]:
    if isinstance(values, str):
        raise UsageError(f"{name} takes several values, not one text.", advice=f"Write ({values!r},).")
    return tuple(values)


def _seconds(value: Fraction | float | str) -> Fraction:
    try:
        seconds = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        seconds = Fraction(-1)
    if not 0 <= seconds <= MAX_HANDLE_S:
        raise UsageError(f"Handles take 0 to {MAX_HANDLE_S} seconds, not {value}.")
    return seconds


def _frames_per_second(value: Fraction | float | str) -> Fraction:
    rate = snap_rate(str(value))
    if not 1 <= rate <= _MAX_RATE:
        raise UsageError(
            f"A frame rate is 1 to {_MAX_RATE} frames per second, not {value}.", advice="For example 25 or 24000/1001."
        )
    return rate
