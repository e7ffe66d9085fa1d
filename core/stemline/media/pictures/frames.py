"""Read the frames of a media file at times: exact frames, nearest key frames, and runs of frames in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stemline.errors import Cancelled, Code, MediaError
from stemline.files import printable
from stemline.media.decode.container import moving_video, open_container, stat_media, unreadable
from stemline.media.pictures.picture_track import Picture
from stemline.media.pictures.upright import PictureShape, shape_of, upright

_STILLS = {
    b"\x89PNG": "png_pipe",
    b"\xff\xd8\xff": "jpeg_pipe",
    b"BM": "bmp_pipe",
    b"II*\x00": "tiff_pipe",
    b"MM\x00*": "tiff_pipe",
    b"RIFF": "webp_pipe",
}
_FORWARD_S = Fraction(1)  # decoding on is faster than a seek up to here
_DISTANT_S = Fraction(1)
_SEEK_BACK_S = (Fraction(0), Fraction(2), Fraction(12))
_MAX_PIXELS = 1 << 26

Stop = Callable[[], bool]
Convert = Callable[[VideoFrame, PictureShape, int], Picture]


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of a media file.

    Attributes:
        time: When it is shown, in seconds from the file's time zero.
        pixels: uint8 [height, width, 3]: RGB, upright, square pixels.
        is_key: Whether it is decoded without other frames.
    """

    time: Fraction
    pixels: Picture
    is_key: bool


class FrameReader:
    """The frames of one file, for one thread. A context manager.

    Time zero is that of the file's sound: the start of the video. A time before the first frame gives the first, and a
    time past the last gives the last.

    Attributes:
        shape: The size of the upright pictures, with square pixels.
        frame_rate: Frames per second on average; None for a still.
        end: When the picture ends, in seconds, as the file states it; 0 where it does not.
        is_stopped: Asked between frames.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        longest: int = 0,
        stop: Stop = lambda: False,
        convert: Convert = upright,
        begins_at: Fraction = Fraction(0),
    ) -> None:
        """Open the file.

        Args:
            path: A film or a still picture.
            longest: Longest side of the pictures in pixels; 0 for the full size.
            stop: Asked between frames; true raises Cancelled.
            convert: Makes the pixels of a frame, in place of upright RGB.
            begins_at: When the first frame is shown, in seconds of the media, for a film that holds a part of it.

        Raises:
            MediaError: The file is missing or unreadable, or has no picture (MEDIA_UNSUPPORTED).
        """
        self.path, self.longest = str(path), longest
        self.is_stopped, self._convert = stop, convert
        with contextlib.ExitStack() as stack:
            self._container, self._stream = self._opened(stack)
            self._stack = stack.pop_all()
        self._zero = (self._stream.start_time or 0) - round(begins_at / self._time_base)
        self._decoded: Iterator[VideoFrame] = self._decode()
        self._shown: VideoFrame | None = None
        self._next: VideoFrame | None = None
        self.frame_rate: Fraction | None
        with contextlib.ExitStack() as on_error:
            on_error.callback(self.close)
            first = self._seek(Fraction(0))
            if first.width * first.height > _MAX_PIXELS:
                raise MediaError(f"The picture of {printable(path)} is too large.", code=Code.MEDIA_UNSUPPORTED)
            on_error.pop_all()
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.shape: PictureShape = shape_of(first, self._stream.sample_aspect_ratio)
        self.frame_rate = Fraction(rate) if rate and self._next is not None else None
        whole = Fraction(self._container.duration or 0, av.time_base)
        self.end = Fraction(self._stream.duration * self._time_base) if self._stream.duration else whole

    def _opened(self, stack: contextlib.ExitStack) -> tuple[InputContainer, VideoStream]:
        container = stack.enter_context(_open(self.path, stack))
        stream = moving_video(container)
        if stream is None or stream.codec_context is None:
            raise no_picture(self.path)
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        stream.codec_context.thread_count = 2
        stream.codec_context.thread_type = "AUTO"
        return container, stream

    @property
    def _time_base(self) -> Fraction:
        return self._stream.time_base or Fraction(1, 1)

    @property
    def ticks_per_second(self) -> int:
        """A number of ticks per second at which the time of every frame is a whole number of ticks."""
        return self._time_base.denominator

    def has_distant_keys(self, time: Fraction) -> bool:
        """Return whether the key frames after `time` are more than a second apart, without decoding."""
        with contextlib.suppress(av.FFmpegError):
            self._container.seek(int(time / self._time_base) + self._zero, stream=self._stream, backward=True)
            self._shown = self._next = None  # the next read seeks
            first: int | None = None
            for packet in self._container.demux(self._stream):
                self._stop_if_asked()
                if packet.pts is None:
                    continue
                first = packet.pts if first is None else first
                if (packet.pts - first) * self._time_base > _DISTANT_S:
                    return True
                if packet.is_keyframe and packet.pts > first:
                    return False
        return False

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def __enter__(self) -> FrameReader:
        """Return the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def is_near(self, time: Fraction) -> bool:
        """Return whether the frame at `time` is reached without a seek."""
        return self._shown is not None and self._time(self._shown) <= time < self._time(self._shown) + _FORWARD_S

    def at(self, time: Fraction) -> Frame:
        """Return the frame that is shown at `time`. Raises Cancelled, MediaError."""
        if not self.is_near(time):
            self._seek(time)
        while self._next is not None and self._time(self._next) <= time:
            self._advance()
        return self._frame(self._shown_frame())

    def key_frame(self, time: Fraction) -> Frame:
        """Return the last key frame that is not after `time`: at once, however far apart the key frames are."""
        self._seek(time)
        return self._frame(self._shown_frame())

    def in_order(self, start: Fraction, end: Fraction) -> Iterator[Frame]:
        """Yield every frame that is shown in [start, end), and none twice. Raises Cancelled, MediaError."""
        frame: Frame | None = self.at(start)
        while frame is not None and (frame.time < end or frame.time <= start):
            yield frame
            if self._next is None:
                return
            self._advance()
            frame = self._frame(self._shown_frame())

    def nearest(self, times: list[Fraction]) -> Iterator[Frame]:
        """Yield the frame nearest to each of the rising times, the earlier one of two at the same distance."""
        held: tuple[VideoFrame, Frame] | None = None
        for time in times:
            self._stop_if_asked()
            if not self.is_near(time):
                self._seek(time)
            while self._next is not None and self._time(self._next) - time < time - self._time(self._shown_frame()):
                self._advance()
            shown = self._shown_frame()
            if held is None or held[0] is not shown:
                held = shown, self._frame(shown)
            yield held[1]

    def _shown_frame(self) -> VideoFrame:
        if self._shown is None:
            raise unreadable(self.path)
        return self._shown

    def _time(self, frame: VideoFrame) -> Fraction:
        return ((frame.pts or 0) - self._zero) * self._time_base

    def _frame(self, frame: VideoFrame) -> Frame:
        return Frame(self._time(frame), self._convert(frame, self.shape, self.longest), bool(frame.key_frame))

    def _seek(self, time: Fraction) -> VideoFrame:
        """Go to the last key frame that is not after `time`, or to the first frame. Raises MediaError."""
        for back in _SEEK_BACK_S:
            target = max(Fraction(0), time - back)
            with contextlib.suppress(av.FFmpegError):  # a stream that cannot seek is read from where it is
                self._container.seek(int(target / self._time_base) + self._zero, stream=self._stream, backward=True)
            self._decoded = self._decode()
            self._shown, self._next = None, next(self._decoded, None)
            if self._next is not None and (self._time(self._next) <= time or target == 0):
                break
        if self._next is None:
            self._reopen_at_start()
        self._advance()
        return self._shown_frame()

    def _reopen_at_start(self) -> None:
        """Read from the start: the file ends before the time that was looked for, or cannot seek."""
        self._stack.close()
        with contextlib.ExitStack() as stack:
            self._container, self._stream = self._opened(stack)
            self._stack = stack.pop_all()
        self._decoded = self._decode()
        self._next = next(self._decoded, None)

    def _advance(self) -> None:
        self._shown = self._next
        self._next = next(self._decoded, None)

    def _decode(self) -> Iterator[VideoFrame]:
        """Yield decoded frames with rising times. Damaged packets are left out; a broken end ends the frames."""
        last: int | None = None
        packets = self._container.demux(self._stream)
        while True:
            self._stop_if_asked()
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                return
            if packet is None:
                return
            frames: list[VideoFrame] = []
            with contextlib.suppress(av.FFmpegError):
                frames = list(packet.decode())
            for frame in frames:
                if frame.pts is None:
                    frame.pts = 0 if last is None else last + 1
                if last is None or frame.pts > last:
                    last = frame.pts
                    yield frame

    def _stop_if_asked(self) -> None:
        if self.is_stopped():
            self._shown = None  # the next read seeks
            raise Cancelled


def has_picture(path: str | Path) -> bool:
    """Return whether a file has a moving or still picture besides a cover. Raises MediaError for an unreadable file."""
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(_open(str(path), stack))
        stream = moving_video(container)
        return stream is not None and stream.codec_context is not None


def no_picture(path: str | Path) -> MediaError:
    """Return the error for a file without a picture."""
    return MediaError(
        f"{printable(path)} has no picture.",
        code=Code.MEDIA_UNSUPPORTED,
        advice="Choose a file with a picture, or name the sound in words.",
    )


def _open(path: str, stack: contextlib.ExitStack) -> InputContainer:
    """Open a film, or a still picture by its signature: by name FFmpeg would take it for a sequence of files."""
    stat_media(path)
    try:
        with Path(path).open("rb") as file:
            head = file.read(12)
    except OSError:
        return open_container(path)  # which names the reason
    form = next((form for mark, form in _STILLS.items() if head.startswith(mark)), "")
    if not form or (form == "webp_pipe" and head[8:12] != b"WEBP"):
        return open_container(path)
    try:
        return av.open(stack.enter_context(Path(path).open("rb")), "r", format=form)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreadable(path) from error
