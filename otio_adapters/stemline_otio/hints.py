"""Media of clips that are linked to no file (edit lists, offline clips): found by name, reel or timecode."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath

import opentimelineio as otio

from stemline.errors import Code, MediaError
from stemline.media import probe
from stemline_otio.exact import Span, span_of, to_ticks
from stemline_otio.facts import as_mapping
from stemline_otio.links import MediaFinder, folded_name, shown

_NO_REELS = frozenset({"", "ax", "bl", "black"})
_SOURCE_FILE = re.compile(r"^\s*SOURCE FILE\s*:\s*(.+?)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hints:
    """What a clip without a link says of its media. `used` is in its own time; None where it does not say."""

    names: tuple[str, ...]
    reel: str
    used: Span | None


def hints_of(clip: otio.schema.Clip) -> Hints:
    """From the clip's name, its media reference's, and what edit lists note of it."""
    cmx = as_mapping(clip.metadata.get("cmx_3600"))
    comments = cmx.get("comments")
    lines = [str(line) for line in comments] if isinstance(comments, Sequence) and not isinstance(comments, str) else []
    files = [match[1] for match in map(_SOURCE_FILE.match, lines) if match]
    reference = clip.media_reference
    link = getattr(reference, "target_url", "") or ""
    names = [*files, clip.name, reference.name if reference else "", PureWindowsPath(link).stem]
    used = span_of(clip.source_range) if clip.source_range is not None else None
    return Hints(tuple(dict.fromkeys(name for name in names if name)), str(cmx.get("reel") or ""), used)


class MediaGuesser:
    """Searches the media roots. Remembers answers by hints, and each file's timecode."""

    def __init__(self, finder: MediaFinder) -> None:
        self._finder = finder
        self._spans: dict[Path, Span | None] = {}
        self._known: dict[Hints, tuple[str, str] | None] = {}

    def find(self, hints: Hints) -> tuple[str, str]:
        """The file and by what it was found. Raises MediaError (MEDIA_MISSING) for none, or more than one."""
        if hints not in self._known:
            self._known[hints] = self._search(hints)
        found = self._known[hints]
        if found is None:
            raise MediaError(
                "The clip is linked to no media.",
                code=Code.MEDIA_MISSING,
                advice="Name the folder of its media with --media-root.",
            )
        return found

    def _search(self, hints: Hints) -> tuple[str, str] | None:
        files = self._finder.media_files()
        names = {folded_name(PurePosixPath(name.replace("\\", "/")).name) for name in hints.names}
        named = [path for path in files if names & {folded_name(path.name), folded_name(path.stem)}]
        reel = folded_name(hints.reel)
        reeled = [] if reel in _NO_REELS else [path for path in files if folded_name(path.name).startswith(reel)]
        for found, how in ((named, "name"), (reeled, "reel")):
            if len(found) == 1:
                return str(found[0]), how
            timed = self._at_time(found, hints.used)
            if len(timed) == 1:
                return str(timed[0]), f"{how} and timecode"
            if found:
                raise MediaError(
                    f"There are {len(found)} files that could be {shown(found[0].name)} under the media roots.",
                    code=Code.MEDIA_MISSING,
                    advice="Name the folder that is meant with --media-root.",
                )
        timed = self._at_time(files, hints.used)
        return (str(timed[0]), "timecode") if len(timed) == 1 else None

    def _at_time(self, files: Sequence[Path], used: Span | None) -> list[Path]:
        """Those whose own timecode, where they have one, holds all that the clip uses."""
        if used is None or used.duration <= 0:
            return []
        return [
            path
            for path in files
            if (span := self._span(path)) is not None and span.start <= used.start and used.end <= span.end
        ]

    def _span(self, path: Path) -> Span | None:
        if path not in self._spans:
            self._spans[path] = _timecode_span(path)
        return self._spans[path]


def _timecode_span(path: Path) -> Span | None:
    """The timecode a file covers; None for what is no media, or counts from zero like everything without timecode."""
    try:
        info = probe(path)
    except MediaError:
        return None
    if not info.streams:
        return None
    stream = info.streams[0]
    if info.time_reference_sample is not None:
        start = to_ticks(info.time_reference_sample / Fraction(stream.sample_rate))
    elif info.timecode is not None:
        start = to_ticks(Fraction(info.timecode.frame) / info.timecode.rate)
    else:
        return None
    return Span(start, start + to_ticks(stream.length_samples / Fraction(stream.sample_rate))) if start else None
