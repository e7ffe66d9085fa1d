"""Follow a marked object through a range of a film, and store its masks as a film of their own."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stemline.clips import TimeRange
from stemline.files import output_errors
from stemline.media.pictures.frames import Frame, FrameReader, Stop
from stemline.media.pictures.proxy import SEGMENT_S, make_segment, open_segment, segment_at
from stemline.media.pictures.tracking import DOUBTFUL, TRACKED_PIXELS, Marks, Mask, Tracker

_CHUNK_S = 2
_TICKS = 90_000

Direction = int
FORWARD, BACKWARD = 1, -1


@dataclass(frozen=True, slots=True)
class MaskAt:
    """The mask of one frame, about 1 kB.

    Attributes:
        time: When the frame is shown, in seconds of the media.
        confidence: 0 to 1; 1 for a frame that the user marked.
        is_cut: Whether this frame is the first of another shot, where following ends.
        shape: Height and width of the mask.
    """

    time: Fraction
    confidence: float
    is_cut: bool
    shape: tuple[int, int]
    _packed: bytes

    @classmethod
    def of(cls, time: Fraction, mask: Mask, confidence: float, *, is_cut: bool = False) -> MaskAt:
        """Pack a mask."""
        height, width = mask.shape
        return cls(time, confidence, is_cut, (height, width), zlib.compress(np.packbits(mask).tobytes(), 1))

    @property
    def mask(self) -> Mask:
        """Where the object is, in the pixels of the tracked picture."""
        bits = np.frombuffer(zlib.decompress(self._packed), np.uint8)
        height, width = self.shape
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)

    @property
    def is_doubtful(self) -> bool:
        """Whether the frame should be looked at."""
        return self.confidence < DOUBTFUL


def follow(
    reader: FrameReader, tracker: Tracker, start: tuple[Fraction, Marks], end: Fraction, direction: Direction
) -> Iterator[MaskAt]:
    """Yield the mask of the marked frame, then those of the frames after or before it, up to `end` or to a cut.

    Args:
        reader: The film, with pictures of the size in which the marks are.
        tracker: Follows the object; it is started here.
        start: When the marked frame is shown, and the marks.
        end: Where to stop, in seconds: the end of the range, or, backwards, its start.
        direction: `FORWARD` or `BACKWARD`.

    Raises:
        UsageError: The marks show no object.
        Cancelled: The reader was stopped.
        MediaError: The film cannot be read.
    """
    first = reader.at(start[0])
    yield MaskAt.of(first.time, tracker.start(first.pixels, start[1]), 1.0)
    frames = _after(reader, first.time, end) if direction == FORWARD else _before(reader, first.time, end)
    for frame in frames:
        step = tracker.step(frame.pixels)
        yield MaskAt.of(frame.time, step.mask, step.confidence, is_cut=step.is_cut)
        if step.is_cut:
            return


def follow_both_ways(
    path: str | Path, tracker: Callable[[], Tracker], start: tuple[Fraction, Marks], within: TimeRange, stop: Stop
) -> list[MaskAt]:
    """Return the masks of all frames of the range that belong to the shot of the marked frame, in order of time.

    Raises:
        UsageError, Cancelled, MediaError: As `follow`.
    """
    with FrameReader(path, longest=TRACKED_PIXELS, stop=stop) as reader:
        before = list(follow(reader, tracker(), start, within.start, BACKWARD))
        after = list(follow(reader, tracker(), start, within.end, FORWARD))
    return [*reversed(before), *after[1:]]


def _after(reader: FrameReader, time: Fraction, end: Fraction) -> Iterator[Frame]:
    for frame in reader.in_order(time, end):
        if frame.time > time:
            yield frame


def _before(reader: FrameReader, time: Fraction, start: Fraction) -> Iterator[Frame]:
    """Yield the frames before `time` backwards, through proxy segments where key frames are far apart."""
    if time <= start or not reader.has_distant_keys(max(start, time - _CHUNK_S)):
        yield from _backwards(reader, time, start)
        return
    for number in range(segment_at(time), segment_at(start) - 1, -1):
        first = max(start, Fraction(number * SEGMENT_S))
        file = make_segment(reader.path, number, stop=reader.is_stopped)
        with open_segment(file, stop=reader.is_stopped) as segment:
            for frame in _backwards(segment, time, first):
                yield frame
                time = frame.time


def _backwards(reader: FrameReader, time: Fraction, start: Fraction) -> Iterator[Frame]:
    """Yield the frames before `time` backwards, a chunk at a time: a film decodes forwards only."""
    while time > start:
        begin = max(start, time - _CHUNK_S)
        chunk = [frame for frame in reader.in_order(begin, time) if frame.time < time]
        if not chunk:
            return
        yield from reversed(chunk)
        time = min(chunk[0].time, begin)


def write_mask_film(path: Path, masks: list[MaskAt], start: Fraction) -> None:
    """Write masks as a film with white on black, one frame for each mask.

    The film begins at `start` of the media, with a black frame where the first mask is later. It is PNG in QuickTime,
    which other programs can read.

    Raises:
        OutputError: The film cannot be written.
    """
    height, width = masks[0].shape
    if masks[0].time > start:
        masks = [MaskAt.of(start, np.zeros((height, width), bool), 1.0), *masks]
    times = [max(0, round((mask.time - start) * _TICKS)) for mask in masks]
    with output_errors(path), av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("png", 25)
        stream.width, stream.height, stream.pix_fmt = width, height, "gray"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
        for mask, time in zip(masks, times, strict=True):
            frame = av.VideoFrame.from_ndarray(mask.mask.astype(np.uint8) * np.uint8(255), format="gray")
            frame.pts, frame.time_base = time, Fraction(1, _TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
