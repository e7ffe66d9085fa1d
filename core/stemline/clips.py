"""Values of an edit, as every host gives them: ranges, media, clips, stem tracks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def merge_spans(spans: Iterable[SampleRange], gap_samples: int = 1) -> tuple[SampleRange, ...]:
    """Return spans in order, with those joined that lie less than `gap_samples` apart; by default those that touch."""
    merged: list[SampleRange] = []
    for span in sorted(spans):
        if merged and span.start_sample - merged[-1].end_sample < gap_samples:
            merged[-1] = SampleRange(merged[-1].start_sample, max(merged[-1].end_sample, span.end_sample))
        else:
            merged.append(span)
    return tuple(merged)


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
    """A part of a stream whose channels or sample rate change on the way.

    Attributes:
        start_sample: First sample of the part.
        end_sample: End of the part.
        channels: The channels of the whole stream that the part has.
        sample_rate: Its own sample rate in Hz, from which it is resampled.
    """

    start_sample: int
    end_sample: int
    channels: tuple[int, ...]
    sample_rate: int


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """Facts about a `MediaSource` that a plan needs.

    Attributes:
        sample_rate: Sample rate in Hz.
        channels: Number of channels that the source takes.
        length_samples: Length in samples.
        timecode_sample: The file's own timecode of its first sample, in samples since midnight.
        frame_rate: Frame rate of the timecode; None where the file has none.
        drop_frame: Whether the timecode is drop frame.
        cut_short: Whether the file declares more sound than it holds.
        stream_channels: Number of channels of the stream, where a fold-down leaves one; else 0.
        sections: The parts of a stream whose channels or sample rate change.
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
    """A use of media on a timeline, in a form that every host can give.

    Attributes:
        clip_id: Identifies the clip for the host.
        name: Name of the clip.
        track: Name of its track.
        source: The sound that it plays.
        source_range: Seconds from the first sample of the media, without source timecode.
        record_range: Seconds from the start of the host's timeline, as long as `source_range`.
        frame_rate: The grid on which the host cuts the media; None where it cuts on samples.
        carry: What the host needs to place stems like the original, such as fades and markers. Only the host reads it.
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
    """A stem file on the timeline.

    Attributes:
        clip_id: The clip that the stem belongs to.
        name: Name of the new clip.
        path: Path of the stem file.
        record_range: Where it plays, in seconds of the host's timeline.
        file_start: Seconds from the first sample of the file to the start of `record_range`, on the media's frame grid.
        file_range: The range of the media that the file holds, in samples.
        sample_rate: Sample rate in Hz.
        metadata: What the host writes under the key `stemline`.
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
    """A new track with one stem of one source track.

    Attributes:
        name: Name of the track.
        stem: Name of the stem.
        source_track: Name of the track of the originals.
        lane: Counts from 0 where clips of the source track overlap in time.
        channels: Number of channels.
        enabled: Whether the track plays.
        clips: Its clips, in order of time.
        metadata: What the host writes under the key `stemline`.
    """

    name: str
    stem: str
    source_track: str
    lane: int
    channels: int
    enabled: bool
    clips: tuple[StemClip, ...]
    metadata: Mapping[str, object] = field(default_factory=dict, compare=False, hash=False)

    @property
    def key(self) -> tuple[str, str, int, int, bool]:
        """What tracks of several runs have in common if their clips go on one track of a growing edit."""
        return self.stem, self.source_track, self.lane, self.channels, self.enabled
