"""Decodes one audio stream with every frame put on its exact sample position.

Container timestamps alone do not place samples: coarse time bases jitter, a decoder's first frame after a seek is
often short or wrong, and seeking to the very start skips priming. The rules here are measured on FFmpeg 8: open afresh
instead of seeking to the start; otherwise seek a second early, drop the first frame, snap the next to the grid of
frames, then count samples.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream as AvAudioStream
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from stemline.errors import Code, MediaError
from stemline.media.decode.container import open_container, printable, unreadable
from stemline.media.decode.truncation import is_cut_mp4
from stemline.timebase import round_half_up

Raw = npt.NDArray[np.generic]
LONGEST_GAP_S = 86_400
_WITHOUT_GAPS = ("flac", "ogg", "mpegts")  # where time is missing in these, something was lost
_PACKED: dict[str, type[np.generic]] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}


class Unseekable(Exception):
    """A seek cannot give the samples that decoding from the start gives: do that instead."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a stream's samples lie. `pts` belongs to the first decoded sample, which is media sample `offset_sample`.

    `first_length` and `grid` are the lengths of the first and the following frames; timestamps are snapped to that grid
    where `time_base` is coarser than a sample. `limit_sample` is where the container says the audio ends (None: where
    decoding ends).
    """

    pts: int
    time_base: Fraction
    sample_rate: int
    offset_sample: int
    first_length: int
    grid: int
    limit_sample: int | None

    @property
    def tick_samples(self) -> Fraction:
        return self.time_base * self.sample_rate

    def place(self, pts: int) -> Fraction:
        """Media sample that a timestamp names, before snapping."""
        return (pts - self.pts) * self.tick_samples + self.offset_sample

    def snap(self, pts: int) -> int:
        """Media sample at which the frame with this timestamp begins."""
        exact = self.place(pts)
        if self.tick_samples <= 1 or exact <= self.offset_sample:
            return round_half_up(exact)
        zero = self.offset_sample + self.first_length
        return zero + self.grid * round_half_up((exact - zero) / self.grid)


def audio_stream(container: av.container.InputContainer, index: int, path: str | Path) -> AvAudioStream:
    """The n-th audio stream, set to decode in one thread. Raises MediaError: no audio, no such stream, no decoder."""
    streams = container.streams.audio
    if not streams and "mp4" in container.format.name and is_cut_mp4(path):
        raise unreadable(path)
    if not streams:
        raise MediaError(f"{printable(path)} holds no audio.", code=Code.MEDIA_NO_AUDIO)
    if not 0 <= index < len(streams):
        raise MediaError(
            f"{printable(path)} has {len(streams)} audio stream(s); there is no stream {index}.",
            advice="Streams are counted from 0.",
            code=Code.STREAM_UNKNOWN,
        )
    stream = streams[index]
    if stream.codec_context is None:
        raise MediaError(
            f"Stream {index} of {printable(path)} is coded in a way that cannot be decoded.",
            code=Code.MEDIA_UNSUPPORTED,
        )
    if not stream.sample_rate or not stream.channels:
        raise unreadable(path)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all  # pictures are not even read where the container allows that
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "NONE"
    return stream


def moving_video(container: av.container.InputContainer) -> VideoStream | None:
    """The first video stream that is no cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def index_stream(container: av.container.InputContainer, stream: AvAudioStream) -> AvAudioStream | VideoStream:
    """The stream to seek by. Matroska lists only its pictures in its index: by the sound FFmpeg would read all of the
    file up to there.
    """
    pictures = moving_video(container) if "matroska" in container.format.name else None
    return pictures or stream


def raw_samples(frame: AudioFrame, channels: int) -> Raw:
    """The frame's samples as [channels, n], in the decoder's own number format; a view of the frame where it can be."""
    dtype = _PACKED.get(frame.format.name)
    if dtype is None:
        planar: Raw = frame.to_ndarray()
        return planar
    packed: Raw = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channels)
    return packed.reshape(-1, channels).T


class FrameDecoder:
    """The frames of one stream in order, each a pair (media sample of its start, samples [channels, n]).

    Opens the file on its own; `close` it. After `rewind` it gives everything from the first sample, after `seek`
    everything from a little before the sample asked for. `damaged` tells whether some of it did not decode.
    """

    def __init__(self, path: str | Path, index: int, anchor: Anchor) -> None:
        self._path, self._index, self._anchor = path, index, anchor
        self.first_sample = anchor.offset_sample
        self.next_sample = anchor.offset_sample
        self.from_start = True
        self.damaged = False
        tick = anchor.tick_samples
        self._tick = tick.as_integer_ratio()  # whole numbers: this runs for every frame
        self._tolerance = max(2 * tick.denominator, tick.numerator + tick.denominator)
        self._longest_gap = LONGEST_GAP_S * anchor.sample_rate * tick.denominator
        self._open()

    def _open(self) -> None:
        self._container = open_container(self._path)
        try:
            self._stream = audio_stream(self._container, self._index, self._path)
        except MediaError:
            self._container.close()
            raise
        self._frames = decoded_frames(self._container, self._stream, self._note_damage)

    def _note_damage(self) -> None:
        self.damaged = True

    def rewind(self) -> None:
        """Starts over with a fresh decoder."""
        self._container.close()
        self._open()
        self.next_sample = self._anchor.offset_sample
        self.from_start = True

    def seek(self, sample: int) -> None:
        """Goes a second before `sample`, or to the start where that is nearer. Raises Unseekable."""
        anchor = self._anchor
        early = anchor.sample_rate
        while True:
            target = sample - anchor.offset_sample - early
            if target <= 2 * anchor.grid + anchor.first_length:
                self.rewind()
                return
            self._jump(anchor.pts + int(target / anchor.tick_samples))
            start = self._settle()
            if start is not None and start <= sample:
                self.next_sample = start
                self.from_start = False
                return
            early *= 4

    def _jump(self, pts: int) -> None:
        guide = index_stream(self._container, self._stream)
        target = pts * self._anchor.time_base
        try:
            self._container.seek(int(target / (guide.time_base or self._anchor.time_base)), stream=guide, backward=True)
        except (av.FFmpegError, OSError) as error:
            raise Unseekable from error
        self._frames = decoded_frames(self._container, self._stream, self._note_damage)

    def _settle(self) -> int | None:
        """Drops the first frame after a seek, checks that the next ones stand on the grid; gives where they begin."""
        next(self._frames, None)
        frames = [frame for _, frame in zip(range(3), self._frames, strict=False)]
        if not frames:
            return None
        first = frames[0]
        if first.pts is None:
            raise Unseekable
        start = position = self._anchor.snap(first.pts)
        for number, frame in enumerate(frames):
            self._check(frame, position, last=number == len(frames) - 1)
            position += frame.samples
        self._frames = _chain(frames, self._frames)
        return start

    def _check(self, frame: AudioFrame, position: int, *, last: bool) -> None:
        anchor = self._anchor
        coarse = anchor.tick_samples > 1
        if coarse and frame.samples != anchor.grid and not last:
            raise Unseekable
        if frame.pts is None or abs(anchor.place(frame.pts) - position) > max(Fraction(1), anchor.tick_samples):
            raise Unseekable

    def frames(self) -> Iterator[tuple[int, Raw]]:
        """From where the decoder stands to the end of the stream, trimmed to what the container says is audio."""
        anchor = self._anchor
        channels = self._stream.channels
        limit = sys.maxsize if anchor.limit_sample is None else anchor.limit_sample
        for frame in self._frames:
            start = self._position(frame)
            self.next_sample = end = start + frame.samples
            if frame.layout.nb_channels != channels or frame.sample_rate != anchor.sample_rate:
                raise MediaError(
                    f"{printable(self._path)} changes its sample rate or channels on the way.",
                    code=Code.MEDIA_UNSUPPORTED,
                )
            samples = raw_samples(frame, channels)
            if end <= limit:
                yield start, samples
            elif start < limit:
                yield start, samples[:, : limit - start]

    def _position(self, frame: AudioFrame) -> int:
        """Counted from the frame before; a gap in the timestamps moves it forward, never back."""
        anchor, pts = self._anchor, frame.pts
        if pts is None:
            self.damaged |= self._container.format.name == "flac"  # every frame of which says where it stands
            return self.next_sample
        ahead = (pts - anchor.pts) * self._tick[0] - (self.next_sample - anchor.offset_sample) * self._tick[1]
        if ahead <= self._tolerance or ahead > self._longest_gap:
            return self.next_sample
        self.damaged |= self._container.format.name in _WITHOUT_GAPS
        return max(self.next_sample, anchor.snap(pts))

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _chain(first: list[AudioFrame], rest: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
    yield from first
    yield from rest


def demuxed(container: av.container.InputContainer, stream: AvAudioStream) -> Iterator[Packet[AvAudioStream]]:
    """The stream's packets up to where the file ends, be that inside a packet."""
    try:
        yield from container.demux(stream)
    except (av.FFmpegError, OSError):
        return


def decoded_frames(
    container: av.container.InputContainer, stream: AvAudioStream, note_damage: Callable[[], None] = lambda: None
) -> Iterator[AudioFrame]:
    """Every frame that decodes from here on. Damaged packets are passed over: their time stays silent where the
    container says when what follows is heard, and is lost where it does not. `note_damage` hears of each, once the
    decoder has begun to give frames.
    """
    frames = _frames_of_packets(container, stream, note_damage)
    return _steady(frames) if container.format.name == "ogg" else frames


def _frames_of_packets(
    container: av.container.InputContainer, stream: AvAudioStream, note_damage: Callable[[], None]
) -> Iterator[AudioFrame]:
    begun = False
    for packet in demuxed(container, stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            if begun:
                note_damage()
            continue
        for frame in frames:
            if frame.samples:
                begun = True
                yield frame


def _steady(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
    """The same frames, without the time of one that the next one takes back.

    Ogg times its pages alone, and FFmpeg is wrong about some packets in them: a gap that the next frame does not
    confirm is none.
    """
    held: AudioFrame | None = None
    for frame in frames:
        if held is not None:
            if _takes_back(frame, held):
                held.pts = None
            yield held
        held = frame
    if held is not None:
        held.pts = None
        yield held


def _takes_back(frame: AudioFrame, before: AudioFrame) -> bool:
    if frame.pts is None or before.pts is None or before.time_base is None:
        return False
    return frame.pts < before.pts + before.samples / (before.time_base * before.sample_rate)
