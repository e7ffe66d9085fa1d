"""Shape a fill: equalise it like the removed sound, place it in a room, and lower it under another stem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.clips import MediaSource, SampleRange
from stemline.errors import MediaError, UsageError
from stemline.fill.texture import SoundReader, read_blocks, resampled_blocks
from stemline.media import measure_loudness, open_audio
from stemline.media.samples import FloatBlock

ROOMS = {"small": (0.25, -9.0), "medium": (0.6, -6.0), "large": (1.5, -3.0)}
"""Rooms by name: reverberation time in seconds, and the level in dB of the reverberation against the direct sound."""

_POINTS = 8192
EQ_TAPS = 4095
_MAX_EQ_DB = 12.0
_AUDIBLE_DB = 10.0  # a band of the removed sound counts where it is this far above the residual
_FLOOR_DB = 75.0  # below the loudest band, levels are noise
_MAX_IMPULSE_S = 10.0
_DUCK_FRAME_S = 0.02
_DUCK_RANGE_DB = 20.0
_ATTACK_S = 0.15
_RELEASE_S = 0.4

_Levels = npt.NDArray[np.float64]


def third_octave_levels(blocks: Iterable[FloatBlock], sample_rate: int) -> _Levels:
    """Return the mean level in dB of each third of an octave from 50 Hz on; -200 for no sound."""
    centres = _centres(sample_rate)
    total, count = np.zeros(_POINTS // 2 + 1), 0
    window = np.hanning(_POINTS)
    for block in blocks:
        mono = np.pad(block.mean(axis=0), (0, max(0, _POINTS - block.shape[1])))
        for start in range(0, len(mono) - _POINTS + 1, _POINTS // 2):
            total += np.abs(np.fft.rfft(mono[start : start + _POINTS] * window)) ** 2
            count += 1
    frequencies = np.fft.rfftfreq(_POINTS, 1 / sample_rate)
    edges = [(c / 2 ** (1 / 6), c * 2 ** (1 / 6)) for c in centres]
    powers = [total[(frequencies >= low) & (frequencies < high)].sum() / max(count, 1) for low, high in edges]
    levels: _Levels = 10 * np.log10(np.array(powers) + 1e-20)
    return levels


def matching_filter(
    wanted_db: _Levels, have_db: _Levels, residual_db: _Levels, sample_rate: int, share: float
) -> npt.NDArray[np.float32]:
    """Return the taps of a linear-phase filter [1, 4095] that gives a fill the spectrum of the removed sound.

    The difference of the third-octave levels, without its median, is smoothed, limited to 12 dB and multiplied by
    `share`. Bands in which the removed sound is less than 10 dB above the residual stay as they are.

    Args:
        wanted_db: Levels of the removed sound, from `third_octave_levels`.
        have_db: Levels of the fill.
        residual_db: Levels of the residual.
        sample_rate: Samples per second.
        share: 0 to 1.
    """
    usable = (wanted_db > residual_db + _AUDIBLE_DB) & (wanted_db > wanted_db.max() - _FLOOR_DB)
    usable &= have_db > have_db.max() - _FLOOR_DB
    difference = np.zeros(len(wanted_db))
    if usable.any():
        difference[usable] = (wanted_db - have_db)[usable] - np.median((wanted_db - have_db)[usable])
    smooth = np.convolve(np.pad(difference, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    gains_db = np.clip(smooth, -_MAX_EQ_DB, _MAX_EQ_DB) * share
    frequencies = np.fft.rfftfreq(EQ_TAPS + 1, 1 / sample_rate)
    curve = np.interp(np.log2(np.maximum(frequencies, 1.0)), np.log2(_centres(sample_rate)), gains_db)
    impulse = np.roll(np.fft.irfft(10 ** (curve / 20)), EQ_TAPS // 2)[:EQ_TAPS]
    taps: npt.NDArray[np.float32] = (impulse * np.hanning(EQ_TAPS + 2)[1:-1]).astype(np.float32)[np.newaxis]
    return taps


def filtered(
    blocks: Iterable[FloatBlock], taps: npt.NDArray[np.float32], delay_samples: int = 0
) -> Iterator[FloatBlock]:
    """Yield the blocks [channels, samples] convolved with `taps` [1 or channels, n], by overlapping and adding.

    The first `delay_samples` are left out, so that a linear-phase filter does not delay. The tail of the filter follows
    as the last block.
    """
    length = taps.shape[1]
    tail: npt.NDArray[np.float64] | None = None
    skip = delay_samples
    for block in blocks:
        samples = block.shape[1]
        points = 1 << (samples + length - 2).bit_length()
        spectrum = np.fft.rfft(block, points, axis=1) * np.fft.rfft(taps, points, axis=1)
        whole = np.fft.irfft(spectrum, points, axis=1)[:, : samples + length - 1]
        if tail is not None:
            whole[:, : length - 1] += tail
        out, tail = whole[:, :samples], whole[:, samples:].copy()
        yield out[:, skip:].astype(np.float32)
        skip = max(0, skip - samples)
    if tail is not None and length > 1:
        yield tail[:, skip:].astype(np.float32)


def check_room(room: str) -> None:
    """Raise UsageError for a room that is neither a name nor an existing file."""
    if room and room not in ROOMS and not Path(room).is_file():
        raise UsageError(
            f"There is no room {room[:80]!r}, and no file of that name.",
            advice=f"Choose one of {', '.join(ROOMS)}, or name a file with an impulse response.",
        )


def room_impulse(room: str, sample_rate: int, channels: int) -> npt.NDArray[np.float32]:
    """Return the impulse response [channels, samples] of a room by name, or of a file of up to ten seconds.

    A named room is the direct sound and noise that decays by 60 dB within the reverberation time.

    Raises:
        MediaError: The file cannot be read, or its channels do not fit.
    """
    if room in ROOMS:
        seconds, level_db = ROOMS[room]
        random = np.random.Generator(np.random.Philox(len(room)))
        time = np.arange(round(seconds * sample_rate)) / sample_rate
        noise = random.standard_normal((channels, len(time))) * 10 ** (-3 * time / seconds)
        noise *= 10 ** (level_db / 20) / np.sqrt((noise**2).sum(axis=1, keepdims=True))
        noise[:, 0] += 1
        return noise.astype(np.float32)
    with open_audio(MediaSource(str(Path(room).absolute()))) as sound:
        end = min(sound.length_samples, round(_MAX_IMPULSE_S * sound.sample_rate))
        blocks = read_blocks(sound, SampleRange(0, end))
        whole = np.concatenate(list(resampled_blocks(blocks, sound.sample_rate, sample_rate)), axis=1)
    if whole.shape[0] not in (1, channels):
        raise MediaError(
            f"The impulse response {Path(room).name} has {whole.shape[0]} channels, but the media has {channels}.",
            advice="Use one with one channel, or with the channels of the media.",
        )
    impulse: npt.NDArray[np.float32] = np.repeat(whole, channels // whole.shape[0], axis=0)
    return impulse


class Ducking:
    """Gains of a fill under another stem: lower where that stem is within 20 dB of its loudness.

    The gain falls within 150 ms before the stem and rises within 400 ms after it, so nothing is clipped at its start.

    Args:
        stem: The stem.
        length_samples: Its length.
        depth_db: Gain under the stem, in dB.
    """

    def __init__(self, stem: SoundReader, length_samples: int, depth_db: float) -> None:
        """Measure the stem. Memory: 8 bytes for each frame of 20 ms."""
        rate = stem.sample_rate
        self._frame = max(1, round(_DUCK_FRAME_S * rate))
        whole = SampleRange(0, length_samples)
        loudness = measure_loudness(read_blocks(stem, whole), rate).lufs
        levels = self._levels(stem, length_samples)
        frames = np.arange(len(levels))
        at = np.flatnonzero(levels > loudness - _DUCK_RANGE_DB)
        if at.size:
            following = at[np.minimum(np.searchsorted(at, frames), at.size - 1)]
            before = at[np.maximum(np.searchsorted(at, frames, "right") - 1, 0)]
            ahead = np.where(following >= frames, following - frames, np.inf) * self._frame / rate
            behind = np.where(before <= frames, frames - before, np.inf) * self._frame / rate
            share = np.clip(np.maximum(1 - ahead / _ATTACK_S, 1 - behind / _RELEASE_S), 0, 1)
        else:
            share = np.zeros(len(levels))
        self._gains_db = depth_db * share

    def gains(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return the gains for samples [start, end)."""
        at = np.arange(start_sample, end_sample)
        centres = (np.arange(len(self._gains_db)) + 0.5) * self._frame
        if not centres.size:
            return np.ones(len(at), np.float32)
        gains: npt.NDArray[np.float32] = (10 ** (np.interp(at, centres, self._gains_db) / 20)).astype(np.float32)
        return gains

    def _levels(self, stem: SoundReader, length_samples: int) -> _Levels:
        frames = -(-length_samples // self._frame)
        levels = np.full(frames, -200.0)
        step = self._frame * 2000
        for start in range(0, length_samples, step):
            block = stem.read(start, min(start + step, length_samples)).astype(np.float64)
            padded = np.pad(block, ((0, 0), (0, -block.shape[1] % self._frame)))
            power = np.square(padded).sum(axis=0).reshape(-1, self._frame).mean(axis=1)
            first = start // self._frame
            levels[first : first + len(power)] = 10 * np.log10(power + 1e-20)
        return levels


def _centres(sample_rate: int) -> npt.NDArray[np.float64]:
    centres = 1000 * 2.0 ** (np.arange(-13, 14) / 3)
    usable: npt.NDArray[np.float64] = centres[centres * 2 ** (1 / 6) < sample_rate / 2]
    return usable
