"""Risks: noise where there is no speech, speech cut at its ends, samples that change when they are read again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks import deepfilter_runtime
from server.audio import ArraySource, Collect, Recorder
from stemline.errors import Code, SeparationError
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


def test_speech_equals_that_of_the_official_runtime() -> None:
    """A voice, silence, a voice that clips, and a length that is no multiple of a frame."""
    at = np.arange(5 * RATE + 77) / RATE
    voice = 0.2 / (1.1 - np.cos(2 * np.pi * 120 * at + 8 * np.sin(2 * np.pi * 0.7 * at))) - 0.2
    mix = voice * np.clip(np.sin(2 * np.pi * 3 * at), 0, 1) * np.where(at < 3, 0.5, 2.5) * (abs(at - 3) > 0.7)
    mix += 0.01 * np.random.default_rng(0).standard_normal(at.size) * (at > 1.5)
    mix = mix.astype(np.float32)
    expected, expected_snr_db = deepfilter_runtime.run(mix)
    blocks = list(deepfilter.speech_blocks(ArraySource(mix[None], RATE)))
    speech = np.concatenate([block.samples[0] for block in blocks])
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(speech, expected, atol=2e-5)
    snr_db = np.concatenate([block.scores for block in blocks])
    np.testing.assert_allclose(snr_db, expected_snr_db[: snr_db.size], atol=0.01)


def test_changed_weights_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    deepfilter.release()
    monkeypatch.setattr(deepfilter, "_SHA256", "0" * 64)
    assert "install it again" in EmbeddedEngine().availability()
    with pytest.raises(SeparationError) as refused:
        next(deepfilter.speech_blocks(ArraySource(np.zeros((1, RATE), np.float32), RATE)))
    assert refused.value.code is Code.MODEL_UNAVAILABLE
