"""Search for the media of clips without a link (edit lists, offline clips) by name, reel or timecode."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath

import opentimelineio as otio

from stemline.errors import Code, MediaError
from stemline.files import printable
from stemline.media import probe
from stemline_otio.exact_time import Span, Ticks, day_of, span_of, to_ticks, zero_at
from stemline_otio.format_metadata import EDL_KEY, as_mapping, is_drop_clip
from stemline_otio.links import MediaFinder, folded_name

_NO_REELS = frozenset({"", "ax", "bl", "black", "none", "unknown"})
_CMX_REEL_LENGTH = 8
_SOURCE_FILE = re.compile(r"^\s*SOURCE FILE\s*:\s*(.+?)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hints:
    """What a clip without a link states of its media.

    `used` is in its own time, None where it states none; `day` is how long timecode counts until it starts over.
    """

    names: tuple[str, ...]
    reel: str
    used: Span | None
    day: Ticks

    @property
    def stated(self) -> str:
        """Return the media as the edit calls it, for messages; empty where it states neither name nor reel."""
        names = [*self.names[:2], *([f"reel {self.reel}"] if folded_name(self.reel) not in _NO_REELS else [])]
        return ", ".join(dict.fromkeys(printable(name) for name in names))


def hints_of(clip: otio.schema.Clip) -> Hints:
    """Return what a clip's name, its media reference and the facts of an edit list state of its media."""
    facts = as_mapping(clip.metadata.get(EDL_KEY))
    comments = facts.get("comments")
    lines = [str(line) for line in comments] if isinstance(comments, Sequence) and not isinstance(comments, str) else []
    files = [match[1] for match in map(_SOURCE_FILE.match, lines) if match]
    reference = clip.media_reference
    link = getattr(reference, "target_url", "") or ""
    name = facts.get("clip_name", clip.name)
    names = [facts.get("source_file"), *files, name, reference.name if reference else "", PureWindowsPath(link).stem]
    used = span_of(clip.source_range) if clip.source_range is not None else None
    day = day_of(clip.source_range.start_time.rate, drop_frame=is_drop_clip(clip)) if clip.source_range else 0
    return Hints(tuple(dict.fromkeys(str(name) for name in names if name)), str(facts.get("reel") or ""), used, day)


class MediaGuesser:
    """Searches the media roots. Remembers answers by hints, and each file's timecode."""

    def __init__(self, finder: MediaFinder) -> None:
        """Search the media roots of `finder`."""
        self._finder = finder
        self._spans: dict[Path, Span | None] = {}
        self._known: dict[Hints, tuple[str, str] | MediaError] = {}

    def find(self, hints: Hints) -> tuple[str, str]:
        """Return the file and by what it was found.

        Raises MediaError (MEDIA_MISSING) for none, for more than one, and for a file that only its timecode speaks for
        where the edit states a name or a reel.
        """
        if hints not in self._known:
            try:
                self._known[hints] = self._search(hints)
            except MediaError as error:
                self._known[hints] = error
        found = self._known[hints]
        if isinstance(found, MediaError):
            raise found
        return found

    def _search(self, hints: Hints) -> tuple[str, str]:
        files = self._finder.media_files()
        names = {folded_name(PurePosixPath(name.replace("\\", "/")).name) for name in hints.names}
        named = [path for path in files if names & {folded_name(path.name), folded_name(path.stem)}]
        reeled = [path for path in files if self._is_of_reel(path, hints)]
        for found, how in ((named, "name"), (reeled, "reel")):
            if len(found) == 1:
                return str(found[0]), how
            timed = self._at_time(found, hints)
            if len(timed) == 1:
                return str(timed[0]), f"{how} and timecode"
            if found:
                raise MediaError(
                    f"There are {len(found)} files that could be {printable(found[0].name)} under the media roots.",
                    code=Code.MEDIA_MISSING,
                    advice="Give the folder you need with --media-root.",
                )
        return self._by_timecode(files, hints)

    def _by_timecode(self, files: Sequence[Path], hints: Hints) -> tuple[str, str]:
        timed = self._at_time(files, hints)
        if len(timed) == 1 and not hints.stated:
            return str(timed[0]), "timecode"
        if not (files and hints.stated):
            raise MediaError(
                "The clip has no link to media.",
                code=Code.MEDIA_MISSING,
                advice="Give the folder of its media with --media-root.",
            )
        raise MediaError(
            f"No file under the media roots has the name that the edit states ({hints.stated}).",
            code=Code.MEDIA_MISSING,
            advice=f"{printable(timed[0].name)} covers its timecode: if it is the media, give it that name."
            if len(timed) == 1
            else "Give the folder of its media with --media-root.",
        )

    def _is_of_reel(self, path: Path, hints: Hints) -> bool:
        """Return whether a file's name is the reel, or begins with it and its timecode does not speak against it.

        Reels are cut to eight characters in many lists; "TAKE1" is not the beginning of "TAKE10".
        """
        reel, name = folded_name(hints.reel), folded_name(path.name)
        if reel in _NO_REELS or not name.startswith(reel):
            return False
        if reel in (name, folded_name(path.stem)):
            return True
        if reel[-1:].isdigit() and name[len(reel) :][:1].isdigit() and len(reel) < _CMX_REEL_LENGTH:
            return False
        span = self._span(path)
        return span is None or hints.used is None or bool(self._at_time([path], hints))

    def _at_time(self, files: Sequence[Path], hints: Hints) -> list[Path]:
        """Return the files whose own timecode, where they have one, covers all that the clip uses."""
        used = hints.used
        if used is None or used.duration <= 0:
            return []
        return [path for path in files if (span := self._span(path)) is not None and _covers(span, used, hints.day)]

    def _span(self, path: Path) -> Span | None:
        if path not in self._spans:
            self._spans[path] = _timecode_span(path)
        return self._spans[path]


def _covers(span: Span, used: Span, day: Ticks) -> bool:
    start = zero_at(used.start, span.start, span.duration, day)
    return start is not None and used.end <= start + span.duration


def _timecode_span(path: Path) -> Span | None:
    """Return the timecode that a file covers, None for no media and for timecode from zero, as in files without any."""
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
