"""Stem files hold the exact samples and tags, and never have their final name before they are complete."""

from __future__ import annotations

import errno
import hashlib
import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.media.synthesis import plain_decode, ramp
from stemline.clips import MediaSource
from stemline.errors import Code, MediaError, OutputError, UsageError
from stemline.media import AudioFormat, SampleFormat, StemTags, open_audio, open_writer, probe, quantise, read_tags
from stemline.media.wave.riff import speaker_mask
from stemline.media.wave.stem_writer import WavWriter

pytestmark = pytest.mark.smoke

FORMATS = list(SampleFormat)


def write(path: Path, sound: np.ndarray, kind: SampleFormat, tags: StemTags | None = None, layout: str = "") -> str:
    form = AudioFormat(kind, 48_000, sound.shape[0], layout)
    with open_writer(path, form, tags) as writer:
        for start in range(0, sound.shape[1], 7001):
            writer.write(sound[:, start : start + 7001])
    return writer.audio_sha256


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
@pytest.mark.parametrize("kind", FORMATS)
def test_samples_come_back_bit_for_bit(kind: SampleFormat, channels: int, tmp_path: Path) -> None:
    sound = ramp(channels, 20_001).astype(np.float32)
    path = tmp_path / f"stem{kind.suffix}"
    sha = write(path, sound, kind)
    with open_audio(MediaSource(str(path))) as reader:
        assert reader.length_samples == 20_001
        assert np.array_equal(reader.read(0, 20_001), sound)
    assert np.array_equal(plain_decode(path), sound), "FFmpeg alone must read the same"
    assert read_tags(path).audio_sha256 == sha
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_float_holds_samples_beyond_full_scale(tmp_path: Path) -> None:
    sound = np.array([[1.5, -7.25, 1e-30, 0.1]], np.float32)
    write(tmp_path / "a.wav", sound, SampleFormat.WAV32F)
    with open_audio(MediaSource(str(tmp_path / "a.wav"))) as reader:
        assert np.array_equal(reader.read(0, 4), sound)


@pytest.mark.parametrize("kind", [SampleFormat.WAV24, SampleFormat.FLAC])
@pytest.mark.parametrize("value", [1.0, 1.0 - 2**-25, -1.0 - 2**-22, np.nan, np.inf])
def test_24_bits_never_wrap_or_clip(kind: SampleFormat, value: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{kind.suffix}"
    with pytest.raises(ValueError, match="full scale"), open_writer(path, AudioFormat(kind, 48_000, 1)) as writer:
        writer.write(np.array([[0.0, value]], np.float32))
    assert list(tmp_path.iterdir()) == []


def test_float_refuses_nonfinite_samples(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="finite"),
        open_writer(tmp_path / "a.wav", AudioFormat(SampleFormat.WAV32F, 48_000, 1)) as writer,
    ):
        writer.write(np.array([[np.nan]], np.float32))


@given(st.lists(st.floats(-1, 1 - 2**-23, width=32), min_size=1, max_size=50))
def test_quantised_samples_lie_on_the_grid_within_half_a_step(values: list[float]) -> None:
    block = np.array([values], np.float32)
    grid = quantise(block, SampleFormat.WAV24)
    steps = grid.astype(np.float64) * 2**23
    assert np.array_equal(steps, np.rint(steps))
    assert np.abs(grid.astype(np.float64) - block).max() <= 2**-24
    assert np.array_equal(quantise(grid, SampleFormat.WAV24), grid)
    assert np.array_equal(quantise(block, SampleFormat.WAV32F), block)


TAGS = StemTags(
    description="Dialogue of «take» <3> & more",
    reference="job-1234",
    time_reference_sample=(1 << 33) + 5,
    coding_history="A=PCM,F=48000,W=24,M=mono,T=Recorder",
    project="A & B",
    scene="12<A>",
    take="3",
    note='"quoted" \x00\x1b ]]> 日本語',
    track_names=("Boom", "Lav"),
    frame_rate=Fraction(30_000, 1001),
    drop_frame=True,
    metadata={"prompt": {"text": "<b>&\x00\u2028 日本語"}, "version": 1, "null": {"dbfs": -240}},
)


@pytest.mark.parametrize("kind", FORMATS)
def test_tags_are_read_back(kind: SampleFormat, tmp_path: Path) -> None:
    path = tmp_path / f"a{kind.suffix}"
    sha = write(path, ramp(2, 5000).astype(np.float32), kind, TAGS)
    found = read_tags(path)
    assert found.bext is not None
    assert found.ixml is not None
    assert found.bext.time_reference_sample == TAGS.time_reference_sample
    assert found.bext.originator_reference == "job-1234"
    assert found.bext.coding_history.splitlines()[0] == TAGS.coding_history
    assert (found.ixml.project, found.ixml.scene, found.ixml.take) == ("A & B", "12<A>", "3")
    assert found.ixml.note.startswith('"quoted"')
    assert found.ixml.note.endswith("日本語")
    assert found.ixml.track_names == ("Boom", "Lav")
    assert found.metadata == {**TAGS.metadata, "audio_sha256": sha}
    assert probe(path).time_reference_sample == TAGS.time_reference_sample


def test_ffmpeg_reads_our_bext(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", ramp(1, 500).astype(np.float32), SampleFormat.WAV24, TAGS)
    with av.open(str(tmp_path / "a.wav")) as container:
        assert container.metadata["time_reference"] == str(TAGS.time_reference_sample)
        assert container.metadata["originator_reference"] == "job-1234"


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=300), key=st.text(max_size=30))
def test_any_text_survives_in_the_metadata(text: str, key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("text") / "a.wav"
    safe = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    tags = StemTags(description=safe, note=safe, scene=safe, metadata={key: safe})
    sha = write(path, np.zeros((1, 3), np.float32), SampleFormat.WAV24, tags)
    assert read_tags(path).metadata == {key: safe, "audio_sha256": sha} | ({key: sha} if key == "audio_sha256" else {})


@pytest.mark.parametrize(
    ("layout", "channels", "mask"), [("5.1", 6, 0x3F), ("", 6, 0), ("7.1", 8, 0x63F), ("5.1", 5, 0)]
)
def test_surround_files_state_their_speakers(layout: str, channels: int, mask: int, tmp_path: Path) -> None:
    assert speaker_mask(layout, channels) == mask
    write(tmp_path / "a.wav", ramp(channels, 10).astype(np.float32), SampleFormat.WAV24, layout=layout)
    data = (tmp_path / "a.wav").read_bytes()
    fmt = data.index(b"fmt ") + 8
    assert struct.unpack_from("<HH", data, fmt) == (0xFFFE, channels)
    assert struct.unpack_from("<HHI", data, fmt + 16) == (22, 24, mask)


@pytest.mark.parametrize("kind", [SampleFormat.WAV24, SampleFormat.WAV32F])
def test_a_file_above_the_limit_is_rf64(kind: SampleFormat, tmp_path: Path) -> None:
    sound = ramp(2, 30_001).astype(np.float32)
    path = tmp_path / "big.wav"
    with WavWriter(path, AudioFormat(kind, 48_000, 2), TAGS, riff_limit=100_000) as writer:
        writer.write(sound)
    data = path.read_bytes()
    size = sound.size * (4 if kind.is_float else 3)
    assert data[:4] == b"RF64"
    assert struct.unpack_from("<IQQQ", data, 16) == (28, len(data) - 8, size, 30_001)
    assert np.array_equal(plain_decode(path), sound)
    found = read_tags(path)
    assert (found.length_samples, found.audio_sha256) == (30_001, writer.audio_sha256)
    assert found.metadata["audio_sha256"] == writer.audio_sha256


def test_the_audio_hash_covers_the_data_alone(tmp_path: Path) -> None:
    sound = ramp(2, 3000).astype(np.float32)
    sha = write(tmp_path / "a.wav", sound, SampleFormat.WAV24)
    numbers = np.ascontiguousarray((sound.T.astype(np.float64) * 2**23).astype("<i4"))
    assert sha == hashlib.sha256(numbers.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()).hexdigest()
    assert write(tmp_path / "b.wav", sound, SampleFormat.WAV24, TAGS) == sha
    assert write(tmp_path / "a.flac", sound, SampleFormat.FLAC, TAGS) == sha


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_stem_files_are_detected(kind: SampleFormat, tmp_path: Path) -> None:
    path = tmp_path / f"a{kind.suffix}"
    sha = write(path, ramp(2, 30_000).astype(np.float32), kind, TAGS)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.write_bytes(flipped)
    try:
        assert read_tags(path).audio_sha256 != sha
    except MediaError as error:
        assert error.code is Code.OUTPUT_DAMAGED
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError) as raised:
        read_tags(path)
    assert raised.value.code is Code.OUTPUT_DAMAGED


def test_files_of_other_programs_are_not_stems(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound here")
    with pytest.raises(MediaError) as raised:
        read_tags(tmp_path / "a.wav")
    assert raised.value.code is Code.MEDIA_UNREADABLE
    with pytest.raises(MediaError) as raised:
        read_tags(tmp_path / "none.wav")
    assert raised.value.code is Code.MEDIA_MISSING


def test_an_entity_bomb_in_ixml_is_not_expanded(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write(path, np.zeros((1, 4), np.float32), SampleFormat.WAV24)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><BWFXML><NOTE>&b;</NOTE></BWFXML>'
    data = path.read_bytes()
    place = data.index(b"iXML")
    data = data[:place] + b"iXML" + struct.pack("<I", len(bomb)) + bomb
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    assert read_tags(path).ixml is None


@pytest.mark.parametrize("kind", FORMATS)
def test_a_failed_write_leaves_no_file(kind: SampleFormat, tmp_path: Path) -> None:
    path = tmp_path / f"a{kind.suffix}"
    path.write_bytes(b"older")

    def fail_half_way() -> None:
        with open_writer(path, AudioFormat(kind, 48_000, 1)) as writer:
            writer.write(np.zeros((1, 50_000), np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert path.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


class FullDisk:
    """A file on a disk with `room` bytes left."""

    def __init__(self, file: IO[Any], room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes | memoryview) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_is_reported_and_leaves_no_file(
    kind: SampleFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", **rest: FullDisk(opened(self, mode, **rest), 40_000))
    writer = open_writer(tmp_path / f"a{kind.suffix}", AudioFormat(kind, 48_000, 1))
    sound = np.random.default_rng(0).uniform(-0.9, 0.9, (1, 100_000)).astype(np.float32)
    with pytest.raises(OutputError) as raised, writer:
        for _ in range(20):
            writer.write(sound)
    assert raised.value.code is Code.DISK_FULL
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        open_writer(tmp_path / "none" / "a.wav", AudioFormat(SampleFormat.WAV24, 48_000, 1))


def test_flac_refuses_more_than_eight_channels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wav24"):
        open_writer(tmp_path / "a.flac", AudioFormat(SampleFormat.FLAC, 48_000, 9))


def test_an_empty_stem_is_a_valid_file(tmp_path: Path) -> None:
    sha = write(tmp_path / "a.wav", np.zeros((2, 0), np.float32), SampleFormat.WAV24)
    assert sha == hashlib.sha256(b"").hexdigest()
    assert read_tags(tmp_path / "a.wav").length_samples == 0
    assert json.dumps(dict(read_tags(tmp_path / "a.wav").metadata))
