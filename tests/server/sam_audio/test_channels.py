"""Risks of a generative estimate in the pipeline: a panned sound that moves, a channel that is lost."""

from __future__ import annotations

import numpy as np
import pytest

from server.audio import ArraySource as MediaSource
from server.audio import Collect
from server.sam_audio.generated import ArraySource, Recorder, sounds
from stemline_server.engines.base import EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.sam_audio.engine import SamAudioEngine
from stemline_server.pipeline import PipelineTask, Policy, separate

DOG = EnginePrompt("dog barking")


def stem_of(engine: SamAudioEngine, mix: Waveform, channels: Policy = "linked") -> tuple[Waveform, Recorder]:
    sink, control = Collect(), Recorder()
    separate(PipelineTask(MediaSource(mix, 48000), (DOG,), channels=channels, seed=1), engine, control, [sink])
    return sink.audio(), control


def estimate(engine: SamAudioEngine, mono: Waveform) -> Waveform:
    request = EngineRequest(ArraySource(mono), (DOG,), seed=1)
    stem: Waveform = np.concatenate(list(engine.separate(request, Recorder())), axis=2)[0]
    return stem


def panned(left: float, right: float) -> Waveform:
    return np.concatenate((left * sounds(1), right * sounds(1))).astype(np.float32)


def test_a_mono_stem_is_the_unchanged_output_with_its_watermark(engine: SamAudioEngine) -> None:
    stem, control = stem_of(engine, sounds(1))
    np.testing.assert_array_equal(stem, estimate(engine, sounds(1)))
    notes = dict(control.findings[0].notes)
    assert len(notes["watermark"]) == 16
    assert "channels" not in notes


def test_a_dual_mono_stem_is_equal_on_both_channels(engine: SamAudioEngine) -> None:
    stem, _ = stem_of(engine, panned(1, 1))
    np.testing.assert_array_equal(stem[0], stem[1])
    np.testing.assert_allclose(stem[:1], estimate(engine, sounds(1)), atol=1e-6)


def test_a_panned_sound_keeps_its_position(engine: SamAudioEngine) -> None:
    stem, _ = stem_of(engine, panned(0.9, 0.3))
    np.testing.assert_allclose(stem[1], stem[0] / 3, atol=1e-3)
    assert np.abs(stem[0]).max() > 0.01


@pytest.mark.parametrize("kind", ["antiphase", "lav and boom"])
def test_channels_that_a_mono_sum_would_lose_are_estimated_separately(engine: SamAudioEngine, kind: str) -> None:
    second = -sounds(1) if kind == "antiphase" else sounds(1, seed=8)[:, ::-1].copy()
    stem, control = stem_of(engine, np.concatenate((sounds(1), second)))
    assert dict(control.findings[0].notes)["channels"] == "an estimate of 1 alone; an estimate of 2 alone"
    np.testing.assert_allclose(stem[:1], estimate(engine, sounds(1)), atol=1e-5)
    np.testing.assert_allclose(stem[1:], estimate(engine, second), atol=1e-5)


def test_a_surround_stem_keeps_levels_and_silent_channels(engine: SamAudioEngine) -> None:
    mix = np.concatenate([gain * sounds(1) for gain in (0.5, 0.5, 0.9, 0.0, 0.2, 0.2)]).astype(np.float32)
    stem, control = stem_of(engine, mix)
    notes = dict(control.findings[0].notes)
    assert notes["channels"] == "one estimate of 1+2+3+5+6, carried to each"
    assert len(notes["watermark"]) == 16
    assert stem.shape == (6, 48000)
    assert not stem[3].any()
    np.testing.assert_allclose(stem[4], stem[0] * 0.4, atol=1e-3)


def test_the_policy_each_estimates_every_channel_separately(engine: SamAudioEngine) -> None:
    stem, _ = stem_of(engine, panned(0.9, 0.3), channels="each")
    np.testing.assert_allclose(stem[1:], estimate(engine, 0.3 * sounds(1)), atol=1e-5)
