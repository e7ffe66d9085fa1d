"""Where nobody speaks there is silence, and what is spoken is not cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from server.audio import ArraySource, Collect, Recorder
from stemline_server.engines.base import AudioSource, EnginePrompt
from stemline_server.engines.embedded import EmbeddedEngine, speech
from stemline_server.engines.embedded.deepfilter import SpeechBlock
from stemline_server.engines.embedded.speech import Speech
from stemline_server.pipeline import PipelineTask, separate

RATE = 48_000


def spoken(*voiced: bool) -> Iterator[SpeechBlock]:
    """A block of ones for each second, with the levels of a voice or of noise."""
    for is_voice in voiced:
        snr_db = np.full(100, -14, np.float32)
        snr_db[:20] = 5 if is_voice else -14
        yield SpeechBlock(np.ones((1, RATE), np.float32), snr_db)


@pytest.mark.parametrize(
    ("voiced", "heard"),
    [
        ((False,) * 6, "______"),
        ((True,) * 6, "######"),
        ((True,), "#"),
        ((False, False, False, False, True, False, False, False), "__#####_"),
        ((True, False, False, False, True), "#####"),
    ],
)
def test_seconds_near_a_voice_are_kept_and_others_are_silent(
    voiced: tuple[bool, ...], heard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocks(audio: AudioSource) -> Iterator[SpeechBlock]:
        return spoken(*voiced)

    monkeypatch.setattr(speech, "speech_blocks", blocks)
    length = len(voiced) * RATE
    with Speech(ArraySource(np.zeros((1, length), np.float32), RATE), lambda: None) as found:
        sound = found.read(0, length)[0].reshape(len(voiced), RATE)
    assert "".join("#" if second[RATE // 2 :].all() else "_" for second in sound) == heard
    assert (found.confidence > 0.5) == any(voiced)


def test_any_part_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def blocks(audio: AudioSource) -> Iterator[SpeechBlock]:
        for number in range(4):
            yield SpeechBlock(np.full((1, RATE), number, np.float32), np.full(100, 5, np.float32))

    monkeypatch.setattr(speech, "speech_blocks", blocks)
    control = Recorder()
    with Speech(ArraySource(np.zeros((1, 4 * RATE), np.float32), RATE), lambda: control.step(0, 1)) as found:
        np.testing.assert_array_equal(found.read(3 * RATE - 1, 3 * RATE + 1), [[2, 3]])
        np.testing.assert_array_equal(found.read(0, 2), [[0, 0]])
    assert len(control.steps) == 4


def test_noise_is_silence_and_said_not_to_hold_speech() -> None:
    noise = (0.05 * np.random.default_rng(0).standard_normal((1, 2 * RATE))).astype(np.float32)
    sink, control = Collect(), Recorder()
    separate(PipelineTask(ArraySource(noise, RATE), (EnginePrompt("speech"),)), EmbeddedEngine(), control, [sink])
    assert not sink.audio().any()
    assert not control.findings[0].found
