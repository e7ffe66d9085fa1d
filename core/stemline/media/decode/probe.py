"""What a media file holds, asked once and cheaply."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from stemline.clips import MediaFacts, MediaSource, TimeRange
from stemline.errors import Code, MediaError
from stemline.files import printable
from stemline.media.decode.container import moving_video, open_container, stat_media, unreadable
from stemline.media.decode.stream_index import StreamFacts, describe_streams, stream_facts
from stemline.media.decode.timecode import source_timecode, time_reference, video_frame_rate
from stemline.media.model import AudioStream, MediaInfo, SourceTimecode
from stemline.media.samples import SampleFormat


def probe(path: str | Path) -> MediaInfo:
    """Every audio stream of a file with its true length, and the file's timecode. Raises MediaError."""
    count, info = _container_facts(str(path), stat_media(path))
    streams = tuple(describe_streams(path, count))
    return MediaInfo(
        info.path, info.has_video, info.video_frame_rate, streams, info.timecode, info.time_reference_sample
    )


@lru_cache(maxsize=4096)
def _container_facts(path: str, _state: tuple[int, int, int]) -> tuple[int, MediaInfo]:
    """The number of audio streams, and all that the container alone tells."""
    with open_container(path) as container:
        rate = video_frame_rate(container)
        info = MediaInfo(
            path=path,
            has_video=moving_video(container) is not None,
            video_frame_rate=rate,
            streams=(),
            timecode=source_timecode(container, rate),
            time_reference_sample=time_reference(container),
        )
        return len(container.streams.audio), info


def media_facts(source: MediaSource) -> MediaFacts:
    """What planning must know of a source. Raises MediaError: missing, unreadable, empty, no such stream or channel."""
    _, info = _container_facts(source.path, stat_media(source.path))
    facts = usable_stream(source)
    return MediaFacts(
        sample_rate=facts.stream.sample_rate,
        channels=len(chosen_channels(source, facts.stream)) if not source.mono else 1,
        length_samples=facts.stream.length_samples,
        timecode_sample=_timecode_sample(info, facts.stream.sample_rate),
        frame_rate=info.video_frame_rate or (info.timecode.rate if info.timecode else None),
        drop_frame=info.timecode.drop_frame if info.timecode else False,
        cut_short=facts.cut_short,
        stream_channels=facts.stream.channels if source.mono else 0,
        stretches=facts.stretches,
    )


def _timecode_sample(info: MediaInfo, sample_rate: int) -> Fraction:
    if info.time_reference_sample is not None:
        return Fraction(info.time_reference_sample)
    timecode: SourceTimecode | None = info.timecode
    return Fraction(timecode.frame) / timecode.rate * sample_rate if timecode else Fraction(0)


def usable_stream(source: MediaSource) -> StreamFacts:
    """The facts of the source's stream. Raises MediaError where it holds no sample that decodes."""
    facts = stream_facts(source.path, source.stream)
    if facts.anchor is None and facts.claims_audio:
        raise unreadable(source.path)
    if facts.stream.length_samples == 0:
        raise MediaError(
            f"{printable(source.path)} holds no samples in audio stream {source.stream}.", code=Code.MEDIA_EMPTY
        )
    return facts


def chosen_channels(source: MediaSource, stream: AudioStream) -> tuple[int, ...]:
    """The channels that the source names, or all of them. Raises MediaError for one that is not there."""
    for channel in source.channels:
        if not 0 <= channel < stream.channels:
            raise MediaError(
                f"{printable(source.path)} has {stream.channels} channel(s) in stream {source.stream}; "
                f"there is no channel {channel}.",
                advice="Channels are counted from 0.",
                code=Code.CHANNEL_UNKNOWN,
            )
    return source.channels or tuple(range(stream.channels))


def source_within(source: MediaSource, facts: MediaFacts, used: TimeRange) -> MediaSource:
    """Return a source limited to the channels that its stream has in `used`, a range of seconds of the media."""
    if source.channels or not facts.stretches:
        return source
    start, end = used.start * facts.sample_rate, used.end * facts.sample_rate
    for stretch in facts.stretches:
        if stretch.start_sample <= start and end <= stretch.end_sample and stretch.channels:
            whole = len(stretch.channels) == (facts.stream_channels or facts.channels)
            return source if whole else replace(source, channels=stretch.channels)
    return source


def default_sample_format(source: MediaSource) -> SampleFormat:
    """Return the format that holds a source without loss: 24 bits, or 32-bit float for a lossless stream of more."""
    return SampleFormat.WAV32F if usable_stream(source).stream.bits > 24 else SampleFormat.WAV24
