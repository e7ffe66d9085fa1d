"""Risks: rumble taken for music and not said, music taken for rumble, seams, results that depend on the reads."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from server.audio import ArraySource, Recorder
from stemline_server.engines.base import EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.embedded import EmbeddedEngine
from stemline_server.engines.embedded.background import BackgroundSource, SegmentDecisions
from stemline_server.engines.embedded.evaluate import main as evaluate
from stemline_server.engines.embedded.evaluation_clips import si_sdr
from stemline_server.engines.embedded.rumble import RumbleFreeSource, is_rumbling
from stemline_server.engines.embedded.training.holdout import write_flac

RATE = 48_000


def chords(seconds: float) -> Waveform:
    """Two notes at a time from 65 to 260 Hz, with overtones, a new chord every 0.8 s."""
    at = np.arange(int(seconds * RATE)) / RATE
    wave = np.zeros(at.size)
    for number in range(int(seconds / 0.8) + 1):
        since = at - 0.8 * number
        on = (since >= 0) & (since < 0.8)
        for note in (65 * 2 ** ((5 * number % 12) / 12), 130 * 2 ** ((7 * number % 12) / 12)):
            for overtone in range(1, 8):
                wave += on * np.exp(-2 * since * on) * np.sin(2 * np.pi * note * overtone * at) / overtone
    return np.asarray(0.1 * wave, np.float32)[None]


def rumble(seconds: float) -> Waveform:
    """Brown noise at the level of the chords."""
    spectrum = np.fft.rfft(np.random.default_rng(4).standard_normal(int(seconds * RATE)))
    hertz = np.fft.rfftfreq(int(seconds * RATE), 1 / RATE)
    wave = np.fft.irfft(spectrum / np.sqrt(1 + (hertz / 100) ** 2), int(seconds * RATE))
    return np.asarray(0.12 * wave / wave.std(), np.float32)[None]


def source(mix: Waveform) -> RumbleFreeSource:
    decisions = SegmentDecisions(mix.shape[1], lambda start, end: False)
    return RumbleFreeSource(BackgroundSource(ArraySource(mix, RATE), ArraySource(0 * mix, RATE), decisions))


def test_rumble_is_reduced_behind_music() -> None:
    music = chords(9)
    mix = music + rumble(9)
    found = source(mix)
    cleaned = found.read(0, mix.shape[1])
    assert found.has_rumble
    assert si_sdr(cleaned[0], music[0]) > si_sdr(mix[0], music[0]) + 4


@pytest.mark.parametrize("mix", [chords(9), np.zeros((1, 9 * RATE), np.float32), chords(9) + 0.003 * rumble(9)])
def test_music_without_rumble_is_unchanged(mix: Waveform) -> None:
    found = source(mix)
    np.testing.assert_array_equal(found.read(0, mix.shape[1]), mix)
    assert not found.has_rumble


def test_the_result_does_not_depend_on_the_ranges_that_are_read() -> None:
    mix = chords(26) + rumble(26)
    mix[:, : 12 * RATE] = chords(12)  # rumble from the second segment on
    whole = source(mix).read(0, mix.shape[1])
    cuts = (0, 5, 7 * RATE, 8 * RATE, 8 * RATE + 1, 17 * RATE, 25 * RATE + 3, mix.shape[1])
    again = source(mix)
    parts = [again.read(start, end) for start, end in pairwise(cuts)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
    removed = (mix - whole)[0]
    assert not removed[: 6 * RATE].any()
    assert np.abs(np.diff(removed)).max() < 0.05


def test_short_sound_is_judged_without_error() -> None:
    for samples in (1, 700, RATE):
        assert source(rumble(2)[:, :samples]).read(0, samples).shape == (1, samples)
    assert is_rumbling(rumble(2)[0])


def test_a_user_is_told_of_rumble_behind_music() -> None:
    control = Recorder()
    request = EngineRequest(ArraySource(chords(6) + rumble(6), RATE), (EnginePrompt("music"),))
    list(EmbeddedEngine().separate(request, control))
    assert "RUMBLE_LEFT" in [code for _, code, _ in control.warnings]


def test_the_evaluation_counts_warned_stems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, wave in (("target", chords(4)), ("residual", rumble(4))):
        write_flac(tmp_path / f"{part}.flac", 0.5 * wave[0])
    entry = {"id": "one", "category": "music", "prompt": "music", "spans": [[0, 4]]}
    files = {part: f"{part}.flac" for part in ("target", "residual")}
    (tmp_path / "manifest.json").write_text(json.dumps([entry | files]))
    assert evaluate([str(tmp_path), "--warnings", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["warnings"]
    assert (counts["absent"], counts["stems"], counts["rumble"]) == (3, 4, 1)
    assert counts["silent"] + counts["doubted"] + counts["unnoticed"] <= counts["absent"]
