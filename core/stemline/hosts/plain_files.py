"""A media file as a host: one clip, its stems written beside each other, nothing to place."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from stemline._version import __version__
from stemline.clips import ClipRange, MediaFacts, MediaSource, StemTrack, TimeRange
from stemline.errors import Code, UsageError
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, WriteOptions, Written


class PlainFile:
    """One file, or the part of it from `start` to `end` in seconds (None: from its beginning, to its end)."""

    def __init__(
        self, source: MediaSource, facts: MediaFacts, start: Fraction | None = None, end: Fraction | None = None
    ) -> None:
        length = Fraction(facts.length_samples, facts.sample_rate)
        self._range = TimeRange(
            start if start is not None else Fraction(0), min(length, end if end is not None else length)
        )
        if not 0 <= self._range.start < self._range.end:
            raise UsageError(
                f"There is no sound between --in and --out: {Path(source.path).name} lasts {float(length):.3f} s.",
                code=Code.MEDIA_OUT_OF_RANGE,
                advice="Choose a range inside the file.",
            )
        self._source = source

    @property
    def played(self) -> TimeRange:
        """The part that is separated, in seconds of the file."""
        return self._range

    @property
    def capabilities(self) -> HostCapabilities:
        return HostCapabilities(name="file", version=__version__, writes_tracks=False)

    def read_clips(self, selection: Selection) -> ReadClips:
        name = Path(self._source.path).name
        return ReadClips((ClipRange("file", name, name, self._source, self._range, self._range),))

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """The files are the result; there is no timeline."""
        return Written(())
