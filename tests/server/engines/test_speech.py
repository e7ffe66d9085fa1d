"""Risks: noise where there is no speech, speech cut at its ends, samples that change when they are read again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from server.audio import ArraySource, Collect, Recorder
from stemline_server.engines.base import AudioSource, EnginePrompt
from stemline_server.engines.embedded import EmbeddedEngine, deepfilter
from stemline_server.engines.embedded.deepfilter import SpeechSource
from stemline_server.engines.embedded.spooled_source import ScoredBlock
from stemline_server.pipeline import PipelineTask, separate

RATE = 48_000


def speech_blocks(*voiced: bool) -> Iterator[ScoredBlock]:
    """A block of ones for each second, with the speech-to-noise ratios of a voice or of noise."""
    for is_voice in voiced:
        snr_db = np.full(100, -14, np.float32)
        snr_db[:20] = 5 if is_voice else -14
        yield ScoredBlock(np.ones((1, RATE), np.float32), snr_db)


@pytest.mark.parametrize(
    ("voiced", "expected"),
    [
        ((False,) * 6, "______"),
        ((True,) * 6, "######"),
        ((True,), "#"),
        ((False, False, False, False, True, False, False, False), "__#####_"),
        ((True, False, False, False, True), "#####"),
    ],
)
def test_seconds_far_from_a_voice_are_silent_and_others_pass(
    voiced: tuple[bool, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocks(audio: AudioSource) -> Iterator[ScoredBlock]:
        return speech_blocks(*voiced)

    monkeypatch.setattr(deepfilter, "speech_blocks", blocks)
    length = len(voiced) * RATE
    with SpeechSource(ArraySource(np.zeros((1, length), np.float32), RATE), lambda: None) as speech:
        sound = speech.read(0, length)[0].reshape(len(voiced), RATE)
    assert "".join("#" if second[RATE // 2 :].all() else "_" for second in sound) == expected
    assert (speech.confidence > 0.5) == any(voiced)


def test_any_part_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def blocks(audio: AudioSource) -> Iterator[ScoredBlock]:
        for number in range(4):
            yield ScoredBlock(np.full((1, RATE), number, np.float32), np.full(100, 5, np.float32))

    monkeypatch.setattr(deepfilter, "speech_blocks", blocks)
    control = Recorder()
    with SpeechSource(ArraySource(np.zeros((1, 4 * RATE), np.float32), RATE), lambda: control.step(0, 1)) as speech:
        np.testing.assert_array_equal(speech.read(3 * RATE - 1, 3 * RATE + 1), [[2, 3]])
        np.testing.assert_array_equal(speech.read(0, 2), [[0, 0]])
    assert len(control.steps) == 4


def test_noise_gives_silence_and_is_reported_to_contain_no_speech() -> None:
    noise = (0.05 * np.random.default_rng(0).standard_normal((1, 2 * RATE))).astype(np.float32)
    sink, control = Collect(), Recorder()
    separate(PipelineTask(ArraySource(noise, RATE), (EnginePrompt("speech"),)), EmbeddedEngine(), control, [sink])
    assert not sink.audio().any()
    assert not control.findings[0].found
