"""Samples read straight from WAVE files equal those that FFmpeg decodes."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from stemline.clips import MediaSource
from stemline.media import AudioFormat, SampleFormat, open_audio, open_stem, open_writer
from stemline.media.decode.plain_wave import PlainWave
from stemline.media.wave.metadata import StemTags
from stemline.media.wave.stem_writer import WavWriter

_RATE = 48_000
_CODECS = {"pcm_s16le": "<i2", "pcm_s24le": "<i4", "pcm_s32le": "<i4", "pcm_f32le": "<f4"}


def _write(path: Path, codec: str, channels: int, samples: int = 20_001) -> None:
    generator = np.random.default_rng(channels)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    sample_format = {"pcm_s16le": "s16", "pcm_f32le": "flt"}.get(codec, "s32")
    noise = generator.uniform(-1.0, 1.0, (1, samples * channels))
    if sample_format == "flt":
        numbers = (1.5 * noise).astype(np.float32)
    else:
        numbers = (noise * 2**31).astype(np.int32) if sample_format == "s32" else (noise * 2**15).astype(np.int16)
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream(codec, rate=_RATE, layout=layout)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(numbers, format=sample_format, layout=layout)
        frame.sample_rate = _RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _decoded(path: Path) -> np.ndarray:
    """Decode a whole file with FFmpeg alone, at full scale 1.0."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray().reshape(-1, frame.layout.nb_channels) for frame in container.decode(audio=0)]
    whole = np.concatenate(parts).T
    scale = 1 if whole.dtype.kind == "f" else np.float32(2.0 ** -(8 * whole.dtype.itemsize - 1))
    return whole.astype(np.float32) * scale


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("codec", list(_CODECS))
def test_any_range_equals_the_decoder(tmp_path: Path, codec: str, channels: int) -> None:
    path = tmp_path / "a.wav"
    _write(path, codec, channels)
    whole = _decoded(path)
    plain = PlainWave.open(path)
    assert plain is not None
    plain.close()
    with open_audio(MediaSource(str(path))) as reader:
        assert reader.length_samples == whole.shape[1] == 20_001
        for start, end in ((0, 20_001), (1, 2), (19_990, 20_001), (7_000, 12_345), (5, 6_000), (-10, 20)):
            expected = np.zeros((channels, end - start), np.float32)
            expected[:, max(0, -start) :] = whole[:, max(0, start) : end]
            np.testing.assert_array_equal(reader.read(start, end), expected)


def test_a_stem_beyond_4_gib_headers_is_read_where_its_sound_lies(tmp_path: Path) -> None:
    block = np.rint(np.random.default_rng(1).uniform(-1, 1, (2, 5_000)) * 2**22).astype(np.float32) / np.float32(2**23)
    form = AudioFormat(SampleFormat.WAV24, _RATE, 2, "stereo")
    with WavWriter(tmp_path / "a.wav", form, StemTags(), riff_limit=1_000) as writer:  # writes RF64
        writer.write(block)
    with open_stem(tmp_path / "a.wav") as reader:
        np.testing.assert_array_equal(reader.read(0, 5_000), block)


def test_a_stem_that_became_shorter_reads_as_silence_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with open_writer(path, AudioFormat(SampleFormat.WAV24, _RATE, 1, "mono")) as writer:
        writer.write(np.full((1, 9_000), 0.5, np.float32))
    with open_stem(path) as reader:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        block = reader.read(0, 9_000)
    assert block[0, 0] == 0.5
    assert not block[0, -1]


def _with_fmt(path: Path, change: tuple[int, bytes]) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"fmt ") + 8 + change[0]
    content[at : at + len(change[1])] = change[1]
    path.write_bytes(content)


@pytest.mark.parametrize("fault", ["cut short", "a second data chunk", "half a frame", "padded samples", "another tag"])
def test_a_file_that_needs_a_decoder_is_left_to_it(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "a.wav"
    _write(path, "pcm_s24le", 2)
    whole = path.read_bytes()
    data = whole.index(b"data")
    if fault == "cut short":
        path.write_bytes(whole[:-1_000])
    elif fault == "a second data chunk":
        path.write_bytes(whole + b"data" + struct.pack("<I", 6) + bytes(6))
    elif fault == "half a frame":
        path.write_bytes(whole[: data + 4] + struct.pack("<I", 20_001 * 6 - 3) + whole[data + 8 :])
    elif fault == "padded samples":
        _with_fmt(path, (14, struct.pack("<H", 20)))
    else:
        _with_fmt(path, (0, struct.pack("<H", 0x55)))
    assert PlainWave.open(path) is None


def test_a_missing_file_and_another_kind_of_file_are_not_opened(tmp_path: Path) -> None:
    assert PlainWave.open(tmp_path / "none.wav") is None
    (tmp_path / "a.txt").write_text("text")
    assert PlainWave.open(tmp_path / "a.txt") is None
