"""Ranges read in any order equal one decode from the start, bit for bit, for every container and codec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from core.media.synthesis import Recipe, cut, encode, music, plain_decode, ramp, ranges
from stemline.clips import MediaSource
from stemline.media import PcmCache, open_audio, probe
from stemline.media.decode.packets import PacketDecoder

SECONDS = 12
NO_PNS = {"aac_pns": "0"}
LOSSLESS = {
    "24.wav": Recipe("pcm_s24le", "s32"),
    "16.wav": Recipe("pcm_s16le", "s16"),
    "float.wav": Recipe("pcm_f32le", "flt"),
    "sound.flac": Recipe("flac", "s32"),
    "sound.aiff": Recipe("pcm_s24be", "s32"),
    "sound.mov": Recipe("pcm_s24le", "s32", video="mpeg4"),
    "sound.mkv": Recipe("pcm_s16le", "s16", video="mpeg4"),
    "flac.mkv": Recipe("flac", "s32", video="mpeg4"),
    "alac.m4a": Recipe("alac", "s16p"),
    "sound.mxf": Recipe("pcm_s24le", "s32", channels=1, video="mpeg2video"),
    "surround.wav": Recipe("pcm_s24le", "s32", channels=6),
    "odd-rate.mov": Recipe("pcm_s24le", "s32", sample_rate=44_100, video="mpeg4"),
}
REPEATING = {
    "no-pns.m4a": Recipe("aac", options=NO_PNS),
    "no-pns.mkv": Recipe("aac", options=NO_PNS),
    "no-pns.aac": Recipe("aac", options=NO_PNS, muxer="adts"),
    "no-pns.ts": Recipe("aac", options=NO_PNS),
    "cbr.mp3": Recipe("libmp3lame", bit_rate=128_000),
    "vbr.mp3": Recipe("libmp3lame", options={"global_quality": "472", "flags": "+qscale"}),
    "headerless.mp3": Recipe(
        "libmp3lame", options={"global_quality": "472", "flags": "+qscale"}, muxer_options={"write_xing": "0"}
    ),
    "sound.opus": Recipe("libopus", "flt"),
    "sound.webm": Recipe("libopus", "flt"),
}
STATEFUL = {
    "pns.m4a": Recipe("aac", bit_rate=64_000),
    "pns.mkv": Recipe("aac", bit_rate=64_000),
    "ac3.mkv": Recipe("ac3"),
    "eac3.mkv": Recipe("eac3"),
    "ac3.mp4": Recipe("ac3"),
}


def bits_of(recipe: Recipe) -> int:
    return 24 if recipe.frame_format in ("s32", "flt") else 16


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_ranges_are_the_samples_that_were_written(name: str, tmp_path: Path) -> None:
    recipe = LOSSLESS[name]
    sound = ramp(recipe.channels, SECONDS * recipe.sample_rate, bits_of(recipe))
    path = encode(tmp_path / name, recipe, [sound])
    truth = sound.astype(np.float32)
    with open_audio(MediaSource(str(path)), cache=PcmCache(tmp_path / "pcm")) as reader:
        assert (reader.length_samples, reader.channels) == (truth.shape[1], recipe.channels)
        for start, end in ranges(truth.shape[1]):
            assert np.array_equal(reader.read(start, end), cut(truth, start, end)), (start, end)
    assert not (tmp_path / "pcm").exists(), "seekable media needs no cache"


@pytest.mark.parametrize("name", REPEATING)
def test_lossy_ranges_equal_one_decode_from_the_start(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, REPEATING[name], [music(2, SECONDS * 48_000)])
    check_against_plain_decode(path, PcmCache(tmp_path / "pcm"))
    assert not (tmp_path / "pcm").exists(), "a repeating decoder needs no cache"


@pytest.mark.parametrize("name", STATEFUL)
def test_ranges_of_stateful_decoders_equal_one_decode_from_the_start(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, STATEFUL[name], [music(2, SECONDS * 48_000)])
    check_against_plain_decode(path, PcmCache(tmp_path / "pcm"))
    assert list((tmp_path / "pcm").glob("*.f32")), "such media must come from the cache"


def check_against_plain_decode(path: Path, cache: PcmCache) -> None:
    length = probe(path).streams[0].length_samples
    truth = plain_decode(path)
    assert 0 <= truth.shape[1] - length <= 1024, "only the padding of the last packet may be missing"
    truth = truth[:, :length]
    for start, end in ranges(length):
        with open_audio(MediaSource(str(path)), cache=cache) as reader:
            assert np.array_equal(reader.read(start, end), cut(truth, start, end)), (start, end)
    with open_audio(MediaSource(str(path)), cache=cache) as reader:
        for start, end in ranges(length, seed=1):
            assert np.array_equal(reader.read(start, end), cut(truth, start, end)), (start, end)


def test_a_wrong_timestamp_in_ogg_makes_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg gives such timestamps for Vorbis where a short block follows a long one; PyAV has no Vorbis encoder."""
    path = encode(tmp_path / "sound.opus", REPEATING["sound.opus"], [music(2, SECONDS * 48_000)])
    truth = plain_decode(path)
    honest = PacketDecoder.__iter__

    def jittering(packets: PacketDecoder) -> Iterator[tuple[av.AudioFrame, int]]:
        for number, (frame, flags) in enumerate(honest(packets)):
            if number % 25 == 12 and frame.pts is not None:
                frame.pts += 448
            yield frame, flags

    monkeypatch.setattr(PacketDecoder, "__iter__", jittering)
    with open_audio(MediaSource(str(path))) as reader:
        assert reader.length_samples == truth.shape[1]
        assert np.array_equal(reader.read(0, truth.shape[1]), truth)
        for start, end in ranges(truth.shape[1]):
            assert np.array_equal(reader.read(start, end), cut(truth, start, end)), (start, end)


@pytest.mark.parametrize("name", ["24.wav", "sound.mov", "no-pns.m4a", "sound.opus", "pns.m4a"])
def test_blocks_of_any_size_join_to_the_range(name: str, tmp_path: Path) -> None:
    recipe = (LOSSLESS | REPEATING | STATEFUL)[name]
    sound = ramp(2, 6 * 48_000) if name in LOSSLESS else music(2, 6 * 48_000)
    path = encode(tmp_path / name, recipe, [sound])
    with open_audio(MediaSource(str(path)), cache=PcmCache(tmp_path / "pcm")) as reader:
        whole = reader.read(0, reader.length_samples)
        for start, block_samples in ((0, 1000), (200_001, 65_536), (-10, 4801)):
            blocks = list(reader.blocks(start, reader.length_samples, block_samples))
            assert all(block.shape[1] == block_samples for block in blocks[:-1])
            assert np.array_equal(np.concatenate(blocks, axis=1), cut(whole, start, reader.length_samples))


def test_sequential_blocks_never_seek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.m4a", REPEATING["no-pns.m4a"], [music(2, 6 * 48_000)])
    with open_audio(MediaSource(str(path))) as reader:
        monkeypatch.setattr("stemline.media.decode.frame_decoder.FrameDecoder.seek", lambda *_: pytest.fail("sought"))
        monkeypatch.setattr(
            "stemline.media.decode.frame_decoder.FrameDecoder.rewind", lambda *_: pytest.fail("started over")
        )
        assert sum(block.shape[1] for block in reader.blocks(0, reader.length_samples, 5000)) == reader.length_samples


@pytest.mark.skipif(not Path("/proc/self/io").is_file(), reason="needs Linux's count of what a process reads")
def test_a_late_range_of_a_matroska_film_does_not_read_the_whole_film(tmp_path: Path) -> None:
    """The index lists pictures only: a seek by the sound would read the whole file before the range."""

    def read_so_far() -> int:
        return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])

    path = encode(tmp_path / "film.mkv", LOSSLESS["sound.mkv"], [ramp(2, 60 * 48_000, 16)])
    with open_audio(MediaSource(str(path))) as reader:
        before = read_so_far()
        reader.read(50 * 48_000, 51 * 48_000)
        assert read_so_far() - before < path.stat().st_size / 4


def test_streams_and_channels_are_selected_and_folded_down(tmp_path: Path) -> None:
    recipe = Recipe("pcm_s24le", "s32", channels=1, streams=8, video="mpeg2video")
    sounds = [ramp(1, 5 * 48_000, seed=number) for number in range(8)]
    path = str(encode(tmp_path / "poly.mxf", recipe, sounds))
    info = probe(path)
    assert [stream.index for stream in info.streams] == list(range(8))
    assert {stream.length_samples for stream in info.streams} == {5 * 48_000}
    with open_audio(MediaSource(path, stream=6)) as reader:
        assert np.array_equal(reader.read(150_000, 160_000), sounds[6][:, 150_000:160_000].astype(np.float32))
    surround = ramp(6, 3 * 48_000)
    path = str(encode(tmp_path / "surround.wav", LOSSLESS["surround.wav"], [surround]))
    with open_audio(MediaSource(path, channels=(4, 1))) as reader:
        assert np.array_equal(reader.read(7, 5000), surround[[4, 1], 7:5000].astype(np.float32))
    with open_audio(MediaSource(path, channels=(0, 1, 2), mono=True)) as reader:
        assert reader.channels == 1
        np.testing.assert_allclose(reader.read(0, 100)[0], surround[:3, :100].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("name", ["late.mov", "late.mkv"])
def test_sound_that_starts_after_the_picture_keeps_its_offset(name: str, tmp_path: Path) -> None:
    sound = ramp(2, 4 * 48_000, bits=16)
    recipe = Recipe("pcm_s16le", "s16", video="mpeg4", start_sample=24_000)
    path = encode(tmp_path / name, recipe, [sound])
    whole = np.concatenate([np.zeros((2, 24_000)), sound], axis=1).astype(np.float32)
    with open_audio(MediaSource(str(path))) as reader:
        assert reader.length_samples == whole.shape[1]
        for start, end in [*ranges(whole.shape[1]), (23_990, 24_010), (0, 48_000)]:
            assert np.array_equal(reader.read(start, end), cut(whole, start, end)), (start, end)


def test_missing_packets_become_silence_of_the_same_length(tmp_path: Path) -> None:
    """A recorder that loses packets leaves three seconds of sound, a gap of two, and three of sound."""
    sound = ramp(1, 8 * 48_000, bits=16)
    holed = sound.copy()
    holed[:, 3 * 48_000 : 5 * 48_000] = 0
    path = tmp_path / "hole.mkv"
    encode(tmp_path / "whole.mkv", Recipe("pcm_s16le", "s16", channels=1), [sound])
    drop_packets(tmp_path / "whole.mkv", path, 3 * 48_000, 5 * 48_000)
    with open_audio(MediaSource(str(path)), cache=PcmCache(tmp_path / "pcm")) as reader:
        assert reader.length_samples == holed.shape[1]
        truth = holed.astype(np.float32)
        for start, end in [*ranges(holed.shape[1]), (140_000, 150_000), (239_000, 241_000), (160_000, 170_000)]:
            assert np.array_equal(reader.read(start, end), cut(truth, start, end)), (start, end)


def drop_packets(source: Path, target: Path, start_sample: int, end_sample: int) -> None:
    import av

    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = reading.streams.audio[0]
        copied = writing.add_stream_from_template(stream)
        for packet in reading.demux(stream):
            if packet.pts is None or stream.time_base is None:
                continue
            place = packet.pts * stream.time_base * 48_000
            if not start_sample <= place < end_sample:
                packet.stream = copied
                writing.mux(packet)
