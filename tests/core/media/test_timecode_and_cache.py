"""Source timecode of files, and the cache of decoded sound."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from core.media.synthesis import Recipe, encode, music, plain_decode, ramp
from stemline.clips import MediaSource
from stemline.media import (
    AudioFormat,
    MediaHasher,
    PcmCache,
    SampleFormat,
    SourceTimecode,
    StemTags,
    media_facts,
    open_audio,
    open_writer,
    probe,
)


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mxf", "a.mkv"])
def test_source_timecode_of_video_files(name: str, tmp_path: Path) -> None:
    video = "mpeg2video" if name == "a.mxf" else "mpeg4"
    codec = ("aac", "fltp") if name == "a.mp4" else ("pcm_s16le", "s16")
    recipe = Recipe(*codec, video=video, metadata={"timecode": "10:00:01:05"})
    path = encode(tmp_path / name, recipe, [ramp(2, 96_000, 16)])
    assert probe(path).timecode == SourceTimecode((36_001 * 25) + 5, Fraction(25), False)
    facts = media_facts(MediaSource(str(path)))
    assert facts.timecode_sample == Fraction(36_001 * 48_000 + 9600)
    assert (facts.frame_rate, facts.drop_frame) == (Fraction(25), False)


def test_drop_frame_labels(tmp_path: Path) -> None:
    path = ntsc(tmp_path / "df.mov", "01:00:00;00")
    assert probe(path).timecode == SourceTimecode(107_892, Fraction(30_000, 1001), True)
    facts = media_facts(MediaSource(str(path)))
    assert facts.drop_frame
    assert facts.timecode_sample == Fraction(107_892 * 1001, 30_000) * 48_000
    assert probe(ntsc(tmp_path / "ndf.mov", "01:00:00:00")).timecode == SourceTimecode(
        108_000, Fraction(30_000, 1001), False
    )


def ntsc(path: Path, timecode: str) -> Path:
    import av

    with av.open(str(path), "w") as container:
        container.metadata["timecode"] = timecode
        pictures = container.add_stream("mpeg4", rate=Fraction(30_000, 1001))
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=48_000)
        sound.codec_context.layout = "mono"
        for number in range(30):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1001, 30_000)
            container.mux(pictures.encode(picture))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(sound.encode(frame))
        for stream in (pictures, sound):
            container.mux(stream.encode(None))
    return path


def test_a_missing_timecode_is_none(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mov", Recipe("pcm_s16le", "s16"), [ramp(2, 4800, 16)])
    assert probe(path).timecode is None
    assert media_facts(MediaSource(str(path))).timecode_sample == 0


def test_time_reference_of_wave_files(tmp_path: Path) -> None:
    tags = StemTags(time_reference_sample=48_000 * 36_000 + 7)
    with open_writer(tmp_path / "a.wav", AudioFormat(SampleFormat.WAV24, 48_000, 1), tags) as writer:
        writer.write(np.zeros((1, 100), np.float32))
    assert media_facts(MediaSource(str(tmp_path / "a.wav"))).timecode_sample == 48_000 * 36_000 + 7


def test_the_hash_does_not_depend_on_the_blocks() -> None:
    sound = ramp(2, 1000).astype(np.float32)
    whole, parts = MediaHasher(48_000, 2), MediaHasher(48_000, 2)
    whole.update(sound)
    for start in range(0, 1000, 77):
        parts.update(sound[:, start : start + 77])
    expected = hashlib.sha256(b"48000:2:" + sound.T.astype("<f4").tobytes()).hexdigest()
    assert whole.name() == parts.name() == f"media/{expected}"


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return encode(tmp_path / "a.mkv", Recipe("ac3"), [music(2, 6 * 48_000)])


def late_range(path: Path, cache: PcmCache) -> npt.NDArray[np.float32]:
    with open_audio(MediaSource(str(path)), cache=cache) as reader:
        return reader.read(200_000, 210_000)


def test_a_stream_is_decoded_once_and_again_after_a_change(noisy: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    cache = PcmCache(tmp_path / "pcm", progress=lambda done, total: heard.append((done, total)))
    first = late_range(noisy, cache)
    assert heard[-1][0] == heard[-1][1] == probe(noisy).streams[0].length_samples
    heard.clear()
    assert np.array_equal(late_range(noisy, cache), first)
    assert heard == []
    assert json.loads(next((tmp_path / "pcm").glob("*.json")).read_text())["channels"] == 2
    encode(noisy, Recipe("ac3"), [music(2, 6 * 48_000, seed=1)])
    assert np.array_equal(late_range(noisy, cache), plain_decode(noisy)[:, 200_000:210_000])
    assert heard


def test_a_half_written_entry_is_decoded_again(noisy: Path, tmp_path: Path) -> None:
    cache = PcmCache(tmp_path / "pcm")
    first = late_range(noisy, cache)
    entry = next((tmp_path / "pcm").glob("*.f32"))
    entry.write_bytes(entry.read_bytes()[:1000])
    assert np.array_equal(late_range(noisy, cache), first)
    entry.with_suffix(".json").unlink()
    assert np.array_equal(late_range(noisy, cache), first)


def test_the_least_recently_used_entries_are_deleted_above_the_limit(noisy: Path, tmp_path: Path) -> None:
    size = probe(noisy).streams[0].length_samples * 8
    cache = PcmCache(tmp_path / "pcm", limit_bytes=size * 2)
    paths = [noisy]
    for number in (1, 2):
        paths.append(encode(tmp_path / f"{number}.mkv", Recipe("ac3"), [music(2, 6 * 48_000, seed=number)]))
    truth = [late_range(path, cache) for path in paths]
    assert len(list((tmp_path / "pcm").glob("*.f32"))) == 2
    assert all(np.array_equal(late_range(path, cache), first) for path, first in zip(paths, truth, strict=True))


READ = """
import sys
from stemline.clips import MediaSource
from stemline.media import PcmCache, open_audio
import hashlib
with open_audio(MediaSource(sys.argv[1]), cache=PcmCache(sys.argv[2])) as reader:
    print(hashlib.sha256(reader.read(200_000, 210_000).tobytes()).hexdigest())
"""


def test_several_processes_share_the_cache(noisy: Path, tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", READ, noisy, tmp_path / "pcm"], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate()[0].strip() for process in running}
    expected = np.ascontiguousarray(plain_decode(noisy)[:, 200_000:210_000])
    assert answers == {hashlib.sha256(expected.tobytes()).hexdigest()}
    assert len(list((tmp_path / "pcm").glob("*.f32"))) == 1
    assert not list((tmp_path / "pcm").glob(".*.part"))


def test_parts_of_a_killed_process_are_deleted_after_a_day(noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "pcm").mkdir()
    old, new = tmp_path / "pcm" / ".old.part", tmp_path / "pcm" / ".new.part"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, 0))
    late_range(noisy, PcmCache(tmp_path / "pcm"))
    assert (old.exists(), new.exists()) == (False, True)
