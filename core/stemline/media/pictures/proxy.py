"""Small all-intra copies of films with distant key frames, in segments, so that every frame is reached at once.

A film of which only every tenth second is a key frame decodes up to 250 frames for one of them. A proxy segment holds
`SEGMENT_S` seconds of it as upright pictures of at most `TRACKED_PIXELS`, each decoded by itself, with the exact times
of the frames. Segments are made once, on a grid of the media, and lie in the cache of pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import IO

import av

from stemline.errors import Cancelled
from stemline.files import output_errors
from stemline.media.decode.container import unreadable
from stemline.media.pictures.cache import file_identity, picture_cache
from stemline.media.pictures.frames import FrameReader, Stop
from stemline.media.pictures.tracking import TRACKED_PIXELS

SEGMENT_S = 20
_VERSION = 1
_SUFFIX = ".proxy.mov"
_TIME_NAME = "comment"
_OPTIONS: dict[str, object] = {"crf": "18", "preset": "ultrafast", "g": "1"}


def segment_at(time: Fraction) -> int:
    """Return the number of the segment that shows a time of the media."""
    return max(0, int(time / SEGMENT_S))


def find_segment(path: str | Path, number: int) -> Path | None:
    """Return the file of a segment; None where it was not made. Raises MediaError for missing media."""
    return picture_cache().find(_identity(path, number), _SUFFIX)


def make_segment(
    path: str | Path,
    number: int,
    *,
    stop: Stop = lambda: False,
    progress: Callable[[float], None] = lambda share: None,
) -> Path:
    """Return the file of a segment, and make it first where it does not exist.

    Args:
        path: The media.
        number: Number of the segment.
        stop: Asked between frames; true raises Cancelled, and nothing is left behind.
        progress: Called with the share that is done, 0 to 1.

    Raises:
        MediaError: The media has no picture or cannot be read.
        OutputError: The disk is full.
        Cancelled: `stop` said so.
    """
    return picture_cache().get(
        _identity(path, number), _SUFFIX, lambda part: _write(part, path, number, (stop, progress))
    )


def open_segment(file: Path, *, stop: Stop = lambda: False) -> FrameReader:
    """Open a segment as its media: times are those of the media. Raises MediaError."""
    try:
        with av.open(str(file)) as container:
            begins_at = Fraction(container.metadata[_TIME_NAME])
    except (av.FFmpegError, KeyError, ValueError, ZeroDivisionError) as error:
        raise unreadable(file) from error
    return FrameReader(file, stop=stop, begins_at=begins_at)


def _identity(path: str | Path, number: int) -> list[object]:
    return ["proxy", _VERSION, SEGMENT_S, TRACKED_PIXELS, file_identity(path), number]


def _write(part: Path, path: str | Path, number: int, hooks: tuple[Stop, Callable[[float], None]]) -> None:
    """Write the frames that are shown in a segment."""
    stop, progress = hooks
    start = Fraction(number * SEGMENT_S)
    with FrameReader(path, longest=TRACKED_PIXELS, stop=stop) as reader:
        ticks = reader.ticks_per_second
        with output_errors(part), part.open("wb") as file, _opened(file) as container:
            stream = container.add_stream("libx264", 25)
            stream.width, stream.height = reader.shape.within(TRACKED_PIXELS)
            stream.pix_fmt, stream.options = "yuv444p", _OPTIONS  # any size, odd ones too
            stream.time_base = stream.codec_context.time_base = Fraction(1, ticks)
            begins_at: Fraction | None = None
            for frame in reader.in_order(start, start + SEGMENT_S):
                if begins_at is None:
                    begins_at = frame.time
                    container.metadata[_TIME_NAME] = str(begins_at)
                picture = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24").reformat(format="yuv444p")
                picture.pts, picture.time_base = round((frame.time - begins_at) * ticks), Fraction(1, ticks)
                container.mux(stream.encode(picture))
                progress(min(1.0, float((frame.time - start) / SEGMENT_S)))
                if stop():
                    raise Cancelled
            container.mux(stream.encode(None))


def _opened(file: IO[bytes]) -> av.container.OutputContainer:
    return av.open(file, "w", format="mov")
