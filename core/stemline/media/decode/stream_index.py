"""Finds out, from a few decoded frames at either end, where a stream's samples lie and how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer

from stemline.media.decode.container import open_container, stat_media
from stemline.media.decode.frame_decoder import (
    Anchor,
    FrameDecoder,
    Unseekable,
    audio_stream,
    decoded_frames,
    demuxed,
    moving_video,
)
from stemline.media.decode.truncation import is_cut
from stemline.media.model import AudioStream
from stemline.timebase import round_half_up

_SEEK_TRIAL_S = 4
_INDEXED = ("mp4", "flac", "mxf", "aiff")  # say in their head how much sound follows; others estimate it
_PCM_BITS = {"8": 8, "16": 16, "24": 24, "32": 32, "64": 32}


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream as measured. `anchor` is None where nothing decodes; `claims_audio` tells whether something should.

    `profile` is the codec's; `seekable` tells whether seeks in this file land where its timestamps say, `cut_short`
    whether it names more than it holds (a second of sound at least, where the file does not say its own size).
    """

    stream: AudioStream
    anchor: Anchor | None
    profile: str
    seekable: bool
    claims_audio: bool
    cut_short: bool = False


def stream_facts(path: str | Path, index: int) -> StreamFacts:
    """Measures a stream, once per state of the file. Raises MediaError."""
    return _measured(str(path), stat_media(path), index)


@lru_cache(maxsize=4096)
def _measured(path: str, _state: tuple[int, int, int], index: int) -> StreamFacts:
    with open_container(path) as container:
        stream = audio_stream(container, index, path)
        head = list(islice(decoded_frames(container, stream), 2))
        anchor = _anchored(container, stream, head) if head else None
        expected = _expected_end(container, stream, anchor)
        container_name = container.format.name
        indexed = stream.duration is not None and any(name in container_name for name in _INDEXED)
        facts = StreamFacts(
            stream=_describe(stream, index),
            anchor=anchor,
            profile=stream.profile or "",
            seekable=container_name != "mxf" or seeks_truly(path, stat_media(path)),
            claims_audio=bool(stream.duration or container.duration),
        )
    if anchor is None:
        return facts
    length = max(0, _true_end(path, index, anchor, expected if facts.seekable else 0))
    cut_short = is_cut(path, container_name) or (indexed and expected - length >= anchor.sample_rate)
    stream_found = replace(facts.stream, sample_rate=anchor.sample_rate, length_samples=length)
    return replace(facts, stream=stream_found, cut_short=cut_short)


def _anchored(container: InputContainer, stream: AvAudioStream, head: list[AudioFrame]) -> Anchor:
    pts, sample_rate = head[0].pts or 0, head[0].sample_rate
    anchor = Anchor(
        pts=pts,
        time_base=stream.time_base or Fraction(1, sample_rate),
        sample_rate=sample_rate,
        offset_sample=_offset_sample(container, stream, pts, sample_rate),
        first_length=head[0].samples,
        grid=head[-1].samples,
        limit_sample=None,
    )
    return _limited(anchor, container, stream)


def _offset_sample(container: InputContainer, stream: AvAudioStream, pts: int, sample_rate: int) -> int:
    """Where the first decoded sample lies from the file's time zero: the start of the video, else that very sample."""
    video = moving_video(container)
    if video is None or stream.time_base is None:
        return 0
    if video.start_time is not None and video.time_base is not None:
        zero = video.start_time * video.time_base
    else:
        zero = Fraction(container.start_time or 0, 1_000_000)
    return round_half_up((pts * stream.time_base - zero) * sample_rate)


def _limited(anchor: Anchor, container: InputContainer, stream: AvAudioStream) -> Anchor:
    """MOV and MP4 say exactly how much of the last packet is audio; other containers leave that to the decoder."""
    if "mp4" not in container.format.name or stream.duration is None or stream.start_time is None:
        return anchor
    return replace(anchor, limit_sample=round_half_up(anchor.place(stream.start_time + stream.duration)))


@lru_cache(maxsize=4096)
def seeks_truly(path: str, _state: tuple[int, int, int]) -> bool:
    """Whether a seek finds the packet that reading on finds: in MXF cut short, without its index, FFmpeg guesses."""
    with open_container(path) as container:
        stream = audio_stream(container, 0, path)
        wanted = int(_SEEK_TRIAL_S / (stream.time_base or Fraction(1, stream.sample_rate)))
        places: dict[int | None, int | None] = {}
        for packet in demuxed(container, stream):
            places[packet.pts] = packet.pos
            if packet.pts is not None and packet.pts > wanted:
                break
        else:
            return False
        try:
            container.seek(wanted // 2, stream=stream)
            found = next(demuxed(container, stream), None)
        except (av.FFmpegError, OSError):
            return False
        return found is not None and found.pts in places and places[found.pts] == found.pos


def _expected_end(container: InputContainer, stream: AvAudioStream, anchor: Anchor | None) -> int:
    """Where the container says the stream ends, as a media sample; only a hint."""
    if anchor is None:
        return 0
    if stream.duration is not None:
        return anchor.offset_sample + int(stream.duration * anchor.tick_samples)
    return anchor.offset_sample + (container.duration or 0) * anchor.sample_rate // 1_000_000


def _true_end(path: str, index: int, anchor: Anchor, expected: int) -> int:
    """The end of the last sample that decodes: the tail is decoded, or all of it where the tail cannot be found."""
    with FrameDecoder(path, index, anchor) as decoder:
        try:
            decoder.seek(max(anchor.offset_sample, expected - anchor.sample_rate))
        except Unseekable:
            decoder.rewind()
        end = anchor.offset_sample
        for start, samples in decoder.frames():
            end = start + samples.shape[1]
        return end


def _describe(stream: AvAudioStream, index: int) -> AudioStream:
    sample_format, bits = _grid(stream)
    name = stream.layout.name
    unnamed = "channels" in name or not _named(stream)
    return AudioStream(
        index=index,
        codec=stream.codec_context.name,
        sample_rate=stream.sample_rate,
        channels=stream.channels,
        layout="" if unnamed else name,
        sample_format=sample_format,
        bits=bits,
        length_samples=0,
    )


def _named(stream: AvAudioStream) -> bool:
    return len({channel.name for channel in stream.layout.channels}) == stream.channels


def _grid(stream: AvAudioStream) -> tuple[str, int]:
    """The sample format that the file's samples stand on, and its bits (0 where the codec is lossy)."""
    codec, decoded = stream.codec_context.name, stream.format.name.rstrip("p")
    if codec.startswith("pcm_") and codec[5:7].rstrip("lb") in _PCM_BITS:
        bits = int(codec[5:7].rstrip("lb"))
        kind = {"s": "s", "u": "u" if bits == 8 else "s", "f": "f"}[codec[4]]
        return f"{kind}{bits}", bits
    if codec == "flac":
        header = stream.codec_context.extradata or b""
        bits = ((header[12] & 1) << 4 | header[13] >> 4) + 1 if len(header) >= 14 else 16
        return _integer(bits), bits
    if codec in ("alac", "wavpack", "tta", "tak", "ape", "s302m", "truehd", "mlp"):
        return {"s16": ("s16", 16), "u8": ("u8", 8)}.get(decoded, ("s32", 32))
    return {"s16": "s16", "s32": "s32", "dbl": "f64", "u8": "u8"}.get(decoded, "f32"), 0


def _integer(bits: int) -> str:
    return "u8" if bits <= 8 else "s16" if bits <= 16 else "s24" if bits <= 24 else "s32"


def all_streams(path: str | Path, count: int) -> Iterator[StreamFacts]:
    """The facts of every audio stream of the file."""
    for index in range(count):
        yield stream_facts(path, index)
