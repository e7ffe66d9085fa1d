"""Speech is taken away before other sounds are looked for, but never a sound that only one of two takes for speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import pytest

from server.audio import ArraySource, Recorder
from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.engines.embedded.background import Judge, Rest
from stemline_server.engines.embedded.net_separator import Net, NetQuery, Separation, Sureness

RATE = 48_000
SECONDS = 40


@dataclass
class Listener:
    """Stands for the net: takes the whole mix for speech, or something that has nothing to do with it."""

    presence: float
    agrees: bool
    windows: int = 0

    def separate(self, audio: AudioSource, queries: Sequence[NetQuery], control: Control) -> Separation:
        self.windows += 1
        mix = audio.read(0, audio.length_samples)
        other = np.random.default_rng(0).standard_normal(mix.shape).astype(np.float32)

        def blocks() -> Iterator[Waveform]:
            yield mix if self.agrees else other

        heard = Sureness.nothing(1)
        heard.presence[0] = self.presence
        return Separation(blocks(), heard)


def rest_of(mix: Waveform, speech: Waveform, listener: Listener) -> Rest:
    heard, spoken = ArraySource(mix, RATE), ArraySource(speech, RATE)
    return Rest(heard, spoken, Judge(heard, spoken, cast(Net, listener), Recorder()).spoken())


@pytest.fixture
def speech() -> Waveform:
    return (0.1 * np.random.default_rng(1).standard_normal((1, SECONDS * RATE))).astype(np.float32)


def test_speech_on_which_both_agree_is_taken_away(speech: Waveform) -> None:
    rest = rest_of(2 * speech, speech, Listener(0.95, agrees=True))
    np.testing.assert_allclose(rest.read(0, SECONDS * RATE), speech, atol=1e-6)


@pytest.mark.parametrize("listener", [Listener(0.4, agrees=True), Listener(0.95, agrees=False)])
def test_otherwise_nothing_is(speech: Waveform, listener: Listener) -> None:
    np.testing.assert_array_equal(rest_of(2 * speech, speech, listener).read(0, RATE), 2 * speech[:, :RATE])


def test_where_nobody_speaks_the_net_is_not_asked(speech: Waveform) -> None:
    listener = Listener(0.95, agrees=True)
    np.testing.assert_array_equal(rest_of(speech, 0 * speech, listener).read(0, 9 * RATE), speech[:, : 9 * RATE])
    assert listener.windows == 0


def test_it_fades_between_segments_the_same_however_it_is_read(speech: Waveform) -> None:
    speech[:, : 30 * RATE] = 0
    mix = speech + np.float32(0.01)
    pieces = (0, 7, 11 * RATE, 27 * RATE + 3, 28 * RATE + 1, SECONDS * RATE)
    whole = rest_of(mix, speech, Listener(0.95, agrees=True)).read(0, SECONDS * RATE)
    rest = rest_of(mix, speech, Listener(0.95, agrees=True))
    parts = [rest.read(start, end) for start, end in pairwise(pieces)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_allclose(whole, 0.01, atol=1e-6)


@pytest.mark.parametrize("agrees", [True, False])
def test_it_is_speech_before_music_where_the_net_takes_the_rest_for_music(speech: Waveform, agrees: bool) -> None:
    heard, quiet = ArraySource(speech, RATE), ArraySource(np.float32(0.1) * speech, RATE)
    share = Judge(heard, quiet, cast(Net, Listener(0.9, agrees=agrees)), Recorder()).before_music().share(0, RATE)
    np.testing.assert_array_equal(share, 1 if agrees else 0)
