"""Room tone: learn it where the removed sound is silent, and make as much of it as is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline.errors import Code, SeparationError
from stemline.fill.texture import SoundReader, Texture, grains, joined, quilt, read_whole, shaped_noise
from stemline.media.samples import FloatBlock

LEAST_S = 0.15
"""Seconds of room tone without which nothing is made."""

_THIN_S = 0.5
_MOST_S = 12.0  # more room tone than this makes no better texture
_MOST_PIECE_S = 2.0
_SECTION_S = 30.0
_SECTION_JOIN_S = 1.0

_TREND_PIECE_S = 1.0
_TREND_WIDTH_S = 1.5
_TREND_STEP_S = 0.1
_TREND_REACH_S = 30.0
_TREND_MOST_DB = 8.0

TONAL_SHARE = 0.1
"""Share of the energy in standing peaks above which room tone counts as tonal.

Measured: hum with noise 10 dB above it 0.21, eight ambiences of rain, wind, birds and insects 0.00.
"""

_POINTS = 16_384
_NEIGHBOURS = 41
_PEAK = 10.0**1.2
_STANDING = 8.0
_BAND_HZ = (40.0, 8000.0)


class RoomToneMethod(StrEnum):
    """How room tone is made."""

    GRAINS = "grains"
    QUILT = "quilt"
    NOISE = "noise"


@dataclass(frozen=True, slots=True, eq=False)
class RoomTone:
    """Room tone that was learnt from one recording.

    Attributes:
        method: Grains by default, a quilt where the room tone is tonal, shaped noise where little was found.
        pieces: Where it was learnt, in samples of the recording.
        sample_rate: Samples per second.
    """

    method: RoomToneMethod
    pieces: tuple[SampleRange, ...]
    sample_rate: int
    _sound: tuple[FloatBlock, ...]

    @property
    def duration_s(self) -> float:
        """Seconds of room tone that were found."""
        return sum(piece.length for piece in self.pieces) / self.sample_rate

    def blocks(self, length_samples: int, *, seed: int) -> Iterator[FloatBlock]:
        """Yield exactly `length_samples` of room tone in blocks [channels, samples]. A seed repeats its result."""
        left = length_samples
        for block in self._endless(seed):
            if left <= 0:
                return
            yield block[:, :left]
            left -= block.shape[1]

    def _endless(self, seed: int) -> Iterator[FloatBlock]:
        if self.method is RoomToneMethod.NOISE:
            return shaped_noise(self._sound, seed)
        texture = quilt if self.method is RoomToneMethod.QUILT else grains
        return joined(texture(self._sound, self.sample_rate, seed))


def learn_room_tone(residual: SoundReader, pieces: tuple[SampleRange, ...]) -> RoomTone:
    """Read the pieces of the residual and choose a method.

    Args:
        residual: The residual, which is the recording itself where the removed stems are silent.
        pieces: Where they are, such as `ActivityMeter.quiet_pieces` finds them. At most 12 seconds are read: evenly
            spaced parts of them.

    Raises:
        SeparationError: Less than 0.15 seconds were found (`ROOM_TONE_MISSING`).
    """
    rate = residual.sample_rate
    chosen = _spread(pieces, rate)
    found_s = sum(piece.length for piece in chosen) / rate
    if found_s < LEAST_S:
        raise SeparationError(
            "No room tone was found: the removed sound is heard throughout.",
            code=Code.ROOM_TONE_MISSING,
            advice="Work on a longer range that holds a moment without it, or use a file in its place.",
        )
    sound = tuple(read_whole(residual, piece) for piece in chosen)
    if found_s < _THIN_S:
        method = RoomToneMethod.NOISE
    elif tonal_share(_fold_down(sound), rate) > TONAL_SHARE:
        method = RoomToneMethod.QUILT
    else:
        method = RoomToneMethod.GRAINS
    return RoomTone(method, chosen, rate, sound)


def room_tone_along(
    residual: SoundReader, pieces: tuple[SampleRange, ...], length_samples: int, *, seed: int
) -> Iterator[FloatBlock]:
    """Yield exactly `length_samples` of room tone whose level and colour follow a recording.

    Its level at each place is that of the nearest pieces, so that it neither jumps at its ends nor stays behind a
    level that moves. A minute is made from pieces all over it. Longer room tone is made in sections of 30 seconds, each
    from the 12 seconds of pieces that are nearest to its middle, with crossfades of a second between them.

    Args:
        residual: The residual.
        pieces: As for `learn_room_tone`.
        length_samples: Length of the room tone, which begins with the residual.
        seed: A seed repeats its result.

    Raises:
        SeparationError: As `learn_room_tone` does.
    """
    rate, at = residual.sample_rate, 0
    trend = LevelTrend(residual, pieces)
    steady = _Steady(residual, trend)
    section, overlap = round(_SECTION_S * rate), round(_SECTION_JOIN_S * rate)
    if length_samples <= 2 * section:
        blocks = learn_room_tone(steady, pieces).blocks(length_samples, seed=seed)
    else:
        blocks = joined(_sections(steady, pieces, (length_samples, section, overlap), seed))
    for block in blocks:
        sound = block[:, : length_samples - at]
        yield sound * trend.gains(at, at + sound.shape[1])
        at += sound.shape[1]


class LevelTrend:
    """The level of the room along a recording, within 8 dB of its median.

    At a place it is the mean in dB of pieces of up to a second, weighted by a Gaussian of their distance.

    Args:
        sound: The recording.
        pieces: Where the room alone is heard.
    """

    def __init__(self, sound: SoundReader, pieces: tuple[SampleRange, ...]) -> None:
        """Measure the pieces. Memory: 16 bytes for each."""
        self._rate = sound.sample_rate
        parts = _cut(pieces, round(_TREND_PIECE_S * self._rate))
        self._centres = np.array([(part.start_sample + part.end_sample) / 2 for part in parts])
        squares = (np.mean(np.square(read_whole(sound, part), dtype=np.float64)) for part in parts)
        levels = 10 * np.log10(np.fromiter(squares, np.float64, len(parts)) + 1e-20)
        median = float(np.median(levels)) if len(parts) else 0.0
        self._levels = np.clip(levels - median, -_TREND_MOST_DB, _TREND_MOST_DB)

    def gains(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return the level at samples [start, end) as a gain beside that of the median."""
        if len(self._centres) < 2 or end_sample <= start_sample:
            return np.ones(max(end_sample - start_sample, 0), np.float32)
        step = round(_TREND_STEP_S * self._rate)
        grid = np.arange(start_sample // step, -(-end_sample // step) + 1) * step
        reach = _TREND_REACH_S * self._rate
        first = max(0, int(np.searchsorted(self._centres, grid[0] - reach)) - 1)
        last = int(np.searchsorted(self._centres, grid[-1] + reach)) + 1
        distances = (grid[:, np.newaxis] - self._centres[first:last]) / (_TREND_WIDTH_S * self._rate)
        logarithms = -np.square(distances) / 2
        weights = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
        levels = (weights * self._levels[first:last]).sum(axis=1) / weights.sum(axis=1)
        at = np.arange(start_sample, end_sample)
        gains: npt.NDArray[np.float32] = (10 ** (np.interp(at, grid, levels) / 20)).astype(np.float32)
        return gains


class _Steady:
    """A recording without the trend of its level."""

    def __init__(self, sound: SoundReader, trend: LevelTrend) -> None:
        self.sample_rate = sound.sample_rate
        self._sound = sound
        self._trend = trend

    def read(self, start_sample: int, end_sample: int) -> FloatBlock:
        steady: FloatBlock = self._sound.read(start_sample, end_sample) / self._trend.gains(start_sample, end_sample)
        return steady


def _sections(
    residual: SoundReader, pieces: tuple[SampleRange, ...], lengths: tuple[int, int, int], seed: int
) -> Texture:
    """Yield the sections block by block; the first block of each overlaps the last one of the section before."""
    length_samples, section, overlap = lengths
    starts = range(0, length_samples, section)
    for number, start in enumerate(starts):
        tone = learn_room_tone(residual, _nearest(pieces, start + section // 2, residual.sample_rate))
        wanted = section + (overlap if number else 0)
        blocks = tone.blocks(wanted, seed=seed + number)
        first = next(blocks)
        while first.shape[1] < overlap:
            first = np.concatenate([first, next(blocks)], axis=1)
        yield first, overlap if number else 0, 0.0
        rest = [np.zeros((first.shape[0], 0), np.float32)]
        for block in blocks:
            rest.append(block)
            if sum(each.shape[1] for each in rest) > 4 * overlap:  # the last one must hold the next overlap
                whole = np.concatenate(rest, axis=1)
                yield whole[:, : -2 * overlap], 0, 0.0
                rest = [whole[:, -2 * overlap :]]
        yield np.concatenate(rest, axis=1), 0, 0.0


def _nearest(pieces: tuple[SampleRange, ...], place: int, rate: int) -> tuple[SampleRange, ...]:
    """Return the pieces, cut to two seconds, that are nearest to a place and last 12 seconds together, in order."""
    longest, most = round(_MOST_PIECE_S * rate), round(_MOST_S * rate)
    parts = _cut(pieces, longest)
    parts.sort(key=lambda part: abs(part.start_sample + part.end_sample - 2 * place))
    chosen: list[SampleRange] = []
    for part in parts:
        if sum(each.length for each in chosen) + part.length > most:
            break
        chosen.append(part)
    return tuple(sorted(chosen, key=lambda part: part.start_sample)) or pieces


def _spread(pieces: tuple[SampleRange, ...], rate: int) -> tuple[SampleRange, ...]:
    """Return all pieces, or evenly spaced parts of up to 2 seconds that together last at most 12 seconds."""
    most = round(_MOST_S * rate)
    if sum(piece.length for piece in pieces) <= most:
        return pieces
    longest = round(_MOST_PIECE_S * rate)
    parts = _cut(pieces, longest)
    return tuple(parts[:: math.ceil(sum(part.length for part in parts) / most)])


def _cut(pieces: tuple[SampleRange, ...], longest: int) -> list[SampleRange]:
    """Return the pieces in parts of at most so many samples."""
    return [
        SampleRange(start, min(start + longest, piece.end_sample))
        for piece in pieces
        for start in range(piece.start_sample, piece.end_sample, longest)
    ]


def tonal_share(mono: npt.NDArray[np.float32], sample_rate: int) -> float:
    """Return the share (0 to 1) of the energy between 40 Hz and 8 kHz that lies in standing spectral peaks.

    A bin is a standing peak where it is 12 dB above the median of its neighbours on average, and 9 dB above it in
    each quarter of the sound.

    Args:
        mono: One channel of samples. Sounds shorter than four windows of 16,384 samples are not judged (0).
        sample_rate: Samples per second.
    """
    if len(mono) < 4 * _POINTS:
        return 0.0
    quarters = np.array([_power(part) for part in np.array_split(mono, 4)])
    power = quarters.mean(axis=0)
    frequencies = np.fft.rfftfreq(_POINTS, 1 / sample_rate)
    band = (frequencies >= _BAND_HZ[0]) & (frequencies <= _BAND_HZ[1])
    floor = _running_median(power)
    standing = power > _PEAK * floor
    for quarter in quarters:
        standing &= quarter > _STANDING * _running_median(quarter)
    total = float(power[band].sum())
    return float(power[band & standing].sum()) / total if total > 0 else 0.0


def _fold_down(pieces: tuple[FloatBlock, ...]) -> npt.NDArray[np.float32]:
    """Return the pieces [channels, samples] one after the other as one channel."""
    folded: npt.NDArray[np.float32] = np.concatenate([piece.mean(axis=0, dtype=np.float32) for piece in pieces])
    return folded


def _power(mono: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    window = np.hanning(_POINTS)
    starts = range(0, len(mono) - _POINTS + 1, _POINTS // 2)
    total = np.zeros(_POINTS // 2 + 1)
    for start in starts:
        total += np.abs(np.fft.rfft(mono[start : start + _POINTS] * window)) ** 2
    return total / len(starts)


def _running_median(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    padded = np.pad(power, _NEIGHBOURS // 2, mode="edge")
    median: npt.NDArray[np.float64] = np.median(np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBOURS), axis=1)
    return median
