"""Steady low noise, such as rumble, wind or an engine, found behind music and reduced before the net searches there.

The net takes such noise for music. Noise differs from music by its flat spectrum at a fine resolution, and its level at
each frequency is low quantiles of the energy over time (Martin, "Noise power spectral density estimation based on
optimal smoothing and minimum statistics", 2001). Measured: music and instruments of held-out packages in brown noise
gain 4 dB more, and no held-out mixture without such noise is changed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import Waveform
from stemline_server.engines.embedded.background import BackgroundSource

_SAMPLE_RATE = 48_000
_SEGMENT_SAMPLES = 8 * _SAMPLE_RATE
_CONTEXT_SAMPLES = 2 * _SAMPLE_RATE
_FADE_SAMPLES = _SAMPLE_RATE
_CACHED_SEGMENTS = 4

_FRAME, _HOP = 8_192, 2_048
_TOP_HZ = 2_000
_LEVEL_FRAMES = 25
"""Frames, about a second, over which the level of the noise is estimated."""
_QUANTILE, _MEAN_OF_QUANTILE = 0.25, 1.6
"""Quantile of the energy of the frames, and the mean of noise in units of it; the frames overlap and are smoothed."""
_HALF_BAND = 2 ** (1 / 6)
_BANDS = 48
_OVERSUBTRACTION = 1.5
_MIN_GAIN = 0.1

_JUDGED_SAMPLES = 2 * _SAMPLE_RATE
_JUDGED_BANDS_HZ = ((30, 60), (60, 120), (120, 240))
_TILT = 1.5
_MIN_SHARE, _MIN_FLATNESS = 0.1, 0.4
"""Share of the energy in these bands, and their spectral flatness. Measured: music in brown noise has a flatness of
0.38 to 0.58, clean music and music behind speech 0.01 to 0.33; drums have 0.43 and are hardly changed."""

Power = npt.NDArray[np.float64]


class RumbleFreeSource:
    """Provide a background at 48 kHz with less rumble, in segments of eight seconds with two seconds of context.

    Attributes:
        has_rumble: Whether rumble was found in the part read so far.
    """

    channels = 1

    def __init__(self, background: BackgroundSource) -> None:
        """Create the source without computing anything yet."""
        self.sample_rate = background.sample_rate
        self.length_samples = background.length_samples
        self.has_rumble = False
        self._background = background
        self._cleaned = lru_cache(_CACHED_SEGMENTS)(self._clean)

    def removed_share(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return the share of the voice that was subtracted from the background, 0..1, [samples]."""
        return self._background.removed_share(start_sample, end_sample)

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [1, samples]; segments crossfade over a second."""
        wave = self._background.read(start_sample, end_sample)
        if not wave.size:
            return wave
        reduced = np.zeros_like(wave)
        last = (self.length_samples - 1) // _SEGMENT_SAMPLES
        half = _FADE_SAMPLES // 2
        for number in range(max(0, (start_sample - half) // _SEGMENT_SAMPLES), last + 1):
            first, end = number * _SEGMENT_SAMPLES - half, (number + 1) * _SEGMENT_SAMPLES + half
            if first >= end_sample:
                break
            noise = self._cleaned(number)
            if noise is None:
                continue
            a, b = max(first, start_sample, 0), min(end, end_sample, self.length_samples)
            at = np.arange(a, b)
            rising = (at - first) / _FADE_SAMPLES if number else np.ones(at.size)
            falling = (end - at) / _FADE_SAMPLES if number < last else np.ones(at.size)
            offset = max(0, number * _SEGMENT_SAMPLES - _CONTEXT_SAMPLES)
            fade = np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)
            reduced[0, a - start_sample : b - start_sample] += fade * noise[a - offset : b - offset]
        return wave - reduced

    def _clean(self, number: int) -> npt.NDArray[np.float32] | None:
        """Return the noise [samples] of a segment with its context; None if there is none."""
        start = max(0, number * _SEGMENT_SAMPLES - _CONTEXT_SAMPLES)
        end = min((number + 1) * _SEGMENT_SAMPLES + _CONTEXT_SAMPLES, self.length_samples)
        wave = self._background.read(start, end)[0]
        if not is_rumbling(wave):
            return None
        self.has_rumble = True
        return steady_noise(wave)


def is_rumbling(wave: npt.NDArray[np.float32]) -> bool:
    """Return whether much of [samples] at 48 kHz is low noise."""
    hertz = np.fft.rfftfreq(_JUDGED_SAMPLES, 1 / _SAMPLE_RATE)
    window = np.hanning(_JUDGED_SAMPLES)
    low = flat = whole = 0.0
    for start in range(0, max(1, wave.size - _JUDGED_SAMPLES // 2), _JUDGED_SAMPLES // 2):
        piece = wave[start : start + _JUDGED_SAMPLES]
        power = np.square(np.abs(np.fft.rfft(np.pad(piece, (0, _JUDGED_SAMPLES - piece.size)) * window)))
        whole += float(power.sum())
        for first, last in _JUDGED_BANDS_HZ:
            inside = (hertz > first) & (hertz <= last)
            energy, tilted = float(power[inside].sum()), power[inside] * hertz[inside] ** _TILT + 1e-20
            low += energy
            flat += energy * float(np.exp(np.log(tilted).mean()) / tilted.mean())
    return low > _MIN_SHARE * whole and flat > _MIN_FLATNESS * low > 0


def steady_noise(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the estimated noise below 2 kHz in [samples] at 48 kHz."""
    padded = np.pad(wave, (_FRAME - _HOP, _FRAME))
    window = np.hanning(_FRAME + 1)[:-1]
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP] * window)
    top = int(_TOP_HZ * _FRAME / _SAMPLE_RATE)
    power = np.square(np.abs(spectra[:, :top]))
    smooth = _running(power, 3).mean(axis=-1)
    noise = _MEAN_OF_QUANTILE * _over_bands(np.quantile(_running(smooth, _LEVEL_FRAMES), _QUANTILE, axis=-1))
    gain = np.maximum(1 - _OVERSUBTRACTION * noise / (smooth + 1e-15), _MIN_GAIN)
    spectra[:, :top] *= 1 - gain
    spectra[:, top:] = 0
    frames = np.fft.irfft(spectra, _FRAME) * (window / 1.5)
    found = np.zeros(padded.size + _FRAME)
    for part in range(_FRAME // _HOP):
        piece = frames[:, part * _HOP : (part + 1) * _HOP].reshape(-1)
        found[part * _HOP :][: piece.size] += piece
    return found[_FRAME - _HOP :][: wave.size].astype(np.float32)


def _running(power: Power, frames: int) -> Power:
    """Return the values of each frame and its neighbours, [T, bins, frames]."""
    half = frames // 2
    padded = np.pad(power, ((half, half), (0, 0)), "symmetric" if len(power) >= half else "edge")
    return np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0)


def _over_bands(level: Power) -> Power:
    """Return the median of levels [T, bins] over a third of an octave around each bin: tones do not raise it."""
    bins = level.shape[1]
    centres = np.unique(np.geomspace(5, bins - 1, _BANDS).round().astype(int))
    medians = []
    for centre in centres:
        first, last = min(centre - 4, int(centre / _HALF_BAND)), max(centre + 5, int(centre * _HALF_BAND) + 1)
        medians.append(np.log(np.median(level[:, max(1, first) : last], axis=1) + 1e-20))
    place = np.interp(np.arange(bins), centres, np.arange(centres.size))
    below = np.minimum(place.astype(int), centres.size - 2)
    logs = np.stack(medians, axis=1)
    return np.asarray(np.exp(logs[:, below] + (logs[:, below + 1] - logs[:, below]) * (place - below)))
