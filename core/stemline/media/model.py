"""Descriptions of media files as plain values that outlive the open file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class AudioStream:
    """An audio stream of a media file. One that no decoder supports has no channels and no samples.

    Attributes:
        index: Number among the file's audio streams, from 0.
        codec: FFmpeg's name of the decoder.
        sample_rate: Samples per second.
        channels: Number of channels.
        layout: FFmpeg's name of the channel layout; empty where the channels have no names.
        sample_format: Grid of the samples: "u8", "s16", "s24", "s32", "f32" or "f64".
        bits: Bits of a sample; 0 where the codec is lossy.
        length_samples: Samples from the file's time zero to the last sample. Zero is the start of the video; without a
            video it is the start of the timeline of a MOV or MP4, and elsewhere the first sample of any stream.
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
    """A media file.

    Attributes:
        path: Path of the file.
        has_video: Whether it has a moving picture.
        video_frame_rate: Exact frames per second of the picture.
        streams: The audio streams in order.
        timecode: Timecode of the file's time zero.
        time_reference_sample: Time stamp of a Broadcast WAVE in samples since midnight.
    """

    path: str
    has_video: bool
    video_frame_rate: Fraction | None
    streams: tuple[AudioStream, ...]
    timecode: SourceTimecode | None
    time_reference_sample: int | None
