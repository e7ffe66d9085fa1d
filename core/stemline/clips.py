"""Values of an edit, as every host gives them: ranges, media, clips, stem tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from stemline.errors import Code
from stemline_bridge import constants, stem_names

RESIDUAL = stem_names.RESIDUAL
METADATA_VERSION = constants.METADATA_VERSION
"""Of all that is written under the key `stemline`."""


@dataclass(frozen=True, slots=True, order=True)
class SampleRange:
    """Half-open range of samples."""

    start_sample: int
    end_sample: int

    @property
    def length(self) -> int:
        """Number of samples."""
        return self.end_sample - self.start_sample

    def contains(self, other: SampleRange) -> bool:
        """Return whether the other range lies in this one."""
        return self.start_sample <= other.start_sample and other.end_sample <= self.end_sample

    def intersect(self, other: SampleRange) -> SampleRange:
        """Return the common range; its length is 0 if there is none."""
        start = max(self.start_sample, other.start_sample)
        return SampleRange(start, max(start, min(self.end_sample, other.end_sample)))

    def shift(self, samples: int) -> SampleRange:
        """Return the range moved by a number of samples."""
        return SampleRange(self.start_sample + samples, self.end_sample + samples)


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """Half-open range of exact seconds."""

    start: Fraction
    end: Fraction

    @property
    def duration(self) -> Fraction:
        """Length in seconds."""
        return self.end - self.start

    def overlaps(self, other: TimeRange) -> bool:
        """Return whether the two ranges have a common part."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, order=True)
class MediaSource:
    """A sound of a media file.

    Attributes:
        path: Absolute path of the file.
        stream: Number of the audio stream.
        channels: Channels of the stream; empty for all.
        mono: Whether to fold these channels down to their mean.
    """

    path: str
    stream: int = 0
    channels: tuple[int, ...] = ()
    mono: bool = False


@dataclass(frozen=True, slots=True)
class StreamSection:
    """A part [start, end) of a stream whose channels or rate change on the way.

    `channels` are those of the whole stream that it has; `sample_rate` is its own, from which it is resampled.
    """

    start_sample: int
    end_sample: int
    channels: tuple[int, ...]
    sample_rate: int


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What planning must know of a `MediaSource`. `channels` counts those chosen by the source.

    `timecode_sample` is where the file's own timecode puts its first sample, counted in samples since midnight.
    `cut_short` says that the file names more sound than it holds; `stream_channels` counts all channels of the stream
    where a fold-down leaves one (0: they are `channels`). `sections` are the parts of a stream whose channels change.
    """

    sample_rate: int
    channels: int
    length_samples: int
    timecode_sample: Fraction = Fraction(0)
    frame_rate: Fraction | None = None
    drop_frame: bool = False
    cut_short: bool = False
    stream_channels: int = 0
    sections: tuple[StreamSection, ...] = ()

    def channels_of(self, source: MediaSource) -> tuple[int, ...]:
        """Return the numbers of the stream's channels that the source takes."""
        return source.channels or tuple(range(self.stream_channels or self.channels))


@dataclass(frozen=True, slots=True)
class ClipRange:
    """A use of media on a timeline, in a form that any host can give.

    `source_range` counts seconds from the media's first sample (source timecode already taken off); `record_range`
    counts seconds from the start of the host's timeline. Both have the same duration. `frame_rate` is the grid that
    the host cuts the media on; None where it cuts on samples. `carry` holds what the host needs back to place stems
    as the original is placed (fades, transitions, markers ...); the core does not look into it.
    """

    clip_id: str
    name: str
    track: str
    source: MediaSource
    source_range: TimeRange
    record_range: TimeRange
    frame_rate: Fraction | None = None
    carry: Mapping[str, object] = field(default_factory=dict, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class Skip:
    """A part of the edit that is not separated, and why. `record_start` is in seconds of the host's timeline."""

    clip: str
    track: str
    record_start: Fraction
    code: Code
    reason: str


@dataclass(frozen=True, slots=True)
class StemClip:
    """A stem file's place on the timeline: where it plays, and from which of its samples.

    `path` is the stem file; `file_start` is where in the file the record range begins, in exact seconds on the
    media's frame grid; `file_range` is the range of the media that the file holds. `metadata` is what goes under the
    key `stemline`.
    """

    clip_id: str
    name: str
    path: str
    record_range: TimeRange
    file_start: Fraction
    file_range: SampleRange
    sample_rate: int
    metadata: Mapping[str, object] = field(default_factory=dict, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class StemTrack:
    """A new track: one stem of one source track. `lane` counts from 0 where clips of that track overlap in time."""

    name: str
    stem: str
    source_track: str
    lane: int
    channels: int
    enabled: bool
    clips: tuple[StemClip, ...]
    metadata: Mapping[str, object] = field(default_factory=dict, compare=False, hash=False)
