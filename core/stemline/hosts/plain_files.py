"""A media file as a host: one clip and no timeline."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from stemline._version import __version__
from stemline.clips import ClipRange, MediaFacts, MediaSource, StemTrack, TimeRange
from stemline.errors import Code, UsageError
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, WriteOptions, Written
from stemline.timebase import round_half_up


class PlainFile:
    """A media file, or a part of it.

    `start` and `end` are seconds from its first sample; None is the beginning or the end of the file. Raises UsageError
    (MEDIA_OUT_OF_RANGE) for an empty part.
    """

    def __init__(
        self, source: MediaSource, facts: MediaFacts, start: Fraction | None = None, end: Fraction | None = None
    ) -> None:
        """Check the range."""
        rate = facts.sample_rate
        length = Fraction(facts.length_samples, rate)
        first, last = (
            Fraction(round_half_up(at * rate), rate)  # whole samples: there is no timeline to round on
            for at in (start if start is not None else Fraction(0), end if end is not None else length)
        )
        self._range = TimeRange(first, min(length, last))
        if not 0 <= self._range.start < self._range.end:
            raise UsageError(
                f"The range holds no sound: {Path(source.path).name} lasts {float(length):.3f} s.",
                code=Code.MEDIA_OUT_OF_RANGE,
                advice="Choose a range inside the file.",
            )
        self._source = source

    @property
    def played(self) -> TimeRange:
        """Return the part that is separated, in seconds from the first sample."""
        return self._range

    @property
    def capabilities(self) -> HostCapabilities:
        """Return that there are no tracks to write."""
        return HostCapabilities(name="file", version=__version__, writes_tracks=False)

    def read_clips(self, selection: Selection) -> ReadClips:
        """Return the file as one clip."""
        name = Path(self._source.path).name
        return ReadClips((ClipRange("file", name, name, self._source, self._range, self._range),))

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Do nothing: the stem files are the result."""
        return Written(())
