"""PCM whose header FFmpeg misreads, and the bit depth of decoded samples."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from core.media.synthesis import Recipe, encode, music, ramp
from stemline.clips import MediaSource
from stemline.errors import Code, MediaError
from stemline.media import PcmCache, default_sample_format, media_facts, open_audio, probe

RATE = 48_000
Sound = npt.NDArray[np.float32]


@pytest.fixture
def cache(tmp_path: Path) -> PcmCache:
    return PcmCache(tmp_path / "cache")


def read_all(path: Path, cache: PcmCache, stream: int = 0) -> Sound:
    with open_audio(MediaSource(str(path), stream), cache=cache) as reader:
        return reader.read(0, reader.length_samples)


PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def pcm_wave(path: Path, words: npt.NDArray[np.int32], container: int, valid: int, *, extensible: bool) -> Path:
    """Write PCM of `valid` bits, left-justified in containers of `container` bytes."""
    body = words.astype("<i4").view(np.uint8).reshape(-1, 4)[:, 4 - container :].tobytes()
    fixed = (1, RATE, RATE * container, container)
    if extensible:
        fmt = struct.pack("<HHIIHHHHI", 0xFFFE, *fixed, 8 * container, 22, valid, 4) + PCM_GUID
    else:
        fmt = struct.pack("<HHIIHH", 1, *fixed, valid)
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(body)) + body
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


@pytest.mark.parametrize("extensible", [True, False])
@pytest.mark.parametrize(("container", "valid"), [(4, 24), (4, 20), (4, 16), (3, 20), (3, 16), (4, 32), (2, 12)])
def test_pcm_in_a_larger_container_is_not_noise(
    container: int, valid: int, extensible: bool, tmp_path: Path, cache: PcmCache
) -> None:
    if not extensible and container < 4:
        valid = 8 * container  # only the extension can name fewer bits than the container has
    numbers = np.random.default_rng(0).integers(-(2 ** (valid - 1)), 2 ** (valid - 1), 20_000)
    words = (numbers << (32 - valid)).astype(np.int32)
    path = pcm_wave(
        tmp_path / "a.wav", words, container, valid if extensible or container != 2 else 16, extensible=extensible
    )
    assert np.array_equal(read_all(path, cache)[0], (words * 2.0**-31).astype(np.float32))
    wanted = "wav32f" if valid > 24 else "wav24"
    assert default_sample_format(MediaSource(str(path))) == wanted


def test_pcm_in_a_larger_container_of_wave64_is_not_noise(tmp_path: Path, cache: PcmCache) -> None:
    words = (np.random.default_rng(0).integers(-(2**23), 2**23, 20_001) << 8).astype(np.int32)
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + tail + struct.pack("<Q", 24 + len(body)) + body + bytes(-len(body) % 8)

    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, 1, RATE, 4 * RATE, 4, 32, 22, 24, 4) + PCM_GUID
    body = b"wave" + tail + chunk(b"fmt ", fmt) + chunk(b"data", words.astype("<i4").tobytes())
    path = tmp_path / "a.w64"
    path.write_bytes(b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<Q", 24 + len(body)) + body)
    assert np.array_equal(read_all(path, cache)[0], (words * 2.0**-31).astype(np.float32))


@pytest.mark.parametrize("parts", [2, 3])
def test_every_data_chunk_of_a_wave_is_read(parts: int, tmp_path: Path, cache: PcmCache) -> None:
    """Some editors pass 4 GB with further chunks."""
    sound = ramp(2, 60_000, bits=16)
    path = encode(tmp_path / "a.wav", Recipe("pcm_s16le", "s16"), [sound])
    data = path.read_bytes()
    at = data.index(b"data")
    samples = data[at + 8 :]
    size = len(samples) // parts // 4 * 4
    pieces = [samples[start : start + size] for start in range(0, len(samples), size)]
    body = data[12:at] + b"".join(b"data" + struct.pack("<I", len(piece)) + piece for piece in pieces)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    assert np.array_equal(read_all(path, cache), sound.astype(np.float32))
    with open_audio(MediaSource(str(path)), cache=cache) as reader:
        assert np.array_equal(reader.read(29_000, 31_000), sound[:, 29_000:31_000].astype(np.float32))


DEPTHS = {
    "float.wv": (Recipe("wavpack", "fltp"), "f32", True),
    "deep.wv": (Recipe("wavpack", "s32p"), "s32", True),
    "16.wv": (Recipe("wavpack", "s16p"), "s16", False),
    "deep.flac": (Recipe("flac", "s32", options={"strict": "experimental", "bits_per_raw_sample": "32"}), "s32", True),
    "24.flac": (Recipe("flac", "s32"), "s24", False),
    "24.m4a": (Recipe("alac", "s32p"), "s24", False),
    "24.tta": (Recipe("tta", "s32"), "s24", False),
    "float.wav": (Recipe("pcm_f32le", "flt"), "f32", True),
    "lossy.m4a": (Recipe("aac"), "f32", False),
    "lossy.mp3": (Recipe("libmp3lame"), "f32", False),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_bit_depth_comes_from_the_decoded_format(name: str, tmp_path: Path) -> None:
    recipe, sample_format, deep = DEPTHS[name]
    path = encode(tmp_path / name, recipe, [music(2, RATE)])
    assert probe(path).streams[0].sample_format == sample_format
    assert default_sample_format(MediaSource(str(path))) == ("wav32f" if deep else "wav24")


def random_words(seed: int, count: int) -> npt.NDArray[np.int32]:
    """Return samples of 24 bits, left-justified in 32."""
    return (np.random.default_rng(seed).integers(-(2**23), 2**23, count) << 8).astype(np.int32)


@pytest.mark.parametrize("order", ["<", ">"])
def test_24_bits_in_4_bytes_of_a_caf_file_are_not_noise(order: str, tmp_path: Path, cache: PcmCache) -> None:
    words = random_words(3, 40_000)
    description = struct.pack(">d4sIIIII", float(RATE), b"lpcm", 2 if order == "<" else 0, 8, 1, 2, 24)
    data = bytes(4) + words.astype(f"{order}i4").tobytes()
    path = tmp_path / "a.caf"
    chunks = [(b"desc", description), (b"free", bytes(99)), (b"data", data)]
    path.write_bytes(b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(body)) + body for name, body in chunks))
    assert np.array_equal(read_all(path, cache).T.ravel(), (words * 2.0**-31).astype(np.float32))
    assert default_sample_format(MediaSource(str(path))) == "wav24"
    with open_audio(MediaSource(str(path)), cache=cache) as reader:
        assert np.array_equal(reader.read(7000, 7001)[:, 0], (words[14_000:14_002] * 2.0**-31).astype(np.float32))


def aligned_sound(channels: int, count: int) -> npt.NDArray[np.float64]:
    """Return samples on the grid of 24 bits."""
    numbers = np.random.default_rng(4).integers(-(2**23), 2**23, (channels, count))
    return (numbers * 2.0**-23).astype(np.float64)


@pytest.mark.parametrize("extensible", [True, False])
def test_24_bits_in_4_bytes_of_an_avi_file_are_not_noise(extensible: bool, tmp_path: Path, cache: PcmCache) -> None:
    sounds = [aligned_sound(2, 30_000), aligned_sound(2, 30_000)[::-1]]
    path = encode(tmp_path / "a.avi", Recipe("pcm_s32le", "s32", video="mpeg4"), sounds)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"strf")  # of the second sound
    assert data[at + 8 : at + 10] == b"\xfe\xff"
    if extensible:
        struct.pack_into("<H", data, at + 8 + 18, 24)
    else:
        struct.pack_into("<H", data, at + 8, 1)
        struct.pack_into("<H", data, at + 8 + 14, 24)
    path.write_bytes(data)
    assert all(np.array_equal(read_all(path, cache, number), sound) for number, sound in enumerate(sounds))
    assert default_sample_format(MediaSource(str(path), 1)) == "wav24"


def test_24_bits_in_4_bytes_of_a_quicktime_file_are_not_noise(tmp_path: Path, cache: PcmCache) -> None:
    sound = aligned_sound(2, 60_000)
    path = encode(tmp_path / "a.mov", Recipe("pcm_s32le", "s32", sample_rate=96_000), [sound])
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"lpcm") - 4
    assert data[entry + 16 : entry + 18] == b"\0\2"
    struct.pack_into(">II", data, entry + 56, 24, 4 | 16)
    path.write_bytes(data)
    assert np.array_equal(read_all(path, cache), sound)
    assert default_sample_format(MediaSource(str(path))) == "wav24"


def test_metadata_after_an_empty_data_chunk_is_not_sound(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", Recipe("pcm_s16le", "s16"), [music(2, 4800)])
    whole = path.read_bytes()
    at = whole.index(b"data")
    note = b"LIST" + struct.pack("<I", 401) + bytes(range(200)) * 2 + b"xx"
    path.write_bytes(whole[:at] + b"data" + bytes(4) + note)
    with pytest.raises(MediaError) as raised:
        media_facts(MediaSource(str(path)))
    assert raised.value.code is Code.MEDIA_EMPTY


def test_sound_after_a_data_chunk_whose_size_was_never_written_is_read(tmp_path: Path, cache: PcmCache) -> None:
    sound = ramp(2, 48_000, bits=16)
    path = encode(tmp_path / "a.wav", Recipe("pcm_s16le", "s16"), [sound])
    whole = bytearray(path.read_bytes())
    at = whole.index(b"data")
    whole[at + 4 : at + 8] = bytes(4)
    path.write_bytes(whole)
    assert np.array_equal(read_all(path, cache), sound.astype(np.float32))
