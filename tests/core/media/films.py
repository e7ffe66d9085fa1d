"""Films for tests, made with PyAV: a box whose place tells the frame, in every shape that footage has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT, RATE = 320, 180, 24


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A picture that states its number in 12 grey blocks of its top half, with a red box at the bottom left."""
    picture = np.full((height, width, 3), 64, np.uint8)
    for bit in range(12):
        picture[: height // 2, bit * width // 12 : (bit + 1) * width // 12] = 220 if number >> bit & 1 else 30
    picture[height * 3 // 4 :, : width // 4] = (220, 20, 20)
    return picture


def number_of(pixels: np.ndarray) -> int:
    """The number that `numbered` put into an upright picture of any size."""
    height, width = pixels.shape[:2]
    blocks = [pixels[height // 8 : height // 4, int((bit + 0.5) * width / 12)].mean() for bit in range(12)]
    return sum(1 << bit for bit, level in enumerate(blocks) if level > 125)


def write_film(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    pts: Callable[[int], int] = lambda number: number,
    time_base: Fraction = Fraction(1, RATE),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    gop: int = 12,
    crf: int = 20,
    sound_s: float = 0,
    prepare: Callable[[Any], None] = lambda stream: None,
    frame_options: Callable[[Any], None] = lambda frame: None,
) -> Path:
    """Write the pictures, of one size, and `sound_s` seconds of a quiet tone at 48 kHz in stereo."""
    with contextlib.closing(open_film(path)) as container:
        stream: Any = None
        sound: Any = container.add_stream("aac" if path.suffix == ".mp4" else "pcm_s16le", 48_000) if sound_s else None
        if sound is not None:
            sound.layout = "stereo"
        for number, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(codec, RATE)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt, stream.time_base = pixel_format, time_base
                stream.codec_context.time_base = time_base
                if codec == "libx264":
                    stream.options = {"crf": str(crf), "preset": "veryfast", "g": str(gop), "sc_threshold": "0"}
                prepare(stream)
            form = "rgba" if picture.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(picture, format=form).reformat(format=pixel_format)
            frame.pts, frame.time_base = pts(number), time_base
            frame_options(frame)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
        if sound is not None:
            write_tone(container, sound, sound_s)
    return path


def open_film(path: Path) -> Any:
    return av.open(str(path), "w")


def write_tone(container: Any, sound: Any, seconds: float) -> None:
    tone = (3000 * np.sin(np.arange(int(seconds * 48_000)) / 20)).astype(np.int16)
    for start in range(0, len(tone), 1024):
        block = np.repeat(tone[start : start + 1024], 2)[None]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, start
        frame.time_base = Fraction(1, 48_000)
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))
