"""Risks: seams or a shift where windows meet, a wrong length, weights that do not load, sound from silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from server.audio import Recorder
from stemline.clips import SampleRange
from stemline_server.engines.base import EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.embedded import EmbeddedEngine
from stemline_server.engines.embedded import engine as engine_module
from stemline_server.engines.embedded import weights as weights_module
from stemline_server.engines.embedded.net_separator import HOP, NetQuery, NetSeparator, raise_to_level, span_channels
from stemline_server.engines.embedded.sound_net import BANDS, BINS, EDGES, Query, SoundNet, sum_bands
from stemline_server.engines.embedded.weights import WEIGHTS, load_net

S = 48_000


class Sound:
    """A mono source in memory that records the longest read."""

    sample_rate = S
    channels = 1

    def __init__(self, wave: Waveform) -> None:
        self.wave = wave
        self.most = 0

    @property
    def length_samples(self) -> int:
        return int(self.wave.shape[1])

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        assert 0 <= start_sample <= end_sample <= self.length_samples
        self.most = max(self.most, end_sample - start_sample)
        return self.wave[:, start_sample:end_sample]


class NullControl:
    def step(self, done: int, total: int) -> None:
        assert 0 <= done <= total

    def warn(self, prompt: int, code: str, message: str) -> None: ...
    def find(self, prompt: int, finding: object) -> None: ...


class Constant(SoundNet):
    """Returns equal gains and no certainty, so the estimate must be that multiple of the mixture."""

    def forward(
        self, power: torch.Tensor, query: Query, heard: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (len(query.word), power.shape[1], BANDS)
        return torch.full(shape, 0.5), torch.full(shape[:2], -100.0)


class Certain(Constant):
    """Returns full certainty that the sound is present all the time."""

    def forward(
        self, power: torch.Tensor, query: Query, heard: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        gains, active = super().forward(power, query)
        return gains, -active


def noise(samples: int) -> Waveform:
    return (np.random.default_rng(1).standard_normal((1, samples)) * 0.1).astype(np.float32)


@pytest.mark.parametrize(
    "samples", [1, 959, HOP, 7 * HOP + 13, 800 * HOP - HOP, 800 * HOP, 803 * HOP + 5, 1900 * HOP + 77]
)
def test_blocks_are_in_place_and_as_long_as_the_audio(samples: int) -> None:
    sound = Sound(noise(samples))
    net = NetSeparator(Constant(2), ("any", "dog"))
    blocks = list(net.separate(sound, [NetQuery("dog"), NetQuery("any")], NullControl()))
    out = np.concatenate(blocks, axis=1)
    assert out.shape == (2, samples)
    np.testing.assert_allclose(out, np.repeat(sound.wave * 0.5, 2, 0), atol=2e-6)


def test_reads_and_blocks_do_not_grow_with_length() -> None:
    short, long = Sound(noise(1000 * HOP)), Sound(noise(4000 * HOP))
    network = NetSeparator(Constant(1), ("any",))
    for sound in (short, long):
        for block in network.separate(sound, [NetQuery("any")], NullControl()):
            assert block.shape[1] <= 800 * HOP
    assert long.most - short.most <= HOP


def test_spans_mark_the_frames_they_cover() -> None:
    query = NetQuery("any", plus=(SampleRange(10 * HOP, 20 * HOP),), minus=(SampleRange(0, 5 * HOP),))
    channels = span_channels(query, 8, 40)
    assert channels[:, 0].nonzero()[0].tolist() == list(range(2, 13))
    assert not channels[:, 1].any() and channels[:, 2].all() and channels[:, 3].all()


def test_every_bin_is_in_exactly_one_band() -> None:
    assert EDGES[0] == 0 and EDGES[-1] == BINS and sorted(set(EDGES)) == EDGES
    power = torch.rand(3, BINS)
    torch.testing.assert_close(sum_bands(power).sum(-1), power.sum(-1))


def test_certain_targets_are_raised_to_their_level_and_uncertain_ones_are_not() -> None:
    gain = torch.full((2, 20, BANDS), 0.01)
    gain[:, :, 40:50] = 0.3
    power = torch.ones(1, 20, BANDS)
    raised = raise_to_level(gain, power, torch.tensor([0.9, 0.0]))
    torch.testing.assert_close(raised[0, :, 45], torch.ones(20))
    torch.testing.assert_close(raised[1], gain[1])


def shipped() -> NetSeparator:
    net = load_net()
    assert net is not None
    return net


def test_the_shipped_weights_load_and_are_small() -> None:
    path = Path(weights_module.__file__).with_name(WEIGHTS)
    assert path.stat().st_size < 15_000_000
    assert {"any", "speech", "music", "dog", "rain", "drums"} <= set(shipped().classes)


def test_silence_stays_silence() -> None:
    sound = Sound(np.zeros((1, 3 * S), np.float32))
    out = np.concatenate(list(shipped().separate(sound, [NetQuery("rain")], NullControl())), axis=1)
    assert not out.any()


def test_hum_under_clicks_is_separated_by_name() -> None:
    """The net has learned something that needs no recordings to test: hum is low and steady, clicks are not."""
    time = np.arange(5 * S) / S
    hum = 0.1 * sum((np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 12)), start=np.zeros(5 * S))
    clicks = np.zeros(5 * S)
    clicks[np.random.default_rng(2).integers(0, 5 * S, 300)] = 0.5
    mix = (hum + clicks)[None].astype(np.float32)
    out = np.concatenate(list(shipped().separate(Sound(mix), [NetQuery("hum")], NullControl())), axis=1)[0]

    def si_sdr(estimate: Waveform) -> float:
        scaled = hum * (estimate @ hum) / (hum @ hum)
        return float(10 * np.log10((scaled @ scaled) / ((estimate - scaled) @ (estimate - scaled))))

    assert si_sdr(out) > si_sdr(mix[0]) + 3


@pytest.mark.parametrize("words", ["music", "dog"])
@pytest.mark.parametrize(("kind", "is_there"), [(Certain, True), (Constant, False)])
def test_an_absent_sound_gives_silence_and_is_reported_as_not_found(
    kind: type[SoundNet], is_there: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = ("any", "music", "dog", "speech")
    monkeypatch.setattr(engine_module, "load_net", lambda: NetSeparator(kind(len(classes)), classes))
    control, request = Recorder(), EngineRequest(Sound(noise(20 * S)), (EnginePrompt(words),))
    target = np.concatenate(list(EmbeddedEngine().separate(request, control)), axis=-1)
    assert target.shape == (1, 1, 20 * S)
    assert target.any() == is_there
    assert control.findings[0].found == is_there
