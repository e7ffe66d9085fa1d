"""Choose which segments of recorded sound follow one another in a texture."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stemline.media.samples import FloatBlock

HOP_S = 0.01

_BANDS = 16
_BAND_HZ = (60.0, 16_000.0)
_POINTS_AT_48K = 1024
_FLOOR = 1e-7  # of the mean energy: levels below it are not told apart
_FRAMES_AT_ONCE = 256

_RANDOM = 0.3
_REPEATED = 8.0
_SAME_PLACE = 100.0
_REMEMBERED = 60  # segments
_FORGOTTEN = 0.99
_LAG_FRAMES = 4
_LAGS = 1 << 12
_LEAST_SHARE = 0.6
_SHORTEST_SHARE = 0.8

_Levels = npt.NDArray[np.float32]
_Costs = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that may come next.

    Attributes:
        piece: Number of its piece.
        start_sample: Where it begins in the piece.
        frames: Its length in frames of 10 ms.
        first_frame: Its first frame, counted through all pieces.
        is_full: Whether it is about as long as segments should be, rather than all that a short piece holds.
    """

    piece: int
    start_sample: int
    frames: int
    first_frame: int
    is_full: bool


class SegmentChooser:
    """Choose segments of pieces of sound, so that joints are smooth, all sound is used, and no repetition is heard.

    A segment costs more the more the levels of 16 bands at its start differ from those at the end of the segment
    before, the more its sound was used, and the more often sound came again after the same time. The cheapest ones are
    proposed; a random cost varies the choice (after Lu, Wenyin and Zhang, "Audio textures: theory and applications",
    IEEE Transactions on Speech and Audio Processing, 2004).

    Memory: 64 bytes for each 10 ms of sound.

    Args:
        pieces: Recorded sound, each [channels, samples].
        sample_rate: Samples per second.
        seed: Seed of the random costs.
        segment_s: Length of a segment in seconds. Pieces that are shorter give 0.6 to 1.0 of themselves.
    """

    def __init__(self, pieces: tuple[FloatBlock, ...], sample_rate: int, seed: int, segment_s: float) -> None:
        self.hop_samples = round(HOP_S * sample_rate)
        self._random = np.random.Generator(np.random.Philox(seed))
        levels = [_band_energies(piece, self.hop_samples, sample_rate) for piece in pieces]
        energies = np.concatenate(levels)
        self._levels: _Levels = (10 * np.log10(energies + max(_FLOOR * float(energies.mean()), 1e-30))).astype(
            np.float32
        )
        self._spread = float(self._levels.std(axis=0).mean()) + 1e-9
        self._offsets = np.concatenate(([0], np.cumsum([len(each) for each in levels])))
        self._full = round(segment_s / HOP_S)
        self._starts, self._lengths = self._places()
        self._longest = int(self._lengths.max())
        self._used = np.zeros(len(self._levels))
        self._lags = np.zeros(_LAGS)
        self._placed: deque[tuple[int, int, int]] = deque(maxlen=_REMEMBERED)
        self._now = self._last = 0
        self._tail: _Levels | None = None

    def propose(self, count: int) -> list[Segment]:
        """Return the cheapest segments, the cheapest first."""
        costs = self._costs()
        if count == 1:
            return [self._segment(int(np.argmin(costs)))]
        return [self._segment(int(place)) for place in np.argsort(costs, kind="stable")[:count]]

    def take(self, segment: Segment, overlap_samples: int, next_overlap_samples: int) -> None:
        """Note that a segment comes next.

        Args:
            segment: The segment.
            overlap_samples: Its overlap with the segment before.
            next_overlap_samples: Its overlap with the segment after it.
        """
        first, count = segment.first_frame, segment.frames
        overlap = min(round(overlap_samples / self.hop_samples), count)
        following = min(max(1, round(next_overlap_samples / self.hop_samples)), count)
        self._now -= overlap
        self._used[first : first + count] += _share_heard(count, overlap, following)
        lags, overlaps = self._again(np.array([first]), np.array([count]))
        self._lags *= _FORGOTTEN
        for bin_, share in zip(lags[:, 0], overlaps[:, 0] / self._longest, strict=True):
            for neighbour, part in ((bin_ - 1, 0.5), (bin_, 1.0), (bin_ + 1, 0.5)):
                self._lags[min(max(neighbour, 0), _LAGS - 1)] += part * share
        self._placed.append((self._now, first, count))
        self._now += count
        self._tail = self._levels[first + count - following : first + count]
        self._last = first + count - following

    def _places(self) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """Return first frame and longest length of every segment, each inside one piece."""
        starts: list[npt.NDArray[np.int_]] = []
        lengths: list[npt.NDArray[np.int_]] = []
        for first, end in pairwise(self._offsets.tolist()):
            full = min(self._full, end - first)
            least = max(1, int(np.ceil(_LEAST_SHARE * full)))
            places = np.arange(first, end - least + 1)
            starts.append(places)
            lengths.append(np.minimum(full, end - places))
        return np.concatenate(starts), np.concatenate(lengths)

    def _segment(self, place: int) -> Segment:
        first, longest = int(self._starts[place]), int(self._lengths[place])
        frames = longest
        if longest >= self._full:  # joints at equal distances would be heard as a rhythm
            frames = max(1, int(longest * self._random.uniform(_SHORTEST_SHARE, 1.0)))
        piece = int(np.searchsorted(self._offsets, first, "right")) - 1
        start = (first - int(self._offsets[piece])) * self.hop_samples
        return Segment(piece, start, frames, first, longest >= _LEAST_SHARE * self._full)

    def _costs(self) -> _Costs:
        sums = np.concatenate(([0.0], np.cumsum(self._used)))
        used = (sums[self._starts + self._lengths] - sums[self._starts]) / self._lengths
        costs: _Costs = used - self._used.min() + _RANDOM * self._random.standard_normal(len(used))
        if self._tail is None:
            return costs
        count = len(self._tail)
        windows = np.lib.stride_tricks.sliding_window_view(self._levels, count, axis=0)
        heads = windows[np.minimum(self._starts, len(windows) - 1)]
        costs += np.abs(heads - self._tail.T).mean(axis=(1, 2)) / self._spread
        lags, overlaps = self._again(self._starts, self._lengths)
        costs += _REPEATED / self._longest * (overlaps * self._lags[lags]).max(axis=0)
        same = np.abs(self._starts - self._last) < self._full // 4  # that would be the recording going on
        if not same.all():
            costs[same] += _SAME_PLACE
        return costs

    def _again(
        self, starts: npt.NDArray[np.int_], lengths: npt.NDArray[np.int_]
    ) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """Return after which time, in steps of 40 ms, and for how many frames segments repeat each earlier one."""
        placed = np.array(self._placed, dtype=np.int_).reshape(-1, 3)
        when, first, count = (placed[:, column, np.newaxis] for column in range(3))
        lags = (self._now - when - (starts - first)) // _LAG_FRAMES
        overlaps = np.minimum(starts + lengths, first + count) - np.maximum(starts, first)
        return np.clip(lags, 0, _LAGS - 1), np.maximum(overlaps, 0)


def _share_heard(frames: int, overlap: int, following: int) -> npt.NDArray[np.float64]:
    """Return how much of each frame of a segment is heard beside its crossfades."""
    share = np.ones(frames)
    share[:overlap] = (np.arange(overlap) + 0.5) / max(overlap, 1)
    share[frames - following :] *= 1 - (np.arange(following) + 0.5) / following
    return share


def _band_energies(piece: FloatBlock, hop: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the energies [frames, bands] of bands evenly spaced in octaves, of all channels together."""
    points = 1 << round(np.log2(_POINTS_AT_48K * sample_rate / 48_000))
    window = np.hanning(points).astype(np.float32)
    padded = np.pad(piece, ((0, 0), (points // 2, points // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, points, axis=1)[:, ::hop]
    count = max(1, piece.shape[1] // hop)
    edges = np.minimum(np.geomspace(*_BAND_HZ, _BANDS + 1) * points / sample_rate, points // 2)
    bands = [slice(int(low), max(int(high), int(low) + 1)) for low, high in pairwise(edges)]
    energies = np.zeros((count, _BANDS))
    for start in range(0, count, _FRAMES_AT_ONCE):
        block = frames[:, start : min(start + _FRAMES_AT_ONCE, count)] * window
        power = np.square(np.abs(np.fft.rfft(block, axis=2))).sum(axis=0)
        energies[start : start + len(power)] = np.stack([power[:, band].sum(axis=1) for band in bands], axis=1)
    return energies
