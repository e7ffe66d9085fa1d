"""What a media file says of itself, as plain values that outlive the open file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class AudioStream:
    """One audio stream. `index` counts audio streams only; `layout` is empty where the channels have no names.

    `sample_format` is the grid that the samples stand on: "u8", "s16", "s24", "s32", "f32" or "f64". `length_samples`
    counts from the file's time zero (the first sample; in a file with video the start of the video) to the last sample.
    """

    index: int
    codec: str
    sample_rate: int
    channels: int
    layout: str
    sample_format: str
    bits: int
    length_samples: int


@dataclass(frozen=True, slots=True)
class SourceTimecode:
    """The timecode of the file's time zero: a frame counted from 00:00:00:00 at `rate`."""

    frame: int
    rate: Fraction
    drop_frame: bool


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """A media file. `time_reference_sample` is the BWF time stamp: samples since midnight, None where there is none."""

    path: str
    has_video: bool
    video_frame_rate: Fraction | None
    streams: tuple[AudioStream, ...]
    timecode: SourceTimecode | None
    time_reference_sample: int | None
