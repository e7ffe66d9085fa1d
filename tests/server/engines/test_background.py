"""Risks: a sound removed as speech that only one of two models takes for speech, seams between segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import pytest

from server.audio import ArraySource, Recorder
from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.engines.embedded.background import BackgroundSource, SpeechVerifier
from stemline_server.engines.embedded.net_separator import Evidence, NetQuery, NetSeparation, NetSeparator
from stemline_server.engines.embedded.voice_activity import VoiceDetector

RATE = 48_000
SECONDS = 40


@dataclass
class FakeNet:
    """Separates the whole mix, or noise that has nothing to do with it."""

    presence: float
    agrees: bool
    windows: int = 0

    def separate(self, audio: AudioSource, queries: Sequence[NetQuery], control: Control) -> NetSeparation:
        self.windows += 1
        mix = audio.read(0, audio.length_samples)
        other = np.random.default_rng(0).standard_normal(mix.shape).astype(np.float32)

        def blocks() -> Iterator[Waveform]:
            yield mix if self.agrees else other

        evidence = Evidence.none(1)
        evidence.presence[0] = self.presence
        return NetSeparation(blocks(), evidence)


def background_of(mix: Waveform, speech: Waveform, net: FakeNet) -> BackgroundSource:
    audio, voice = ArraySource(mix, RATE), ArraySource(speech, RATE)
    verifier = SpeechVerifier(audio, voice, cast(NetSeparator, net), Recorder())
    return BackgroundSource(audio, voice, verifier.confirmed_speech())


@pytest.fixture
def speech() -> Waveform:
    return (0.1 * np.random.default_rng(1).standard_normal((1, SECONDS * RATE))).astype(np.float32)


def test_speech_that_both_models_find_is_removed(speech: Waveform) -> None:
    background = background_of(2 * speech, speech, FakeNet(0.95, agrees=True))
    np.testing.assert_allclose(background.read(0, SECONDS * RATE), speech, atol=1e-6)


@pytest.mark.parametrize("net", [FakeNet(0.4, agrees=True), FakeNet(0.95, agrees=False)])
def test_speech_that_only_one_model_finds_is_not_removed(speech: Waveform, net: FakeNet) -> None:
    np.testing.assert_array_equal(background_of(2 * speech, speech, net).read(0, RATE), 2 * speech[:, :RATE])


def test_the_net_does_not_run_where_a_needed_speech_estimate_is_silent(speech: Waveform) -> None:
    net = FakeNet(0.95, agrees=True)
    np.testing.assert_array_equal(background_of(speech, 0 * speech, net).read(0, 9 * RATE), speech[:, : 9 * RATE])
    assert net.windows == 0


@dataclass
class FakeDetector:
    """Hears a voice in a share of the frames."""

    share: float

    def speech_share(self, wave: Waveform) -> float:
        return self.share


@pytest.mark.parametrize(("share", "is_removed"), [(0.19, False), (0.2, True)])
@pytest.mark.parametrize("needs_speech", [True, False])
def test_speech_is_not_removed_where_the_detector_hears_no_voice(
    speech: Waveform, share: float, is_removed: bool, needs_speech: bool
) -> None:
    audio, voice = ArraySource(2 * speech, RATE), ArraySource(speech, RATE)
    net, detector = cast(NetSeparator, FakeNet(0.95, agrees=True)), cast(VoiceDetector, FakeDetector(share))
    verifier = SpeechVerifier(audio, voice, net, Recorder(), needs_speech, detector)
    assert verifier.confirmed_speech().envelope(0, RATE).any() == is_removed


def test_the_detector_alone_does_not_remove_speech(speech: Waveform) -> None:
    audio, voice = ArraySource(2 * speech, RATE), ArraySource(speech, RATE)
    net, detector = cast(NetSeparator, FakeNet(0.95, agrees=False)), cast(VoiceDetector, FakeDetector(1.0))
    verifier = SpeechVerifier(audio, voice, net, Recorder(), True, detector)
    assert not verifier.confirmed_speech().envelope(0, RATE).any()


class CountingSource(ArraySource):
    """Counts how often it is read."""

    reads = 0

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        self.reads += 1
        return super().read(start_sample, end_sample)


@pytest.mark.parametrize(("presence", "reads"), [(0.849, 0), (0.85, 1)])
def test_an_unneeded_speech_estimate_is_not_computed_where_the_net_finds_no_speech(
    speech: Waveform, presence: float, reads: int
) -> None:
    audio, voice = ArraySource(2 * speech, RATE), CountingSource(speech, RATE)
    net = cast(NetSeparator, FakeNet(presence, agrees=True))
    decisions = SpeechVerifier(audio, voice, net, Recorder(), needs_speech=False).confirmed_speech()
    assert decisions.envelope(0, RATE).any() == bool(reads)
    assert voice.reads == reads


@pytest.mark.parametrize("net", [FakeNet(0.4, True), FakeNet(0.86, True), FakeNet(0.95, True), FakeNet(0.95, False)])
@pytest.mark.parametrize("gain", [0.0, 0.2, 1.0])
def test_the_order_of_the_models_does_not_change_the_decision(speech: Waveform, net: FakeNet, gain: float) -> None:
    audio, voice = ArraySource(speech, RATE), ArraySource(np.float32(gain) * speech, RATE)
    first, second = (
        SpeechVerifier(audio, voice, cast(NetSeparator, net), Recorder(), needed).confirmed_speech().envelope(0, RATE)
        for needed in (True, False)
    )
    np.testing.assert_array_equal(first, second)


def test_fades_between_segments_do_not_depend_on_the_ranges_that_are_read(speech: Waveform) -> None:
    speech[:, : 30 * RATE] = 0
    mix = speech + np.float32(0.01)
    pieces = (0, 7, 11 * RATE, 27 * RATE + 3, 28 * RATE + 1, SECONDS * RATE)
    whole = background_of(mix, speech, FakeNet(0.95, agrees=True)).read(0, SECONDS * RATE)
    background = background_of(mix, speech, FakeNet(0.95, agrees=True))
    parts = [background.read(start, end) for start, end in pairwise(pieces)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_allclose(whole, 0.01, atol=1e-6)
