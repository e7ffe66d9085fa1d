"""Endless texture from short pieces of sound: grains, a quilt, or shaped noise. All stream, and repeat for a seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline.fill.selection import Segment, SegmentChooser
from stemline.media.samples import FloatBlock

Texture = Iterator[tuple[FloatBlock, int, float]]
"""Segments [channels, samples], each with its overlap with the one before and how the two correlate there (0 to 1)."""

_READ_SAMPLES = 1 << 16
_GRAIN_S = 0.5
_GRAIN_JOINT_S = 0.1
_SHORT_JOINT_S = 0.04
_QUILT_S = 1.0
_QUILT_JOINT_S = 0.04
_SEARCH_S = 0.02  # one period of 50 Hz mains
_SEARCH_HZ = 8000
_CANDIDATES = 8
_NOISE_POINTS = 2048
_NOISE_HOP = _NOISE_POINTS // 2


class SoundReader(Protocol):
    """Random access to a recording, such as `stemline.media.AudioReader`."""

    sample_rate: int

    def read(self, start_sample: int, end_sample: int) -> FloatBlock:
        """Return samples [start, end) as float32 [channels, end - start]."""
        ...


def read_blocks(sound: SoundReader, span: SampleRange) -> Iterator[FloatBlock]:
    """Yield a span of a recording in order, block by block."""
    for start in range(span.start_sample, span.end_sample, _READ_SAMPLES):
        yield sound.read(start, min(start + _READ_SAMPLES, span.end_sample))


def read_whole(sound: SoundReader, span: SampleRange) -> FloatBlock:
    """Read a span of a recording, block by block."""
    return np.concatenate(list(read_blocks(sound, span)), axis=1)


def resampled_blocks(blocks: Iterable[FloatBlock], from_rate: int, to_rate: int) -> Iterator[FloatBlock]:
    """Yield the blocks [channels, samples] at another sample rate, by FFmpeg's resampler."""
    if from_rate == to_rate:
        yield from blocks
        return
    resampler: av.AudioResampler | None = None
    for block in blocks:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=f"{block.shape[0]}C")
        frame.sample_rate = from_rate
        if resampler is None:
            resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=to_rate)
        yield from (out.to_ndarray().astype(np.float32, copy=False) for out in resampler.resample(frame))
    if resampler is not None:
        yield from (out.to_ndarray().astype(np.float32, copy=False) for out in resampler.resample(None))


def joined(texture: Texture) -> Iterator[FloatBlock]:
    """Yield the texture as consecutive blocks [channels, samples], crossfaded at constant power.

    The gains of a crossfade depend on the correlation of its two sides: equal power where they are unrelated, equal
    gain where they are the same.
    """
    current: FloatBlock | None = None
    for segment, overlap, correlation in texture:
        if current is None:
            current = segment
            continue
        yield current[:, : current.shape[1] - overlap]
        if overlap == 0:
            current = segment
            continue
        angle = (np.arange(overlap, dtype=np.float32) + np.float32(0.5)) * np.float32(np.pi / 2 / overlap)
        out, into = np.cos(angle), np.sin(angle)
        power = np.sqrt(1 + 2 * out * into * np.float32(correlation))
        faded = (current[:, current.shape[1] - overlap :] * out + segment[:, :overlap] * into) / power
        current = np.concatenate([faded, segment[:, overlap:]], axis=1, dtype=np.float32)
    if current is not None:
        yield current


def grains(pieces: tuple[FloatBlock, ...], sample_rate: int, seed: int) -> Texture:
    """Yield grains of 0.4 to 0.5 seconds, each from inside one piece, without end.

    Pieces shorter than a grain give 0.6 to 1.0 of themselves. All channels of a grain come from the same place, which
    keeps the stereo image. `SegmentChooser` chooses them.
    """
    chooser = SegmentChooser(pieces, sample_rate, seed, _GRAIN_S)
    overlap = 0
    while True:
        (segment,) = chooser.propose(1)
        length = min(segment.frames * chooser.hop_samples, pieces[segment.piece].shape[1] - segment.start_sample)
        overlap = min(overlap, length // 2)
        following = min(round((_GRAIN_JOINT_S if segment.is_full else _SHORT_JOINT_S) * sample_rate), length // 2)
        chooser.take(segment, overlap, following)
        yield pieces[segment.piece][:, segment.start_sample : segment.start_sample + length], overlap, 0.0
        overlap = following


def quilt(pieces: tuple[FloatBlock, ...], sample_rate: int, seed: int) -> Texture:
    """Yield segments whose starts continue the waveform of the segment before, without end. For tonal room tone.

    Of the eight best segments, each shifted by up to 20 ms to where it correlates best with the end of the segment
    before, the best is taken (Efros and Freeman, "Image quilting", 2001, applied to sound).
    """
    chooser = SegmentChooser(pieces, sample_rate, seed, _QUILT_S)
    joint = round(_QUILT_JOINT_S * sample_rate)
    tail: FloatBlock | None = None
    while True:
        segment, shift, correlation = _best_continuation(chooser, pieces, sample_rate, tail)
        start = segment.start_sample + shift
        sound = pieces[segment.piece][:, start : start + segment.frames * chooser.hop_samples]
        overlap = 0 if tail is None else min(tail.shape[1], sound.shape[1] // 2)
        following = min(joint, sound.shape[1] // 2)
        chooser.take(segment, overlap, following)
        yield sound, overlap, correlation
        tail = sound[:, sound.shape[1] - following :]


def shaped_noise(pieces: tuple[FloatBlock, ...], seed: int) -> Iterator[FloatBlock]:
    """Yield Gaussian noise [channels, 1024] with the averaged cross-spectra of the pieces, without end.

    The matrix of cross-spectra of each frequency is factored, so that channels keep their level and their coherence.
    """
    factors = _cross_spectral_factors(pieces)
    channels = factors.shape[1]
    window = np.sin(np.pi * (np.arange(_NOISE_POINTS) + 0.5) / _NOISE_POINTS)
    random = np.random.Generator(np.random.Philox(seed))
    overlap = np.zeros((channels, _NOISE_HOP))
    while True:
        white = random.standard_normal((2, _NOISE_HOP + 1, channels)) / np.sqrt(2)
        spectrum = np.einsum("fij,fj->if", factors, white[0] + 1j * white[1])
        frame = np.fft.irfft(spectrum, _NOISE_POINTS, axis=1) * window
        yield (overlap + frame[:, :_NOISE_HOP]).astype(np.float32)
        overlap = frame[:, _NOISE_HOP:]


def _best_continuation(
    chooser: SegmentChooser, pieces: tuple[FloatBlock, ...], sample_rate: int, tail: FloatBlock | None
) -> tuple[Segment, int, float]:
    """Return the segment that correlates best with `tail` at its start, its shift, and the correlation (0 to 1)."""
    if tail is None:
        return chooser.propose(1)[0], 0, 0.0
    best: tuple[float, Segment, int] | None = None
    for segment in chooser.propose(_CANDIDATES):
        length = segment.frames * chooser.hop_samples
        shift, correlation = _align(pieces[segment.piece], segment.start_sample, length, tail, sample_rate)
        if best is None or correlation > best[0]:
            best = (correlation, segment, shift)
    assert best is not None  # noqa: S101 - there is at least one segment
    return best[1], best[2], float(np.clip(best[0], 0.0, 1.0))


def _align(piece: FloatBlock, start: int, length: int, tail: FloatBlock, sample_rate: int) -> tuple[int, float]:
    """Return the shift in samples that correlates best, and the correlation there: coarsely, then to the sample."""
    reach = round(_SEARCH_S * sample_rate)
    low, high = max(0, start - reach), max(start, min(piece.shape[1] - length, start + reach))
    step = max(1, sample_rate // _SEARCH_HZ)
    wanted = tail.mean(axis=0)
    sound = piece[:, low : high + tail.shape[1]].mean(axis=0)
    if not step <= len(wanted) <= len(sound):
        return 0, 0.0
    coarse = int(np.argmax(_correlations(_thinned(sound, step), _thinned(wanted, step)))) * step
    fine_low = max(0, coarse - step)
    fine = sound[fine_low : min(len(sound), coarse + step + len(wanted))]
    scores = _correlations(fine, wanted)
    found = int(np.argmax(scores))
    return low + fine_low + found - start, float(scores[found])


def _thinned(sound: npt.NDArray[np.float32], step: int) -> npt.NDArray[np.float32]:
    """Return the means of consecutive groups of `step` samples."""
    whole = len(sound) // step * step
    means: npt.NDArray[np.float32] = sound[:whole].reshape(-1, step).mean(axis=1)
    return means


def _correlations(sound: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the normalised correlation of `wanted` with `sound` at each place where it fits."""
    products = np.correlate(sound.astype(np.float64), wanted.astype(np.float64), mode="valid")
    squares = np.concatenate(([0.0], np.cumsum(sound.astype(np.float64) ** 2)))
    energies = squares[len(wanted) :] - squares[: len(squares) - len(wanted)]
    norm = np.sqrt(np.maximum(energies, 0) * float(np.sum(wanted.astype(np.float64) ** 2)))
    scores: npt.NDArray[np.float64] = products / np.maximum(norm, 1e-20)
    return scores


def _cross_spectral_factors(pieces: tuple[FloatBlock, ...]) -> npt.NDArray[np.complex128]:
    """Return one square factor [frequency, channel, channel] of the averaged cross-spectra for each frequency."""
    window = np.sin(np.pi * (np.arange(_NOISE_POINTS) + 0.5) / _NOISE_POINTS)
    channels = pieces[0].shape[0]
    total = np.zeros((_NOISE_HOP + 1, channels, channels), dtype=np.complex128)
    count = 0
    for piece in pieces:
        sound = np.pad(piece, ((0, 0), (0, max(0, _NOISE_POINTS - piece.shape[1])))).astype(np.float64)
        share = min(1.0, piece.shape[1] / _NOISE_POINTS)  # a padded window holds only this much sound
        for start in range(0, sound.shape[1] - _NOISE_POINTS + 1, _NOISE_HOP):
            spectrum = np.fft.rfft(sound[:, start : start + _NOISE_POINTS] * window, axis=1)
            total += np.einsum("if,jf->fij", spectrum, spectrum.conj()) / share
            count += 1
    total /= max(count, 1)
    # The window's mean square is 1/2, and two overlapping frames add up to 1: each frame carries twice its power.
    values, vectors = np.linalg.eigh(total * 2)
    factors: npt.NDArray[np.complex128] = vectors * np.sqrt(np.maximum(values, 0))[:, np.newaxis, :]
    return factors
