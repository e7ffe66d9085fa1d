"""A mark that is heard, that is not found after ordinary handling, or that is found where there is none."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from core.sound_textures import RATE, Sound, coded, equalised, resampled, texture
from stemline.trust.spread_mark import SpreadMark

KEY = b"k" * 32


def marked(sound: Sound, message: int, rate: int = RATE, block: int = 65_536) -> Sound:
    blocks = [sound[:, at : at + block] for at in range(0, sound.shape[1], block)]
    return np.concatenate(list(SpreadMark(KEY).embed(blocks, message, rate)), axis=1)


def handled(sound: Sound) -> dict[str, tuple[Sound, int]]:
    return {
        "untouched": (sound, RATE),
        "12 dB down": (sound * np.float32(0.25), RATE),
        "3 s of it": (sound[:, 123_456 : 123_456 + 3 * RATE], RATE),
        "equalised": (equalised(sound), RATE),
        "16 kHz": (resampled(sound, 16_000), 16_000),
        "44.1 kHz": (resampled(sound, 44_100), 44_100),
        "AAC 128k": (coded(sound, "aac", 128_000), RATE),
        "MP3 128k": (coded(sound, "libmp3lame", 128_000), RATE),
        "Opus 64k": (coded(sound, "libopus", 64_000), RATE),
    }


@pytest.mark.parametrize("clips", [3, pytest.param(60, marks=[pytest.mark.hour, pytest.mark.timeout(3600)])])
def test_a_mark_survives_ordinary_handling(clips: int) -> None:
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for seed in range(clips):
        message = seed * 7919 + 13 & 0xFFFF
        for name, (sound, rate) in handled(marked(texture(seed), message)).items():
            mark = SpreadMark(KEY).find(sound, rate)
            found[name].append((mark.found, mark.message == message))
    for name, results in found.items():
        assert np.mean([is_found for is_found, _ in results]) >= 0.95, name
        assert np.mean([is_whole for _, is_whole in results]) >= 0.9, name


@pytest.mark.parametrize("clips", [40, pytest.param(2000, marks=[pytest.mark.hour, pytest.mark.timeout(3600)])])
def test_no_mark_is_found_in_unmarked_sound_or_with_another_key(clips: int) -> None:
    alarms = sum(SpreadMark(KEY).find(texture(seed)[:1], RATE).found for seed in range(clips))
    assert alarms <= clips / 1000
    clicks = np.zeros((1, 10 * RATE), np.float32)
    clicks[:, ::RATE] = 0.9  # repeats like the mark does
    tone = np.sin(2 * np.pi * 440 * np.arange(10 * RATE) / RATE).astype(np.float32)[None]
    for sound in (clicks, tone, np.zeros((1, 10 * RATE), np.float32), clicks[:, :100]):
        assert not SpreadMark(KEY).find(sound, RATE).found
    assert not SpreadMark(b"another key").find(marked(texture(1), 0x1234), RATE).found


def test_the_mark_is_24_db_under_the_sound_and_never_before_an_onset() -> None:
    for seed in range(8):
        sound = texture(seed)
        added = marked(sound, 0xBEEF).astype(np.float64) - sound
        energies = [np.abs(np.fft.rfft(each[0])) ** 2 for each in (sound, added)]
        frequency = np.fft.rfftfreq(sound.shape[1], 1 / RATE)
        for centre in 1000 * 2 ** (np.arange(-5, 10) / 3):
            inside = (frequency >= centre * 2 ** (-1 / 6)) & (frequency < centre * 2 ** (1 / 6))
            host, mark = (energy[inside].sum() for energy in energies)
            assert 10 * np.log10(host / mark) >= 24, (seed, centre)
    onset = np.concatenate([np.zeros((2, RATE), np.float32), texture(0, 1.0)], axis=1)
    assert np.abs(marked(onset, 1)[:, : RATE - 1]).max() < 1e-6
    assert not marked(np.zeros((2, RATE), np.float32), 1).any(), "silence stays silence"


@pytest.mark.parametrize("block", [1, 700, 48_001])
def test_the_mark_does_not_depend_on_how_sound_is_cut_into_blocks(block: int) -> None:
    sound = texture(2, 1.0)[:, : 5_000 if block == 1 else None]
    assert marked(sound, 77, block=block).shape == sound.shape
    assert np.allclose(marked(sound, 77, block=block), marked(sound, 77), atol=1e-7)
