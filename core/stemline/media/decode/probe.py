"""Describe media files: their streams, true lengths and timecode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from av.container import InputContainer

from stemline.clips import MediaFacts, MediaSource, TimeRange
from stemline.errors import Code, MediaError, UsageError
from stemline.files import printable
from stemline.media.decode.container import moving_video, open_container, stat_media, unreadable
from stemline.media.decode.stream_index import StreamFacts, describe_streams, stream_facts
from stemline.media.model import AudioStream, MediaInfo, SourceTimecode
from stemline.media.samples import SampleFormat
from stemline.media.wave.metadata import parse_time_reference
from stemline.timebase import is_drop_rate, parse_timecode, snap_rate


def video_frame_rate(container: InputContainer) -> Fraction | None:
    """Return the exact rate of the video, None without a video."""
    video = moving_video(container)
    if video is None:
        return None
    rate = video.average_rate or video.guessed_rate or video.base_rate
    return snap_rate(Fraction(rate)) if rate else None


def source_timecode(container: InputContainer, rate: Fraction | None) -> SourceTimecode | None:
    """Return the first timecode of the file that is valid at its frame rate."""
    for text, own_rate in _labels(container):
        at = rate or own_rate
        if at is None:
            continue
        drop = is_drop_rate(at) and (";" in text or "." in text)
        label = text if drop else text.replace(";", ":").replace(".", ":")
        try:
            return SourceTimecode(parse_timecode(label, at), at, drop)
        except UsageError:
            continue
    return None


def _labels(container: InputContainer) -> Iterator[tuple[str, Fraction | None]]:
    """Yield timecode labels with their rate: of video streams, then of timecode tracks, then of the container."""
    for stream in sorted(container.streams, key=lambda stream: stream.type != "video"):
        text = _tag(stream.metadata, "timecode")
        if text:
            rate = getattr(stream, "average_rate", None)
            yield text, snap_rate(Fraction(rate)) if rate else None
    text = _tag(container.metadata, "timecode")
    if text:
        yield text, None


def time_reference(container: InputContainer) -> int | None:
    """Return the `bext` time reference in samples since midnight."""
    return parse_time_reference(_tag(container.metadata, "time_reference"))


def _tag(metadata: dict[str, str], name: str) -> str:
    return next((value for key, value in metadata.items() if key.lower() == name), "")


def probe(path: str | Path) -> MediaInfo:
    """Describe a file: every audio stream with its true length, and the timecode.

    Raises:
        MediaError: The file is missing or unreadable.
    """
    count, info = _container_facts(str(path), stat_media(path))
    streams = tuple(describe_streams(path, count))
    return MediaInfo(
        info.path, info.has_video, info.video_frame_rate, streams, info.timecode, info.time_reference_sample
    )


@lru_cache(maxsize=4096)
def _container_facts(path: str, _state: tuple[int, int, int]) -> tuple[int, MediaInfo]:
    """Return the number of audio streams, and what the container alone states."""
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
    """Return what planning needs to know of a source.

    Raises:
        MediaError: The file is missing, unreadable or empty, or has no such stream or channel.
    """
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
        sections=facts.sections,
    )


def _timecode_sample(info: MediaInfo, sample_rate: int) -> Fraction:
    if info.time_reference_sample is not None:
        return Fraction(info.time_reference_sample)
    timecode: SourceTimecode | None = info.timecode
    return Fraction(timecode.frame) / timecode.rate * sample_rate if timecode else Fraction(0)


def usable_stream(source: MediaSource) -> StreamFacts:
    """Return the facts of the source's stream. Raises MediaError where no sample of it decodes."""
    facts = stream_facts(source.path, source.stream)
    if facts.anchor is None and facts.claims_audio:
        raise unreadable(source.path)
    if facts.stream.length_samples == 0:
        raise MediaError(
            f"{printable(source.path)} holds no samples in audio stream {source.stream}.", code=Code.MEDIA_EMPTY
        )
    return facts


def chosen_channels(source: MediaSource, stream: AudioStream) -> tuple[int, ...]:
    """Return the channels that the source names, or all of them.

    Raises:
        MediaError: The stream has no such channel (CHANNEL_UNKNOWN).
    """
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
    if source.channels or not facts.sections:
        return source
    start, end = used.start * facts.sample_rate, used.end * facts.sample_rate
    for section in facts.sections:
        if section.start_sample <= start and end <= section.end_sample and section.channels:
            whole = len(section.channels) == (facts.stream_channels or facts.channels)
            return source if whole else replace(source, channels=section.channels)
    return source


def default_sample_format(source: MediaSource) -> SampleFormat:
    """Return the format that holds a source without loss: 24 bits, or 32-bit float for a lossless stream of more."""
    return SampleFormat.WAV32F if usable_stream(source).stream.bits > 24 else SampleFormat.WAV24
