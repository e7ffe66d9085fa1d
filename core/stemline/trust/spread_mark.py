"""A keyed mark in sound that a model made from words: spread spectrum under the spectrum of the sound.

Noise sequences of one second that only the key can make are added 25 dB below the sound, in every part of the spectrum:
one for the position and one for each of 16 bits. They repeat, so a few seconds cut out anywhere are enough. The method
is additive spread spectrum (Cox et al., Secure Spread Spectrum Watermarking for Multimedia, 1997) with the sound's own
spectrum as the mask. The mark is lost when the speed changes, and mostly under other sound of the same level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float32]
_Reals = npt.NDArray[np.float64]
_Complex = npt.NDArray[np.complex128]

NAME = "stemline-spread-1"
BITS = 16
_LOWEST_HZ, _HIGHEST_HZ = 300, 7500
_LEVEL_DB = -18.6  # 24 to 25 dB under a third of an octave: the mask takes the rest
_RATE = 16_000  # of the detector
_HALF_WINDOW_S = 0.016
_SMOOTH_BINS = 3  # on both sides
_FLOOR = 1e-9
_STRONGEST = 3.0  # of a whitened bin
_LEAST_S = 2.0
_LONGEST_S = 600.0
_THRESHOLD = 80.0  # of a sum of 17 squares of normal values, the largest of 16,000 places: 1 in 10,000 by chance
_ENOUGH_FOR_BITS = 120.0


@dataclass(frozen=True, slots=True)
class FoundMark:
    """The result of looking for a mark.

    Attributes:
        score: Sum of the squared correlations, in units of chance, at the best place; about 55 in unmarked sound.
        message: The 16 bits; None where the mark is too weak to read them.
    """

    score: float
    message: int | None

    @property
    def found(self) -> bool:
        """Whether the mark is there."""
        return self.score >= _THRESHOLD


class SpreadMark:
    """Writes and finds the mark of one key."""

    name = NAME

    def __init__(self, key: bytes) -> None:
        """Make the sequences of a key."""
        count = _HIGHEST_HZ - _LOWEST_HZ
        raw = hashlib.shake_256(b"stemline mark\0" + key).digest((BITS + 1) * count * 2)
        turns = np.frombuffer(raw, "<u2").reshape(BITS + 1, count) / 65536
        self._lines: _Complex = np.exp(2j * np.pi * turns)  # one for each whole Hz: the sequences repeat each second

    def embed(self, blocks: Iterable[Block], message: int, sample_rate: int) -> Iterator[Block]:
        """Yield the sound of `blocks`, float32 [channels, samples], with the mark in every channel.

        Args:
            blocks: Consecutive blocks.
            message: 16 bits.
            sample_rate: Samples per second.
        """
        half = round(_HALF_WINDOW_S * sample_rate)
        period = self._period(message, sample_rate)
        window = np.sqrt(np.hanning(2 * half + 1)[:-1])
        given: list[Block] = []  # not yet yielded
        source: _Reals | None = None  # from half a window before the next frame
        mark: _Reals | None = None  # overlap of the last frame
        at = -half
        for block in _ended(blocks):
            if block is not None:
                if source is None:
                    source = np.zeros((block.shape[0], 2 * half))
                    mark = np.zeros((block.shape[0], half))
                given.append(block)
                source = np.concatenate([source, block], axis=1)
            elif source is not None:
                source = np.concatenate([source, np.zeros((source.shape[0], 4 * half))], axis=1)
            if source is None or mark is None:
                continue
            frames = source.shape[1] // half - 3  # each needs the ones before and after it
            if frames <= 0:
                continue
            added, mark = _shaped(source, frames, mark, (period, window, at))
            at += frames * half
            source = source[:, frames * half :]
            yield from _sums(given, added, last=block is None)
        yield from given

    def find(self, sound: Block, sample_rate: int) -> FoundMark:
        """Look for the mark in sound, float32 [channels, samples]. At least 2 s are needed, and 600 s are looked at."""
        mono = sound[:, : int(_LONGEST_S * sample_rate)].mean(axis=0, dtype=np.float64)
        if mono.size < _LEAST_S * sample_rate:
            return FoundMark(0.0, None)
        folded = np.fft.rfft(_folded(_whitened(_resampled(mono, sample_rate))))[_LOWEST_HZ:_HIGHEST_HZ]
        spectra = np.zeros((BITS + 1, _RATE // 2 + 1), np.complex128)
        spectra[:, _LOWEST_HZ:_HIGHEST_HZ] = folded * self._lines.conj()
        correlations = np.fft.irfft(spectra, _RATE, axis=1)
        spread = correlations.std(axis=1, keepdims=True)
        correlations /= np.maximum(spread, np.finfo(np.float64).tiny)
        totals = (correlations**2).sum(axis=0)
        best = int(totals.argmax())
        score = float(totals[best])
        if score < _ENOUGH_FOR_BITS:
            return FoundMark(score, None)
        signs = correlations[1:, best] * correlations[0, best] > 0
        return FoundMark(score, int(sum(1 << number for number in range(BITS) if signs[number])))

    def _period(self, message: int, sample_rate: int) -> _Reals:
        """Return one second of the mark at a sample rate, as noise of an even level in its band."""
        signs = np.array([1, *(1 if message >> number & 1 else -1 for number in range(BITS))])
        lines = (signs[:, None] * self._lines).sum(axis=0) / np.sqrt(BITS + 1)
        spectrum = np.zeros(sample_rate // 2 + 1, np.complex128)
        highest = min(_HIGHEST_HZ, sample_rate // 2)
        spectrum[_LOWEST_HZ:highest] = lines[: highest - _LOWEST_HZ]
        period: _Reals = np.fft.irfft(spectrum, sample_rate) * np.sqrt(sample_rate / 2)
        return period


def _ended(blocks: Iterable[Block]) -> Iterator[Block | None]:
    yield from blocks
    yield None


def _shaped(source: _Reals, frames: int, overlap: _Reals, shape: tuple[_Reals, _Reals, int]) -> tuple[_Reals, _Reals]:
    """Return the mark for the next `frames` half windows, and what overlaps into the one after them.

    Each bin of the mark has the level of the sound around it, and at most that of the frames before and after, so that
    the mark does not sound before an onset.

    Args:
        source: The sound from one half window before the first frame, [channels, samples].
        frames: Number of frames.
        overlap: The second half of the frame before.
        shape: One second of the mark, the window, and the place of the first frame in samples.
    """
    period, window, at = shape
    half = len(window) // 2
    pieces = np.lib.stride_tricks.sliding_window_view(source, 2 * half, axis=1)[:, ::half][:, : frames + 2]
    logs = np.log(np.abs(np.fft.rfft(pieces * window, axis=2)) + _FLOOR)
    level = np.maximum(np.exp(_smooth(logs)) - _FLOOR, 0.0)
    level[level < 10 * _FLOOR] = 0.0  # silence stays silent
    level = np.minimum(np.minimum(level[:, :-2], level[:, 1:-1]), level[:, 2:])
    places = (at + half * np.arange(frames)[:, None] + np.arange(2 * half)) % len(period)
    spectra = np.fft.rfft(period[places] * window, axis=1)
    spectra /= np.sqrt(half)
    shaped = np.fft.irfft(spectra * level * 10 ** (_LEVEL_DB / 20), 2 * half, axis=2) * window
    added = shaped[:, :, :half].copy()
    added[:, 1:] += shaped[:, :-1, half:]
    added[:, 0] += overlap
    return added.reshape(len(source), -1), shaped[:, -1, half:]


def _sums(given: list[Block], added: _Reals, *, last: bool) -> Iterator[Block]:
    """Yield sound plus mark for as many samples as both have. With `last`, all of the sound."""
    while given and (added.shape[1] or last):
        block = given.pop(0)
        count = min(block.shape[1], added.shape[1])
        if count < block.shape[1] and not last:
            given.insert(0, block[:, count:])
            block = block[:, :count]
        marked = block.astype(np.float64)
        marked[:, :count] += added[:, :count]
        added = added[:, count:]
        yield marked.astype(np.float32)


def _smooth(values: _Reals) -> _Reals:
    """Return the mean over neighbouring bins, the last axis."""
    width = 2 * _SMOOTH_BINS + 1
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(_SMOOTH_BINS, _SMOOTH_BINS)], mode="edge")
    sums = np.cumsum(np.pad(padded, [(0, 0)] * (values.ndim - 1) + [(1, 0)]), axis=-1)
    smooth: _Reals = (sums[..., width:] - sums[..., :-width]) / width
    return smooth


def _resampled(mono: _Reals, sample_rate: int) -> _Reals:
    """Return sound at the rate of the detector, each second resampled in its spectrum with half a second around it."""
    if sample_rate == _RATE:
        return mono
    length = mono.size * _RATE // sample_rate
    out = np.empty(length)
    for start in range(0, length, _RATE):
        count = min(_RATE, length - start)
        first = start // _RATE * sample_rate - sample_rate // 2
        piece = np.zeros(2 * sample_rate)
        inside = mono[max(first, 0) : first + 2 * sample_rate]
        piece[max(-first, 0) : max(-first, 0) + inside.size] = inside
        spectrum = np.fft.rfft(piece)
        narrow = np.zeros(_RATE + 1, np.complex128)
        narrow[: min(len(spectrum), len(narrow))] = spectrum[: len(narrow)]
        out[start : start + count] = np.fft.irfft(narrow, 2 * _RATE)[_RATE // 2 :][:count] * (_RATE / sample_rate)
    return out


def _whitened(mono: _Reals) -> _Reals:
    """Return sound with every bin at the same level, so that loud parts do not hide the mark in the others."""
    half = round(_HALF_WINDOW_S * _RATE)
    window = np.sqrt(np.hanning(2 * half + 1)[:-1])
    padded = np.pad(mono, (half, 3 * half))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)[::half]
    spectra = np.fft.rfft(pieces * window, axis=1)
    size = np.abs(spectra)
    level = np.exp(_smooth(np.log(size + _FLOOR)))
    spectra *= np.minimum(1.0 / (level + _FLOOR), _STRONGEST / (size + _FLOOR))
    shaped = np.fft.irfft(spectra, 2 * half, axis=1) * window
    out = np.zeros((len(shaped) + 1) * half)
    out[: len(shaped) * half] += shaped[:, :half].ravel()
    out[half:] += shaped[:, half:].ravel()
    return out[half : half + mono.size]


def _folded(sound: _Reals) -> _Reals:
    """Return the sum of all seconds of the sound."""
    padded = np.pad(sound, (0, -sound.size % _RATE))
    folded: _Reals = padded.reshape(-1, _RATE).sum(axis=0)
    return folded
