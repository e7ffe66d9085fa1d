"""Risks: faint parts of a sound lost outside of automatic marks, seams, whole files in memory, marks on nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_limits

from server.audio import ArraySource, Recorder
from stemline.clips import SampleRange
from stemline_server.engines.base import AudioSource, Control, EnginePrompt, Waveform
from stemline_server.engines.embedded.auto_marks import AutoMarks, marks_of
from stemline_server.engines.embedded.fusion import Estimates, fuse
from stemline_server.engines.embedded.net_separator import HOP, Evidence, NetQuery, NetSeparation, NetSeparator
from stemline_server.engines.embedded.routing import choose_route

RATE = 48_000
FRAME_RATE = RATE // HOP


def frames(*values: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Presence from (seconds, value) pairs."""
    return np.concatenate([np.full(round(seconds * FRAME_RATE), value, np.float32) for seconds, value in values])


@dataclass
class FakeNet:
    """Finds the sound where the audio is louder than 0.3 and returns all audio."""

    is_certain: bool = True
    longest: int = 0

    def presence(self, audio: AudioSource, class_name: str) -> npt.NDArray[np.float32]:
        wave = audio.read(0, audio.length_samples)[0]
        self.longest = max(self.longest, wave.size)
        loud = np.array([np.abs(wave[at : at + HOP]).max() > 0.3 for at in range(0, wave.size, HOP)], np.float32)
        return np.asarray(loud * (0.9 if self.is_certain else 0.05), np.float32)

    def separate(self, audio: AudioSource, queries: Sequence[NetQuery], control: Control) -> NetSeparation:
        assert queries[0].plus

        def blocks() -> Iterator[Waveform]:
            yield audio.read(0, audio.length_samples)

        return NetSeparation(blocks(), Evidence.none(1))


def rows_of(mix: Waveform, net: FakeNet) -> Waveform:
    marks = AutoMarks(ArraySource(mix, RATE), cast(NetSeparator, net), "dog", 0, Recorder(), lambda: None)
    with threadpool_limits(1):
        return np.concatenate(list(marks.blocks()), axis=1)


def bursts(seconds: int) -> Waveform:
    """Half a second of a loud tone every two seconds in noise."""
    at = np.arange(seconds * RATE)
    on = at % (2 * RATE) < RATE // 2
    noise = 0.02 * np.random.default_rng(0).standard_normal(at.size)
    return (0.5 * on * np.sin(2 * np.pi * 700 * at / RATE) + noise).astype(np.float32)[None]


@pytest.mark.parametrize(
    ("presence", "marks"),
    [
        (frames((1, 0), (1, 0.8), (2, 0)), [(1.0, 2.0)]),
        (frames((1, 0), (1, 0.8), (0.1, 0), (1, 0.8), (1, 0)), [(1.0, 3.1)]),  # a short gap is closed
        (frames((1, 0), (1, 0.8), (1, 0.2), (1, 0)), [(1.0, 2.0)]),  # faint parts are not marked
        (frames((1, 0), (1, 0.09), (1, 0)), []),  # absent
        (frames((0.02, 0.9)), []),
    ],
)
def test_marks_are_where_the_net_is_certain(
    presence: npt.NDArray[np.float32], marks: list[tuple[float, float]]
) -> None:
    found = marks_of(presence, presence.size * HOP)
    assert len(found) == len(marks)
    for span, (start_s, end_s) in zip(found, marks, strict=True):
        assert span.start_sample / RATE == pytest.approx(start_s, abs=0.05)
        assert span.end_sample / RATE == pytest.approx(end_s, abs=0.05)


def test_outside_of_the_marks_some_of_the_target_by_name_remains() -> None:
    target, share = rows_of(bursts(8), FakeNet())
    quiet = slice(RATE, 2 * RATE - RATE // 10)
    np.testing.assert_array_equal(target[quiet], 0)
    np.testing.assert_allclose(share[quiet], 0.15, atol=1e-6)
    assert share[RATE // 4] == 0
    assert target[RATE // 10 : RATE // 3].std() > 0.2


@pytest.mark.parametrize("net", [FakeNet(is_certain=False), FakeNet()])
def test_without_marks_or_with_marks_everywhere_the_target_by_name_is_unchanged(net: FakeNet) -> None:
    mix = np.full((1, 20 * RATE), 0.5, np.float32)
    target, share = rows_of(mix, net)
    assert not target.any()
    np.testing.assert_array_equal(share, 1)


def test_marks_count_half_where_speech_was_removed() -> None:
    """A horse in speech lost 4 dB by marks."""
    named, marked = np.full(100, 0.5, np.float32), np.stack([np.ones(100, np.float32), np.zeros(100, np.float32)])
    removed = np.linspace(0, 1, 100, dtype=np.float32)
    block = Estimates(0, mix=named, net=named, net_input=named, speech_removed=removed, auto_marked=marked)
    np.testing.assert_allclose(fuse(choose_route(EnginePrompt("dog"), ("dog",)), block), 1 - removed / 4, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 479, 8 * RATE, 8 * RATE + 1, 8 * RATE + RATE // 4])
def test_blocks_are_as_long_as_the_audio(samples: int) -> None:
    assert rows_of(np.resize(bursts(4), (1, samples)), FakeNet()).shape == (2, samples)


def test_segments_fade_into_each_other_and_are_searched_in_short_windows() -> None:
    mix = bursts(26)
    mix[:, 9 * RATE :] = 0.01
    net = FakeNet()
    _, share = rows_of(mix, net)
    assert net.longest == 12 * RATE
    assert np.abs(np.diff(share)).max() <= 1 / 480 + 1e-6
    assert share[-1] == 1


def test_the_target_by_name_and_the_marked_target_are_added() -> None:
    mix = np.ones(4, np.float32)
    route = choose_route(EnginePrompt("dog"), ("dog",))
    marked = np.array([[0, 0, 0.5, 0.5], [1, 0.15, 0, 0.15]], np.float32)
    nothing = np.zeros(4, np.float32)
    target = fuse(route, Estimates(0, mix, net=mix, net_input=mix, speech_removed=nothing, auto_marked=marked))
    np.testing.assert_allclose(target, [1, 0.15, 0.5, 0.65])


@pytest.mark.parametrize(
    ("prompt", "is_marked"),
    [
        (EnginePrompt("dog"), True),
        (EnginePrompt("siren"), True),
        (EnginePrompt("rain"), False),
        (EnginePrompt("laughter"), False),
        (EnginePrompt("dog", plus=(SampleRange(0, 10),)), False),
        (EnginePrompt("dog", minus=(SampleRange(0, 10),)), False),
    ],
)
def test_only_animals_and_effects_by_name_alone_are_marked(prompt: EnginePrompt, is_marked: bool) -> None:
    assert choose_route(prompt, ("dog", "siren", "rain", "laughter")).gains_from_auto_marks == is_marked
