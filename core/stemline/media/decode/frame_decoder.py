"""Decode one audio stream with every frame placed on its exact sample position.

Container timestamps alone do not place samples: coarse time bases jitter, a decoder's first frame after a seek is often
short or wrong, and a seek to the very start skips priming. The rules here are measured on FFmpeg 8: open the file again
instead of seeking to the start; otherwise seek a second early, drop the first frame, snap the next to the grid of
frames, then count samples. A clock that starts over, or that jumps by more than 10 s in a transport or program stream,
is a discontinuity: the samples after it follow those before it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer

from stemline.clips import SampleRange
from stemline.errors import Code, MediaError
from stemline.files import printable
from stemline.media.decode.channel_map import channel_names, channel_sources
from stemline.media.decode.container import audio_stream, open_container, open_part, seek_stream
from stemline.media.decode.packets import CORRUPT, LOST, PacketDecoder, Raw, raw_samples
from stemline.media.decode.truncation import has_matroska_damage
from stemline.timebase import round_half_up

LONGEST_GAP_S = 86_400
LONGEST_TS_GAP_S = 10
RESTART_S = Fraction(1, 2)
RESTART, RESAMPLED = 4, 8
TRANSPORT = ("mpegts", "mpeg")
_WITHOUT_GAPS = ("flac", "ogg", "mpegts", "mpeg", "nut", "asf", "avi", "flv", "wv")  # missing time in these is loss
_CONFIRMING_FRAMES = 24
_DAMAGE_MERGE_S = Fraction(1, 2)
_Marked = tuple[AudioFrame, int]


class Unseekable(Exception):
    """A seek cannot give the samples that decoding from the start gives."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a stream's samples lie.

    Attributes:
        pts: Timestamp of the first decoded sample.
        time_base: Seconds per tick of a timestamp.
        sample_rate: Samples per second.
        offset_sample: Media sample of the first decoded sample.
        first_length: Samples of the first frame.
        grid: Samples of the following frames, to which timestamps are snapped where a tick is longer than a sample.
        limit_sample: Where the container says the audio ends; None where decoding ends.
        channels: Names of the stream's channels, of its widest section where they change.
        parts: Byte offsets of the files that a joined file consists of.
        breaks: Byte offsets of known damage.
    """

    pts: int
    time_base: Fraction
    sample_rate: int
    offset_sample: int
    first_length: int
    grid: int
    limit_sample: int | None
    channels: tuple[str, ...]
    parts: tuple[int, ...] = ()
    breaks: tuple[int, ...] = ()

    @property
    def tick_samples(self) -> Fraction:
        """Samples per tick of `time_base`."""
        return self.time_base * self.sample_rate

    def place(self, pts: int) -> Fraction:
        """Return the media sample of a timestamp, before snapping."""
        return (pts - self.pts) * self.tick_samples + self.offset_sample

    def snap(self, pts: int) -> int:
        """Return the media sample at which the frame with this timestamp begins."""
        exact = self.place(pts)
        if self.tick_samples <= 1 or exact <= self.offset_sample:
            return round_half_up(exact)
        zero = self.offset_sample + self.first_length
        return zero + self.grid * round_half_up((exact - zero) / self.grid)


class FrameDecoder:
    """The frames of one stream in order, each a pair (media sample of its start, samples [channels, n]).

    After `rewind` it yields everything from the first sample, after `seek` everything from a little before the
    requested sample. `damage` lists the places read so far that do not decode.
    """

    def __init__(self, path: str | Path, index: int, anchor: Anchor) -> None:
        """Open the file. Raises MediaError."""
        self._path, self._index, self._anchor = path, index, anchor
        self.first_sample = anchor.offset_sample
        self.damage: list[SampleRange] = []
        tick = anchor.tick_samples
        self._tick = tick.as_integer_ratio()  # integers, as this runs for every frame
        self._tolerance = max(2 * tick.denominator, tick.numerator + tick.denominator)
        self._longest_gap = LONGEST_GAP_S * anchor.sample_rate * tick.denominator
        self._restart = int(RESTART_S * anchor.sample_rate * tick.denominator)
        self._open()

    def _open(self) -> None:
        self._container = open_container(self._path)
        try:
            self._stream = audio_stream(self._container, self._index, self._path)
        except MediaError:
            self._container.close()
            raise
        self._format = self._container.format.name
        if self._format in TRANSPORT:
            self._longest_gap = LONGEST_TS_GAP_S * self._anchor.sample_rate * self._tick[1]
        self._decode_from(self._anchor.offset_sample, from_start=True)

    def _decode_from(self, sample: int, *, from_start: bool) -> None:
        self._lost_at_end = False
        decoded = self._decode_parts() if self._anchor.parts else self._decode_one(self._container, self._stream, 0)
        self._frames: Iterator[_Marked] = decoded
        self._ahead: deque[_Marked] = deque()
        self._clock = self._anchor
        self._loss: tuple[int, int] | None = None  # start of a loss not yet recorded, and its flag
        self.next_sample = sample
        self.from_start = from_start
        self.source_rate = self._anchor.sample_rate

    def rewind(self) -> None:
        """Go to the start of the stream."""
        self._container.close()
        self._open()

    def seek(self, sample: int) -> None:
        """Go to a second before `sample`, or to the start where that is nearer. Raises Unseekable."""
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
                return
            early *= 4

    def _jump(self, pts: int) -> None:
        guide = seek_stream(self._container, self._stream)
        target = pts * self._anchor.time_base
        try:
            self._container.seek(int(target / (guide.time_base or self._anchor.time_base)), stream=guide, backward=True)
        except (av.FFmpegError, OSError) as error:
            raise Unseekable from error
        self._decode_from(self._anchor.offset_sample, from_start=False)

    def _settle(self) -> int | None:
        """Drop the first frame after a seek, check that the next ones lie on the grid, and return where they begin."""
        next(self._frames, None)
        frames = [marked for _, marked in zip(range(3), self._frames, strict=False)]
        if not frames:
            return None
        first = frames[0][0]
        if first.pts is None:
            raise Unseekable
        start = position = self._anchor.snap(first.pts)
        for number, (frame, _) in enumerate(frames):
            self._check(frame, position, last=number == len(frames) - 1)
            position += frame.samples
        self._ahead.extend(frames)
        return start

    def _check(self, frame: AudioFrame, position: int, *, last: bool) -> None:
        anchor = self._anchor
        coarse = anchor.tick_samples > 1
        if coarse and frame.samples != anchor.grid and not last:
            raise Unseekable
        if frame.pts is None or abs(anchor.place(frame.pts) - position) > max(Fraction(1), anchor.tick_samples):
            raise Unseekable

    def frames(self) -> Iterator[tuple[int, Raw]]:
        """Yield all frames to the end of the stream, trimmed to what the container says is audio.

        Raises:
            MediaError: The channels change to some that the stream's layout has no place for.
        """
        count = len(self._anchor.channels)
        limit = sys.maxsize if self._anchor.limit_sample is None else self._anchor.limit_sample
        for start, frame in self.placed_frames():
            samples = raw_samples(frame, count) if frame.layout.nb_channels == count else self._mapped(frame, start)
            if start + frame.samples <= limit:
                yield start, samples
            elif start < limit:
                yield start, samples[:, : limit - start]

    def placed_frames(self) -> Iterator[tuple[int, AudioFrame]]:
        """Yield every frame with the media sample of its start, whatever its channels."""
        ahead, rate = self._ahead, self._anchor.sample_rate
        while (marked := ahead.popleft() if ahead else next(self._frames, None)) is not None:
            frame, flags = marked
            if frame.sample_rate != rate:
                self._frames = self._resample(chain((marked, *ahead), self._frames))
                ahead.clear()
                continue
            start, flags = self._position(frame, flags)
            if flags or self._loss is not None:
                self._note_loss(start, flags)
            self.next_sample = start + frame.samples
            yield start, frame
        if self._lost_at_end:
            self._add_damage(self.next_sample, self.next_sample + 1)
        if self._loss is not None and self._loss[1] & LOST:  # a corrupt last packet is only cut short
            self._add_damage(self._loss[0], self.next_sample)
        self._loss = None

    def _decode_one(self, container: InputContainer, stream: AvAudioStream, offset: int) -> Iterator[_Marked]:
        breaks = tuple(at - offset for at in self._anchor.breaks if at >= offset) if self.from_start else ()
        packets = PacketDecoder(self._path, container, stream, breaks)
        yield from packets
        self._lost_at_end = packets.lost_at_end

    def _decode_parts(self) -> Iterator[_Marked]:
        """Decode each part of a joined file as a file in its own right."""
        ends = [*self._anchor.parts[1:], Path(self._path).stat().st_size]
        for begin, end in zip(self._anchor.parts, ends, strict=True):
            lost = self._lost_at_end
            try:
                container = open_part(self._path, begin, end)
            except MediaError:
                self._lost_at_end = True
                continue
            with container:
                stream = audio_stream(container, self._index, self._path)
                flags = (RESTART if begin else 0) | (LOST if lost else 0)
                for frame, own in self._decode_one(container, stream, begin):
                    yield frame, own | flags
                    flags = 0

    def _resample(self, frames: Iterator[_Marked]) -> Iterator[_Marked]:
        """Resample frames of other rates than the stream's first, and drop their timestamps."""
        wanted = self._anchor.sample_rate
        resampler: av.AudioResampler | None = None
        source: tuple[int, str] | None = None
        for frame, flags in frames:
            if source != (frame.sample_rate, frame.layout.name):
                yield from _resampled(resampler, None, 0)
                source = frame.sample_rate, frame.layout.name
                self.source_rate = frame.sample_rate
                resampler = None
                if frame.sample_rate != wanted:
                    resampler = av.AudioResampler(frame.format, frame.layout, wanted)
            if resampler is None:
                yield frame, flags
            else:
                yield from _resampled(resampler, frame, flags)
        yield from _resampled(resampler, None, 0)

    def _position(self, frame: AudioFrame, flags: int) -> tuple[int, int]:
        """Return the frame's place, where the one before ends or after a gap, and the flags that apply to it."""
        clock, pts, expected = self._clock, frame.pts, self.next_sample
        if flags & RESTART:
            return self._start_over(frame)
        if pts is None:
            if self._format == "flac" and not flags & RESAMPLED:  # each of its frames states its place
                self._add_damage(expected, expected + 1)
            return expected, flags
        ahead = (pts - clock.pts) * self._tick[0] - (expected - clock.offset_sample) * self._tick[1]
        if -self._restart <= ahead <= self._tolerance or not self._confirmed(frame):
            return expected, flags
        if ahead < 0 or (ahead > self._longest_gap and self._format in TRANSPORT):
            return self._start_over(frame)
        if ahead > self._longest_gap:
            return expected, flags
        start = max(expected, clock.snap(pts))
        if self._format in _WITHOUT_GAPS or ("matroska" in self._format and has_matroska_damage(self._path)):
            self._add_damage(expected, start)
        return start, flags

    def _start_over(self, frame: AudioFrame) -> tuple[int, int]:
        """Count on by the clock that begins with this frame. Packets cut by a join are not damage."""
        self._loss = None
        if frame.pts is not None:
            self._clock = replace(
                self._anchor, pts=frame.pts, offset_sample=self.next_sample, first_length=self._anchor.grid
            )
        return self.next_sample, 0

    def _confirmed(self, frame: AudioFrame) -> bool:
        """Return whether no following frame contradicts this one's timestamp by agreeing with the count so far.

        One timestamp may be wrong: Ogg times its pages only, and a damaged header names any time. All frames of one
        packet share such a fault, so a number of them is examined.
        """
        while len(self._ahead) < _CONFIRMING_FRAMES and (marked := next(self._frames, None)) is not None:
            self._ahead.append(marked)
        if not self._ahead:
            return self._format != "ogg"
        jump = abs(self._clock.place(frame.pts or 0) - self.next_sample)
        tolerance = max(Fraction(2), self._anchor.tick_samples, jump / 4)
        expected = self.next_sample + frame.samples
        for other, flags in self._ahead:
            if flags & RESTART:
                break
            if other.pts is not None and abs(self._clock.place(other.pts) - expected) <= tolerance:
                return False
            expected += other.samples
        return True

    def _note_loss(self, start: int, flags: int) -> None:
        if self._loss is not None and start > self._loss[0]:
            self._add_damage(self._loss[0], start)
            self._loss = None
        if flags & LOST:
            self._loss = self.next_sample, LOST
        elif flags & CORRUPT and self._loss is None:
            self._loss = start, CORRUPT

    def _add_damage(self, start: int, end: int) -> None:
        near = int(_DAMAGE_MERGE_S * self._anchor.sample_rate)
        if self.damage and self.damage[-1].start_sample - near <= start <= self.damage[-1].end_sample + near:
            before = self.damage.pop()
            start, end = min(start, before.start_sample), max(end, before.end_sample)
        self.damage.append(SampleRange(start, max(end, start + 1)))

    def _mapped(self, frame: AudioFrame, start: int) -> Raw:
        """Return a frame of fewer channels in the stream's channels; the others are silent."""
        names = channel_names(frame.layout)
        sources = channel_sources(names, self._anchor.channels)
        if sources is None:
            raise self._unsupported(f"changes to {len(names)} channel(s)", start)
        samples = raw_samples(frame, len(names))
        silence = 128 if samples.dtype == np.uint8 else 0
        out = np.full((len(sources), frame.samples), silence, samples.dtype)
        for channel, source in enumerate(sources):
            if source is not None:
                out[channel] = samples[source]
        return out

    def _unsupported(self, change: str, start: int) -> MediaError:
        at = f"{start / self._anchor.sample_rate:.3f}"
        return MediaError(
            f"{printable(self._path)} {change} at {at} s, which its layout has no place for.",
            advice=f"Separate the part before it with --out {at}, and the rest from a copy that begins there.",
            code=Code.MEDIA_UNSUPPORTED,
        )

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> Self:
        """Return the decoder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def _resampled(resampler: av.AudioResampler | None, frame: AudioFrame | None, flags: int) -> Iterator[_Marked]:
    for out in resampler.resample(frame) if resampler is not None else ():
        if out is not None and out.samples:
            out.pts = None
            yield out, flags | RESAMPLED
            flags = 0
