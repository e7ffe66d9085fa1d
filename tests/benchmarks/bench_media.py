"""Exact reads against plain sequential PyAV decoding of the same samples; the writer against plain file writes."""

from __future__ import annotations

import hashlib
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stemline.clips import MediaSource
from stemline.media import AudioFormat, SampleFormat, StemTags, open_audio, open_writer

from .measure import best_of, report

SECONDS = 120
RANGE_S = 30
RATE = 48_000
RUNS = 9


def main() -> None:
    """Prints one ratio for each container, and one for each format written."""
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        sound = np.random.default_rng(0).uniform(-0.9, 0.9, (2, SECONDS * RATE)).astype(np.float32)
        for name, codec, kind, video in (
            ("24.wav", "pcm_s24le", "s32", ""),
            ("16.wav", "pcm_s16le", "s16", ""),
            ("float.wav", "pcm_f32le", "flt", ""),
            ("24.mov", "pcm_s24le", "s32", "mpeg4"),
            ("16.mkv", "pcm_s16le", "s16", "mpeg4"),
            ("24.mxf", "pcm_s24le", "s32", "mpeg2video"),
        ):
            path = Path(folder) / name
            encode(path, sound, codec, kind, video)
            report(f"read {RANGE_S} s of {name}", read_ratio(path), ">= 0.8", "plain PyAV decoding of the same samples")
        for form in SampleFormat:
            report(
                f"write {form}",
                write_ratio(Path(folder), sound, form),
                "near 1",
                "plain writes and SHA-256 of its bytes",
            )


def read_ratio(path: Path) -> float:
    """Speed of an exact read of a range, by that of decoding as many samples from the start into arrays."""
    source, start, end = MediaSource(str(path)), RATE * 45, RATE * (45 + RANGE_S)

    def exact() -> None:
        with open_audio(source) as reader:
            for _ in reader.blocks(start, end):
                pass

    def plain() -> None:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            done = 0
            for frame in container.decode(stream):
                done += frame.to_ndarray().size // 2
                if done >= end - start:
                    return

    exact()
    return best_of(RUNS, plain) / best_of(RUNS, exact)


def write_ratio(folder: Path, sound: np.ndarray, form: SampleFormat) -> float:
    """Speed of writing a stem, by that of writing as many finished bytes and hashing them."""
    size = sound.size * (4 if form.is_float else 3)
    data = np.random.default_rng(0).bytes(1 << 20)

    def stem() -> None:
        with open_writer(folder / f"stem{form.suffix}", AudioFormat(form, RATE, 2), StemTags()) as writer:
            for start in range(0, sound.shape[1], 1 << 16):
                writer.write(sound[:, start : start + (1 << 16)])

    def plain() -> None:
        sha = hashlib.sha256()
        with (folder / "plain").open("wb", buffering=0) as file:
            for _ in range(size >> 20):
                sha.update(data)
                file.write(data)

    ratio = best_of(3, plain) / best_of(3, stem)
    (folder / "plain").unlink()
    return ratio


def encode(path: Path, sound: np.ndarray, codec: str, kind: str, video: str) -> None:
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(video, rate=25) if video else None
        assert pictures is None or isinstance(pictures, av.VideoStream)
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        stream = container.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout, stream.codec_context.format = "stereo", kind
        numbers = {"s32": (sound * 2**23).astype(np.int32) << 8, "s16": (sound * 2**15).astype(np.int16), "flt": sound}[
            kind
        ]
        for count, start in enumerate(range(0, sound.shape[1], RATE // 25)):
            if pictures is not None:
                picture = av.VideoFrame(64, 64, "yuv420p")
                picture.pts, picture.time_base = count, Fraction(1, 25)
                container.mux(pictures.encode(picture))
            block = np.ascontiguousarray(numbers[:, start : start + RATE // 25].T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format=kind, layout="stereo")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if pictures is not None:
            container.mux(pictures.encode(None))


if __name__ == "__main__":
    main()
