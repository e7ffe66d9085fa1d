"""Spellings of links, ranges and tracks for the programs that import the result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, unquote

import opentimelineio as otio

from stemline.errors import MediaError
from stemline_otio.effects import RESOLVE_KEY
from stemline_otio.exact_time import (
    Span,
    Ticks,
    frame_ticks,
    known_span,
    rational_range,
)
from stemline_otio.links import existing_file, is_relative_link, is_windows_path, plain_path
from stemline_otio.reading import Placed

_AUDIO_TYPES = {1: "Mono", 2: "Stereo", 6: "5.1", 8: "7.1"}


class Dialect(StrEnum):
    """How the program that imports the result wants it.

    `generic` is OTIO as written. `resolve` is what DaVinci Resolve's importer takes, which rejects other documents
    without a message: bare absolute paths, an available range and a source range in the file's timecode everywhere, a
    global start time, named tracks, and its own metadata for channels. `kdenlive` counts media from its first frame, as
    Kdenlive (25.04 and later) does, and takes the separated originals out, which Kdenlive would import enabled.
    `mlt7.12` does the same, with stem files that begin where their clips begin: MLT 7.12, the player of Kdenlive and
    Shotcut of 2022 and 2023, enters a 24-bit WAV up to 11 ms late.
    """

    GENERIC = "generic"
    RESOLVE = "resolve"
    KDENLIVE = "kdenlive"
    MLT_7_12 = "mlt7.12"

    @property
    def counts_from_zero(self) -> bool:
        """Return whether ranges count from the first frame of the media instead of from its timecode."""
        return self in (Dialect.KDENLIVE, Dialect.MLT_7_12)

    @property
    def removes_originals(self) -> bool:
        """Return whether the program ignores that a clip is disabled, so that originals must be taken out."""
        return self in (Dialect.KDENLIVE, Dialect.MLT_7_12)

    @property
    def ignores_transitions(self) -> bool:
        """Return whether the program's import ignores transitions and speed changes."""
        return self in (Dialect.KDENLIVE, Dialect.MLT_7_12)

    @property
    def starts_at_clip(self) -> bool:
        """Return whether a stem file must begin where its clip begins, without a handle in front."""
        return self is Dialect.MLT_7_12


def link_to(path: Path, folder: Path, dialect: Dialect) -> str:
    """Return the link by which a document in `folder` names the file `path`."""
    if dialect is Dialect.RESOLVE:
        return str(path)
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.as_uri()
    return quote(relative, safe="/~!$&'()*+,;=@")


def file_zero(placed: Placed, dialect: Dialect) -> Ticks | None:
    """Return the time of the media's first sample in stem clips, None where a stem file counts from its own start."""
    if dialect is Dialect.RESOLVE:
        return placed.clock.timecode
    return None if dialect.counts_from_zero else placed.clock.zero or None


def relink_originals(timeline: otio.schema.Timeline, folder: Path, output: Path, dialect: Dialect) -> None:
    """Rewrite the links of the originals for the folder of the result.

    Relative links then lead to the same files as from the folder of the edit; other links stay, except where the
    dialect needs another spelling.
    """
    for reference in _references(timeline):
        sequence = isinstance(reference, otio.schema.ImageSequenceReference)
        link = reference.target_url_base if sequence else reference.target_url
        if link and "\0" not in link:
            moved = _moved(link, folder, output, dialect)
            if sequence:
                reference.target_url_base = moved + ("/" if link.endswith("/") and not moved.endswith("/") else "")
            else:
                reference.target_url = moved


def _moved(link: str, folder: Path, output: Path, dialect: Dialect) -> str:
    if is_relative_link(link):
        if dialect is Dialect.GENERIC and folder == output:
            return link
        spelled = link if existing_file(folder / link) else unquote(link)
        return link_to(Path(os.path.normpath(folder / spelled)), output, dialect)
    if is_windows_path(link) or dialect is Dialect.GENERIC:
        return link
    try:
        plain = plain_path(link)
    except MediaError:  # a web address stays one
        return link
    # Kdenlive parses links as URLs: a "#" or "%" in a bare path would be lost.
    is_local = plain.startswith("/") and not plain.startswith("//")
    return Path(plain).as_uri() if is_local and dialect is not Dialect.RESOLVE else plain


def _references(
    timeline: otio.schema.Timeline,
) -> Iterator[otio.schema.ExternalReference | otio.schema.ImageSequenceReference]:
    for clip in timeline.find_clips():
        for reference in clip.media_references().values():
            if isinstance(reference, otio.schema.ExternalReference | otio.schema.ImageSequenceReference):
                yield reference


def shape_for_resolve(timeline: otio.schema.Timeline, rate: float) -> None:
    """Add the parts of a document that Resolve's importer requires: a start time and track names."""
    if timeline.global_start_time is None:
        timeline.global_start_time = otio.opentime.RationalTime(0, rate)
    counts: dict[str, int] = {}
    for track in timeline.tracks:
        if isinstance(track, otio.schema.Track):
            counts[track.kind] = counts.get(track.kind, 0) + 1
            track.name = track.name or f"{track.kind} {counts[track.kind]}"


def shape_original_for_resolve(clip: otio.schema.Clip, placed: Placed) -> None:
    """Give a clip that states no range of its media the range that was read from the file."""
    reference = clip.media_reference
    if reference is not None and known_span(reference.available_range) is None:
        rate, zero = placed.clock.rate, placed.clock.zero
        frame = frame_ticks(rate)
        reference.available_range = rational_range(Span(zero, zero + placed.media_length // frame * frame), rate)
        clip.source_range = clip.source_range or reference.available_range


def shape_stem_clip(clip: otio.schema.Clip, channels: int) -> None:
    """List the channels of a stem clip for Resolve, which otherwise plays the first channel alone."""
    clip.metadata[RESOLVE_KEY] = {
        "Channels": [{"Source Channel ID": channel, "Source Track ID": 0} for channel in range(channels)]
    }


def shape_stem_track(track: otio.schema.Track, channels: int) -> None:
    """State the type of a stem track for Resolve, which otherwise imports it as mono."""
    track.metadata[RESOLVE_KEY] = {
        "Audio Type": _AUDIO_TYPES.get(channels, f"Adaptive {channels}"),
        "Locked": False,
        "SoloOn": False,
    }
