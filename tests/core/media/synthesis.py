"""Make test media in which each sample identifies its place, so that any shift or loss is visible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


@dataclass(frozen=True)
class Recipe:
    """Encoding of a file. `video` is the codec of a 64x64 picture at 25 fps; `start_sample` delays the sound."""

    codec: str
    frame_format: str = "fltp"
    channels: int = 2
    sample_rate: int = 48_000
    streams: int = 1
    video: str = ""
    start_sample: int = 0
    bit_rate: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    muxer: str | None = None
    muxer_options: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def ramp(channels: int, length_samples: int, bits: int = 24, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return [channels, n] on the grid of `bits`, with all samples different as far as the bits allow."""
    steps = 1 << bits
    place = (
        np.arange(length_samples, dtype=np.int64)[None] * 7919
        + np.arange(channels)[:, None] * 104_729
        + seed * 1_299_709
    )
    return (place % (steps - 2) - (steps // 2 - 1)) / (steps // 2)


def music(channels: int, length_samples: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return [channels, n] for lossy codecs: a chirp that never repeats, with bursts of noise."""
    random = np.random.default_rng(seed)
    time = np.arange(length_samples) / 48_000
    sound = np.tile(0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time), (channels, 1))
    envelope = np.zeros(length_samples)
    for start in random.integers(0, max(1, length_samples - 9000), max(1, length_samples // 40_000)):
        envelope[start : start + 9000] = 0.2
    return np.clip(sound + random.standard_normal((channels, length_samples)) * (0.01 + envelope), -0.99, 0.99)


def encode(path: Path, recipe: Recipe, sounds: list[npt.NDArray[np.float64]]) -> Path:
    """Write one audio stream for each sound."""
    with av.open(str(path), "w", format=recipe.muxer, options=dict(recipe.muxer_options)) as container:
        container.metadata.update(recipe.metadata)
        pictures = _picture_stream(container, recipe)
        streams = [_sound_stream(container, recipe) for _ in sounds]
        step = recipe.sample_rate // 25
        for number, start in enumerate(range(0, sounds[0].shape[1], step)):
            if pictures is not None:
                picture = av.VideoFrame(64, 64, "yuv420p")
                picture.pts, picture.time_base = number, Fraction(1, 25)
                container.mux(pictures.encode(picture))
            for stream, sound in zip(streams, sounds, strict=True):
                container.mux(stream.encode(_frame(recipe, sound[:, start : start + step], start)))
        for stream in streams:
            container.mux(stream.encode(None))
        if pictures is not None:
            container.mux(pictures.encode(None))
    return path


def _picture_stream(container: av.container.OutputContainer, recipe: Recipe) -> av.VideoStream | None:
    if not recipe.video:
        return None
    stream = container.add_stream(recipe.video, rate=25)
    assert isinstance(stream, av.VideoStream)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    return stream


def _sound_stream(container: av.container.OutputContainer, recipe: Recipe) -> av.AudioStream:
    stream = container.add_stream(recipe.codec, rate=recipe.sample_rate, options=dict(recipe.options))
    assert isinstance(stream, av.AudioStream)
    stream.codec_context.layout = LAYOUTS[recipe.channels]
    stream.codec_context.format = recipe.frame_format
    if recipe.bit_rate:
        stream.codec_context.bit_rate = recipe.bit_rate
    return stream


def _frame(recipe: Recipe, sound: npt.NDArray[np.float64], start: int) -> av.AudioFrame:
    kind = recipe.frame_format
    if kind.startswith("s32"):
        numbers = (np.rint(sound * 2**23).astype(np.int32) << 8).astype(np.int32)
    elif kind.startswith("s16"):
        numbers = np.rint(sound * 2**15).astype(np.int16)
    else:
        numbers = sound.astype(np.float32)
    if not kind.endswith("p"):
        numbers = numbers.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(numbers), format=kind, layout=LAYOUTS[recipe.channels])
    frame.sample_rate = recipe.sample_rate
    frame.pts, frame.time_base = start + recipe.start_sample, Fraction(1, recipe.sample_rate)
    return frame


def plain_decode(path: Path, stream: int = 0) -> npt.NDArray[np.float32]:
    """Return a whole stream as FFmpeg decodes it, [channels, n], without code of the product."""
    parts = []
    with av.open(str(path)) as container:
        audio = container.streams.audio[stream]
        channels = audio.channels
        for frame in container.decode(audio):
            numbers = frame.to_ndarray()
            part = numbers if frame.format.is_planar else numbers.reshape(-1, channels).T
            scale = {"i": 2.0 ** (1 - 8 * numbers.itemsize), "f": 1.0}[numbers.dtype.kind]
            parts.append((part * np.float64(scale)).astype(np.float32))
    return np.concatenate(parts, axis=1)


def ranges(length_samples: int, seed: int = 0, count: int = 12) -> Iterator[tuple[int, int]]:
    """Yield random and edge ranges, some of which reach over the ends of the media."""
    random = np.random.default_rng(seed)
    yield from (
        (0, 1),
        (0, 1024),
        (length_samples - 1, length_samples),
        (-50, 50),
        (length_samples - 50, length_samples + 50),
    )
    yield from ((1023, 1026), (length_samples // 2, length_samples // 2), (length_samples + 10, length_samples + 20))
    for start in random.integers(0, length_samples - 1, count):
        yield int(start), min(length_samples, int(start + random.integers(1, 20_000)))


def cut(whole: npt.NDArray[np.float32], start: int, end: int) -> npt.NDArray[np.float32]:
    """Return `whole[:, start:end]` with zeros beyond its ends."""
    out = np.zeros((whole.shape[0], end - start), np.float32)
    first, last = max(0, start), min(end, whole.shape[1])
    if first < last:
        out[:, first - start : last - start] = whole[:, first:last]
    return out
