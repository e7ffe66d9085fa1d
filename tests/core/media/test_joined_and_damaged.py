"""Joined, damaged and changing recordings are read whole, in place, and report what they lack."""

from __future__ import annotations

import random
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from core.media.synthesis import Recipe, encode, music, ramp
from stemline.clips import MediaSource, TimeRange
from stemline.errors import Code, MediaError
from stemline.media import PcmCache, default_sample_format, media_facts, open_audio, probe, source_within

RATE = 48_000
Sound = npt.NDArray[np.float32]


@pytest.fixture
def cache(tmp_path: Path) -> PcmCache:
    return PcmCache(tmp_path / "pcm")


def read_all(path: Path, cache: PcmCache, stream: int = 0) -> Sound:
    with open_audio(MediaSource(str(path), stream), cache=cache) as reader:
        return reader.read(0, reader.length_samples)


def damaged_seconds(path: Path, cache: PcmCache) -> list[float]:
    with open_audio(MediaSource(str(path)), cache=cache) as reader:
        reader.read(0, reader.length_samples)
        return [place.start_sample / reader.sample_rate for place in reader.damage]


def alike(found: Sound, wanted: Sound) -> bool:
    """Return whether two decodes have the same sound in place; noise in AC-3 and AAC depends on the history."""
    return found.shape == wanted.shape and float(np.corrcoef(found.ravel(), wanted.ravel())[0, 1]) > 0.95


def joined(path: Path, parts: list[Path]) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


OGG = {"muxer": "ogg"}
JOINS = {
    "mp2.ts": Recipe("mp2", "s16"),
    "ac3.ts": Recipe("ac3"),
    "aac.ts": Recipe("aac"),
    "video.ts": Recipe("mp2", "s16", video="mpeg2video"),
    "mp2.mpg": Recipe("mp2", "s16", muxer="mpeg"),
    "sound.opus": Recipe("libopus", "flt", muxer="ogg"),
    "flac.oga": Recipe("flac", "s32", muxer="ogg"),
    "sound.flac": Recipe("flac", "s32"),
    "sound.wv": Recipe("wavpack", "s32p"),
    "flac.mka": Recipe("flac", "s32", muxer="matroska"),
    "sound.wav": Recipe("pcm_s24le", "s32"),
}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", JOINS)
def test_all_parts_of_joined_recordings_are_read(name: str, count: int, tmp_path: Path, cache: PcmCache) -> None:
    parts = []
    for number in range(count):
        recipe = JOINS[name]
        options = {"serial_offset": str(number)} if recipe.muxer == "ogg" else {}
        sound = music(2, (2 + number) * RATE, seed=number)
        parts.append(
            encode(
                tmp_path / f"{number}-{name}",
                Recipe(
                    recipe.codec, recipe.frame_format, video=recipe.video, muxer=recipe.muxer, muxer_options=options
                ),
                [sound],
            )
        )
    path = joined(tmp_path / name, parts)
    whole = read_all(path, cache)
    apart = [read_all(part, cache) for part in parts]
    if recipe.video:  # sound before the first picture counts inside a join, but not at the start of a file
        assert 0 <= whole.shape[1] - sum(part.shape[1] for part in apart) < 2 * RATE // 25
        return
    assert whole.shape[1] == sum(part.shape[1] for part in apart)
    start = 0
    for part in apart:
        found = whole[:, start + 4000 : start + part.shape[1]]
        assert alike(found, part[:, 4000:])
        start += part.shape[1]
    assert damaged_seconds(path, cache) == []
    with open_audio(MediaSource(str(path)), cache=cache) as reader:
        late = apart[0].shape[1] + 5000
        assert np.array_equal(reader.read(late, late + 700), whole[:, late : late + 700])


@pytest.mark.parametrize("jump_s", [11, 1200, 40_000])
def test_a_clock_jump_in_a_transport_stream_makes_no_silence(jump_s: int, tmp_path: Path, cache: PcmCache) -> None:
    recipe = Recipe("mp2", "s16")
    first = encode(tmp_path / "a.ts", recipe, [music(2, 2 * RATE)])
    ahead = Recipe("mp2", "s16", start_sample=(2 + jump_s) * RATE)
    second = encode(tmp_path / "b.ts", ahead, [music(2, 2 * RATE, seed=1)])
    path = joined(tmp_path / "jump.ts", [first, second])
    lengths = [probe(each).streams[0].length_samples for each in (first, second)]
    assert probe(path).streams[0].length_samples == sum(lengths)
    assert not np.any(np.all(read_all(path, cache)[:, 4000:] == 0, axis=0))


def test_a_gap_below_ten_seconds_in_a_transport_stream_stays_silent(tmp_path: Path, cache: PcmCache) -> None:
    first = encode(tmp_path / "a.ts", Recipe("mp2", "s16"), [music(2, 2 * RATE)])
    second = encode(tmp_path / "b.ts", Recipe("mp2", "s16", start_sample=7 * RATE), [music(2, 2 * RATE)])
    path = joined(tmp_path / "gap.ts", [first, second])
    assert probe(path).streams[0].length_samples == pytest.approx(9 * RATE, abs=2 * 1152)


DISTANCES = {
    "two.mka": Recipe("flac", "s32", 1, muxer="matroska"),
    "two.mov": Recipe("pcm_s16le", "s16", 1),
    "two.ts": Recipe("mp2", "s16", 1),
    "two.ogg": Recipe("libopus", "flt", 1),
    "two.webm": Recipe("libopus", "flt", 1),
    "two.m4a": Recipe("aac", "fltp", 1),
}


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("name", DISTANCES)
def test_tracks_without_a_picture_keep_their_distance(name: str, late: int, tmp_path: Path, cache: PcmCache) -> None:
    """A track that starts 1.25 s late begins with 1.25 s of silence, whichever track is first in the file."""
    path = two_tracks(tmp_path / name, DISTANCES[name], late)
    lengths = [stream.length_samples for stream in probe(path).streams]
    assert lengths[late] - lengths[1 - late] == pytest.approx(60_000, abs=1100)
    late_sound, sound = read_all(path, cache, late), read_all(path, cache, 1 - late)
    assert np.abs(late_sound[:, : 60_000 - 1100]).max() == 0
    assert np.abs(late_sound[:, 61_100:65_000]).max() > 0.01
    assert np.abs(sound[:, 3000:9000]).max() > 0.01


def two_tracks(path: Path, recipe: Recipe, late: int) -> Path:
    import av

    sounds = [music(1, 3 * RATE, seed=number) for number in range(2)]
    apart = [
        encode(
            path.with_name(f"{number}-{path.stem}.mka"),
            Recipe(
                recipe.codec, recipe.frame_format, 1, start_sample=60_000 if number == late else 0, muxer="matroska"
            ),
            [sounds[number]],
        )
        for number in range(2)
    ]
    inputs = [av.open(str(each)) for each in apart]
    with av.open(str(path), "w", format=recipe.muxer) as writing:
        streams = [writing.add_stream_from_template(each.streams.audio[0]) for each in inputs]
        packets = [
            (packet.pts * packet.time_base, number, packet)
            for number, each in enumerate(inputs)
            for packet in each.demux(each.streams.audio[0])
            if packet.pts is not None
        ]
        for _, number, packet in sorted(packets, key=lambda entry: entry[:2]):
            packet.stream = streams[number]
            writing.mux(packet)
    for each in inputs:
        each.close()
    return path


def test_an_empty_edit_of_a_mov_without_a_picture_is_silence(tmp_path: Path, cache: PcmCache) -> None:
    sound = ramp(1, 2 * RATE, bits=16)
    path = encode(tmp_path / "late.mov", Recipe("pcm_s16le", "s16", 1, start_sample=60_000), [sound])
    whole = read_all(path, cache)
    assert np.array_equal(whole, np.concatenate([np.zeros((1, 60_000)), sound], axis=1).astype(np.float32))


EDITED = {
    "pcm.mov": Recipe("pcm_s16le", "s16", 1),
    "alac.m4a": Recipe("alac", "s16p", 1),
    "film.mov": Recipe("pcm_s16le", "s16", 1, video="mpeg4"),
}


@pytest.mark.parametrize("name", EDITED)
def test_an_edit_list_joins_ranges_on_their_samples(name: str, tmp_path: Path, cache: PcmCache) -> None:
    """Ranges start and end inside packets, and one lies earlier in the media than the one before it."""
    sound = ramp(1, 4 * RATE, bits=16)
    path = encode(tmp_path / name, EDITED[name], [sound])
    set_edits(path, [(1000, 0), (1000, 96_000), (500, -1), (250, 10_000)])
    silence = np.zeros((1, 24_000))
    parts = [sound[:, :48_000], sound[:, 96_000:144_000], silence, sound[:, 10_000:22_000]]
    wanted = np.concatenate(parts, axis=1).astype(np.float32)
    assert np.array_equal(read_all(path, cache), wanted)
    with open_audio(MediaSource(str(path)), cache=cache) as reader:
        for start, end in ((47_990, 48_010), (95_999, 96_001), (119_000, 121_000), (131_000, 132_000)):
            assert np.array_equal(reader.read(start, end), wanted[:, start:end])


def set_edits(path: Path, edits: list[tuple[int, int]]) -> None:
    """Give the sound of a MOV or MP4 the edits (milliseconds, sample of the media; -1 for silence)."""
    data = bytearray(path.read_bytes())
    moov = box_at(data, b"moov", 0)
    track = moov + 8
    while b"soun" not in data[track : track + int.from_bytes(data[track : track + 4], "big")]:
        track += int.from_bytes(data[track : track + 4], "big")
    body = struct.pack(">II", 0, len(edits))
    body += b"".join(struct.pack(">IiI", length, media, 0x10000) for length, media in edits)
    box = struct.pack(">I4sI4s", len(body) + 16, b"edts", len(body) + 8, b"elst") + body
    old = box_at(data, b"edts", track + 8)
    size = int.from_bytes(data[old : old + 4], "big")
    data[old : old + size] = box
    for parent in (moov, track):
        grown = int.from_bytes(data[parent : parent + 4], "big") + len(box) - size
        data[parent : parent + 4] = grown.to_bytes(4, "big")
    path.write_bytes(data)


def box_at(data: bytearray, name: bytes, position: int) -> int:
    while data[position + 4 : position + 8] != name:
        position += int.from_bytes(data[position : position + 4], "big")
    return position


LOST_PACKETS = {"ac3.ts": "ac3", "eac3.ts": "eac3", "aac.ts": "aac", "mp2.ts": "mp2"}


@pytest.mark.parametrize("name", LOST_PACKETS)
def test_a_lost_broadcast_packet_is_silence_and_is_reported(name: str, tmp_path: Path, cache: PcmCache) -> None:
    codec = LOST_PACKETS[name]
    recipe = Recipe(codec, "s16" if codec == "mp2" else "fltp")
    whole = encode(tmp_path / f"whole-{name}", recipe, [music(2, 10 * RATE)])
    data = whole.read_bytes()
    middle = len(data) // 376
    path = tmp_path / name
    path.write_bytes(data[: 188 * middle] + data[188 * middle + 188 :])
    assert probe(path).streams[0].length_samples == probe(whole).streams[0].length_samples
    places = damaged_seconds(path, cache)
    assert len(places) == 1
    assert 4 < places[0] < 6
    assert np.array_equal(read_all(path, cache)[:, : 4 * RATE], read_all(whole, cache)[:, : 4 * RATE])


@pytest.mark.parametrize("name", ["mp2.ts", "ac3.ts", "aac.ts"])
def test_damage_at_fifty_places_moves_no_sound(name: str, tmp_path: Path, cache: PcmCache) -> None:
    codec = LOST_PACKETS[name]
    recipe = Recipe(codec, "s16" if codec == "mp2" else "fltp")
    whole = encode(tmp_path / f"whole-{name}", recipe, [music(2, 40 * RATE)])
    data = bytearray(whole.read_bytes())
    seeded = random.Random(1)
    for _ in range(50):
        place = seeded.randrange(len(data) // 20, len(data) * 19 // 20)
        data[place : place + 40] = seeded.randbytes(40)
    path = tmp_path / name
    path.write_bytes(data)
    length = probe(whole).streams[0].length_samples
    assert probe(path).streams[0].length_samples == length
    assert 3 < len(damaged_seconds(path, cache)) <= 50
    found, wanted = read_all(path, cache), read_all(whole, cache)
    seconds = [slice(start, start + RATE) for start in range(0, length - RATE, RATE)]
    in_place = [alike(found[:, second], wanted[:, second]) for second in seconds]
    assert sum(in_place) > len(seconds) / 2
    assert any(in_place[-5:]), "sound after the damage is in its place"


@pytest.mark.parametrize("seed", [42, 1, 2])
def test_damaged_alac_is_decoded_to_its_end(seed: int, tmp_path: Path, cache: PcmCache) -> None:
    """The decoder raises several kinds of errors."""
    path = encode(tmp_path / "a.m4a", Recipe("alac", "s32p"), [music(2, 8 * RATE)])
    data = bytearray(path.read_bytes())
    seeded = random.Random(seed)
    for _ in range(3):
        place = seeded.randrange(len(data) // 20, len(data) * 9 // 10)
        data[place : place + 200] = seeded.randbytes(200)
    path.write_bytes(data)
    assert read_all(path, cache).shape[1] == 8 * RATE
    assert damaged_seconds(path, cache)


DEMUXED = {
    "sound.mka": Recipe("flac", "s32", muxer="matroska"),
    "sound.oga": Recipe("flac", "s32", muxer="ogg"),
    "sound.wv": Recipe("wavpack", "fltp"),
}


@pytest.mark.parametrize("name", DEMUXED)
def test_an_error_of_the_demuxer_does_not_end_the_file(name: str, tmp_path: Path, cache: PcmCache) -> None:
    path = encode(tmp_path / name, DEMUXED[name], [music(2, 12 * RATE)])
    whole = read_all(path, cache)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100_000] = random.Random(3).randbytes(100_000)
    path.write_bytes(data)
    found = read_all(path, cache)
    assert found.shape == whole.shape
    assert np.array_equal(found[:, -2 * RATE :], whole[:, -2 * RATE :])
    assert damaged_seconds(path, cache)


def test_nonfinite_wavpack_samples_are_silenced_and_counted(tmp_path: Path, cache: PcmCache) -> None:
    sound = music(2, RATE)
    sound[:, 5000:5003] = np.nan, np.inf, -np.inf
    path = encode(tmp_path / "a.wv", Recipe("wavpack", "fltp"), [sound])
    with open_audio(MediaSource(str(path)), cache=cache) as reader:
        found = reader.read(0, reader.length_samples)
        assert reader.nonfinite_samples == 6
    assert np.all(found[:, 5000:5003] == 0)
    assert np.array_equal(found[:, 6000:], sound[:, 6000:].astype(np.float32))


def test_a_damaged_last_page_of_ogg_is_reported(tmp_path: Path, cache: PcmCache) -> None:
    path = encode(tmp_path / "a.opus", Recipe("libopus", "flt", muxer="ogg"), [music(2, 5 * RATE)])
    assert not damaged_seconds(path, cache)
    data = bytearray(path.read_bytes())
    data[-20:-10] = bytes(10)
    path.write_bytes(data)
    assert damaged_seconds(path, cache)


CHANGES = {
    "5.1, stereo": ("ac3", [6, 2]),
    "stereo, 5.1": ("ac3", [2, 6]),
    "stereo, 5.1, stereo": ("aac", [2, 6, 2]),
    "5.1, stereo, 5.1": ("ac3", [6, 2, 6]),
    "mono, stereo": ("mp2", [1, 2]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_channels_that_change_on_the_way_are_all_separated(name: str, tmp_path: Path, cache: PcmCache) -> None:
    codec, counts = CHANGES[name]
    kind = "s16" if codec == "mp2" else "fltp"
    files = [
        encode(tmp_path / f"{number}.ts", Recipe(codec, kind, count), [music(count, 2 * RATE, seed=number)])
        for number, count in enumerate(counts)
    ]
    path = joined(tmp_path / "changes.ts", files)
    source = MediaSource(str(path))
    facts = media_facts(source)
    assert facts.channels == max(counts)
    assert [len(section.channels) for section in facts.sections] == counts
    for section, file in zip(facts.sections, files, strict=True):
        used = TimeRange(Fraction(section.start_sample, RATE), Fraction(section.end_sample, RATE))
        with open_audio(source_within(source, facts, used), cache=cache) as reader:
            found = reader.read(section.start_sample + 4000, section.start_sample + 60_000)
        assert alike(found, read_all(file, cache)[:, 4000:60_000])
    across = TimeRange(Fraction(0), Fraction(facts.length_samples, RATE))
    assert source_within(source, facts, across) == source


def test_a_sample_rate_that_changes_keeps_time(tmp_path: Path, cache: PcmCache) -> None:
    first = encode(tmp_path / "a.ts", Recipe("aac"), [music(2, 2 * RATE)])
    second = encode(tmp_path / "b.ts", Recipe("aac", sample_rate=44_100), [music(2, 2 * 44_100)])
    path = joined(tmp_path / "rates.ts", [first, second])
    facts = media_facts(MediaSource(str(path)))
    assert facts.sample_rate == RATE
    assert facts.length_samples == pytest.approx(4 * RATE, abs=4 * 1024)
    assert [section.sample_rate for section in facts.sections] == [48_000, 44_100]
    assert np.abs(read_all(path, cache)[:, -RATE:]).max() > 0.1


def test_a_stream_without_a_decoder_does_not_stop_the_others(tmp_path: Path, cache: PcmCache) -> None:
    """Films of phones have a second sound track of a codec that FFmpeg does not support."""
    path = encode(tmp_path / "phone.mov", Recipe("aac", channels=1, video="mpeg4"), [music(1, 2 * RATE)] * 2)
    data = bytearray(path.read_bytes())
    entry = data.index(b"mp4a", data.rindex(b"stsd"))  # of the second track, with a copy inside
    for name, disguise in ((b"mp4a", b"apac"), (b"mp4a", b"xxxx"), (b"esds", b"dapa")):
        entry = data.index(name, entry)
        data[entry : entry + 4] = disguise
    path.write_bytes(data)
    streams = probe(path).streams
    assert [stream.length_samples > 0 for stream in streams] == [True, False]
    assert default_sample_format(MediaSource(str(path))) == "wav24"
    assert read_all(path, cache).shape == (1, streams[0].length_samples)
    with pytest.raises(MediaError) as raised:
        media_facts(MediaSource(str(path), 1))
    assert raised.value.code is Code.MEDIA_UNSUPPORTED


@pytest.mark.parametrize(
    "url", ["http://example.com/a.wav", "https://example.com/a.wav", "file:///tmp/a.wav", "s3://b/a"]
)
def test_a_url_is_reported_as_a_url(url: str, tmp_path: Path) -> None:
    for path in (url, str((tmp_path / url).absolute())):
        with pytest.raises(MediaError) as raised:
            probe(path)
        assert raised.value.code is Code.MEDIA_MISSING
        assert "URL" in raised.value.message
        assert raised.value.advice
