"""Measures of texture that share no code with the fills they judge. Sounds are [channels, samples] at 48 kHz."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Sound = np.ndarray[Any, np.dtype[Any]]
RATE = 48_000


def spectrum_error_db(made: Sound, *source: Sound) -> float:
    """RMS difference of third-octave levels from those of pieces, over bands within 75 dB of the loudest.

    Each piece is analysed by itself: cuts between pieces would add sound.
    """
    points = 1 << min(14, min(piece.shape[1] for piece in source).bit_length() - 1)
    levels = [_third_octaves([made], points), _third_octaves(source, points)]
    heard = levels[1] > levels[1].max() - 75
    return float(np.sqrt(np.mean((levels[0] - levels[1])[heard] ** 2)))


def modulation_distance_db(made: Sound, other: Sound) -> float:
    """RMS difference of modulation spectra: 16 bands of frequency, 6 bands of rate from 1.6 to 51 Hz."""
    return float(np.sqrt(np.mean((_modulations(made) - _modulations(other)) ** 2)))


def wave_repetition(sound: Sound) -> float:
    """Highest autocorrelation of the whitened waveform past 0.3 s."""
    mono = sound.mean(axis=0)
    spectrum = np.fft.rfft(mono, 2 * len(mono))
    smooth = np.sqrt(np.convolve(np.abs(spectrum) ** 2, np.ones(201) / 201, "same")) + 1e-12
    return _highest(np.fft.irfft(np.abs(spectrum / smooth) ** 2)[: len(mono)], round(0.3 * RATE))


def envelope_repetition(sound: Sound) -> float:
    """Highest autocorrelation of 32 bands' logarithmic envelopes past 0.5 s."""
    bands = _log_envelopes(sound, 32, 480)
    bands -= bands.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(bands, 2 * bands.shape[1], axis=1)
    return _highest(np.fft.irfft(np.abs(spectrum) ** 2, axis=1).sum(axis=0)[: bands.shape[1]], 50)


def coherence(sound: Sound) -> float:
    """Correlation of the first two channels."""
    return float(np.corrcoef(sound[:2])[0, 1])


def level_db(sound: Sound) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-20))


def level_spread_db(sound: Sound) -> float:
    """Standard deviation of the 50 ms levels."""
    frame = RATE // 20
    frames = sound[:, : sound.shape[1] // frame * frame].reshape(sound.shape[0], -1, frame)
    return float((10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=(0, 2)) + 1e-20)).std())


def joint_change_sd(sound: Sound, joints: list[int]) -> float:
    """Mean change of the mel spectrum at joints, in standard deviations above its mean elsewhere."""
    bands = _log_envelopes(sound, 32, 960)
    change = np.sqrt(np.mean(np.square(bands[:, 2:] - bands[:, :-2]), axis=0))
    at = {min(max(joint // 960 - 1, 0), len(change) - 1) for joint in joints}
    elsewhere = np.array([value for place, value in enumerate(change) if place not in at])
    return float((change[sorted(at)].mean() - elsewhere.mean()) / elsewhere.std())


def _third_octaves(pieces: Sequence[Sound], points: int) -> Sound:
    windows = [np.lib.stride_tricks.sliding_window_view(piece.mean(axis=0), points)[:: points // 4] for piece in pieces]
    power = (np.abs(np.fft.rfft(np.concatenate(windows) * np.hanning(points), axis=1)) ** 2).mean(axis=0)
    frequencies = np.fft.rfftfreq(points, 1 / RATE)
    centres = 1000 * 2.0 ** (np.arange(-12, 13) / 3)
    bands = [power[(frequencies >= c / 2 ** (1 / 6)) & (frequencies < c * 2 ** (1 / 6))].sum() for c in centres]
    return np.asarray(10 * np.log10(np.array(bands) + 1e-20))


def _log_envelopes(sound: Sound, bands: int, hop: int) -> Sound:
    """Return levels in dB [bands, frames] of bands evenly spaced in octaves from 60 Hz to 16 kHz."""
    points = 2048
    mono = np.pad(sound.mean(axis=0), (points // 2, points // 2))
    frames = np.lib.stride_tricks.sliding_window_view(mono, points)[::hop] * np.hanning(points)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.geomspace(60, 16_000, bands + 1) * points / RATE
    columns = [power[:, int(low) : max(int(high), int(low) + 1)].sum(axis=1) for low, high in pairwise(edges)]
    return np.asarray(10 * np.log10(np.array(columns) + 1e-12))


def _modulations(sound: Sound) -> Sound:
    hop = 240  # 200 frames a second
    envelopes = 10 ** (_log_envelopes(sound, 16, hop) / 20)
    envelopes /= envelopes.mean(axis=1, keepdims=True) + 1e-12
    points = 256
    frames = np.lib.stride_tricks.sliding_window_view(envelopes, points, axis=1)[:, :: points // 2]
    power = (np.abs(np.fft.rfft((frames - frames.mean(axis=2, keepdims=True)) * np.hanning(points))) ** 2).mean(axis=1)
    rates = np.fft.rfftfreq(points, hop / RATE)
    edges = 1.6 * 2.0 ** np.arange(7) / 2**0.5
    bands = [power[:, (rates >= low) & (rates < high)].mean(axis=1) for low, high in pairwise(edges)]
    return np.asarray(10 * np.log10(np.array(bands) + 1e-9))


def _highest(correlation: Sound, first: int) -> float:
    length = len(correlation)
    lags = np.arange(first, int(0.8 * length))
    return float((correlation[lags] * length / (length - lags)).max() / correlation[0])
