"""Signals of a mixture: changes of pitch, level, room and recording chain, and spectra and features of the result."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..net_separator import HOP as NET_HOP
from ..net_separator import SAMPLE_RATE as NET_RATE
from ..net_separator import FeatureSource
from ..sound_net import BINS, sum_bands
from .corpus import RATE, Wave, resampled

WINDOW, HOP = 1280, 640


def stretch(rng: np.random.Generator, wave: Wave, amount: float) -> Wave:
    """Play a wave faster or slower by up to `amount`; pitch and time change together."""
    factor = float(np.exp(rng.uniform(-amount, amount)))
    places = np.arange(0, len(wave) - 1, factor)
    return np.asarray(np.interp(places, np.arange(len(wave)), wave), np.float32)


def reverberated(rng: np.random.Generator, wave: Wave) -> Wave:
    """Add a synthetic room: decaying noise after the direct sound."""
    decay_s = rng.uniform(0.05, 0.35)
    tail = rng.standard_normal(int(4 * decay_s * RATE)) * np.exp(-np.arange(int(4 * decay_s * RATE)) / decay_s / RATE)
    tail *= rng.uniform(0.1, 0.6) / np.sqrt((tail**2).sum())
    tail[0] += 1
    n = 1 << int(np.ceil(np.log2(len(wave) + len(tail))))
    return np.fft.irfft(np.fft.rfft(wave, n) * np.fft.rfft(tail, n), n)[: len(wave)].astype(np.float32)


def envelope(rng: np.random.Generator, n: int) -> Wave:
    """Return a random level [n] of a take: another attack, decay or swell, within 12 dB."""
    knots = np.linspace(0, n, int(rng.integers(2, 6)))
    return np.asarray(10 ** (np.interp(np.arange(n), knots, rng.uniform(-12, 0, len(knots))) / 20), np.float32)


def chain_gains(rng: np.random.Generator, label: str) -> npt.NDArray[np.float32]:
    """Return random gains [BINS] of a recording chain: a smooth equaliser, sometimes a low-pass or high-pass filter."""
    hertz = np.arange(BINS) * 25.0
    log = np.log2(np.maximum(hertz, 25) / 25)
    gain = np.zeros(BINS)
    if rng.random() < 0.7:
        gain += np.interp(log, np.linspace(0, 9.4, 8), rng.normal(0, 3.5, 8))
    if rng.random() < (0.45 if label == "speech" else 0.3):
        gain -= 24 * np.maximum(np.log2(np.maximum(hertz, 25) / rng.uniform(3000, 12000)), 0) * rng.uniform(0.5, 3)
    if rng.random() < 0.2:
        gain -= 12 * np.maximum(np.log2(rng.uniform(50, 300) / np.maximum(hertz, 25)), 0)
    return (10 ** (np.maximum(gain, -80) / 20)).astype(np.float32)


def short_time_spectra(waves: npt.NDArray[np.float32]) -> Tensor:
    """Return complex spectra [N, T, BINS] of waves [N, samples]."""
    return spectra_of(torch.from_numpy(waves))


def spectra_of(waves: Tensor) -> Tensor:
    """Return complex spectra [N, T, BINS] of waves [N, samples] on the device of the waves."""
    window = torch.hann_window(WINDOW, device=waves.device).sqrt()
    return torch.stft(waves, WINDOW, HOP, window=window, return_complex=True).transpose(1, 2)


def teacher_features(teachers: FeatureSource, spectra: Tensor, samples: int) -> Tensor:
    """Return what teachers hear in a mixture, [T, channels] on the CPU.

    Args:
        teachers: The teachers; they run on the CPU.
        spectra: Spectra of the mixture, [T, BINS].
        samples: Its length at 32 kHz.
    """
    window = torch.hann_window(WINDOW).sqrt()
    wave = torch.istft(spectra.cpu().T[None], WINDOW, HOP, window=window, length=samples)[0]
    padding = (NET_HOP, NET_HOP)
    return torch.from_numpy(teachers.features(np.pad(resampled(wave.numpy(), NET_RATE), padding)))


def band_product(one: Tensor, other: Tensor) -> Tensor:
    """Return the sums over each band of Re(one * conj(other)), [..., T, BANDS]."""
    return sum_bands(one.real * other.real + one.imag * other.imag)
