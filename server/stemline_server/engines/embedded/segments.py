"""A question about a sound that is answered for stretches of it, each asked once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

SECOND = 48_000
_SEGMENT_SAMPLES = 8 * SECOND
_CONTEXT_SAMPLES = 4 * SECOND
_FADE_SAMPLES = SECOND


class Segments:
    """`is_so` is asked about a range of samples: eight seconds and the four to either side of them."""

    def __init__(self, length_samples: int, is_so: Callable[[int, int], bool]) -> None:
        self._length = length_samples
        self._is_so = is_so
        self._known: dict[int, bool] = {}

    def share(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """[n]: 1 in segments where it is so, 0 in others; the second around their borders fades."""
        at = np.arange(start_sample, end_sample) / _SEGMENT_SAMPLES - 0.5
        segments = range(int(np.floor(at[0])), int(np.floor(at[-1])) + 2) if at.size else range(0)
        last = (self._length - 1) // _SEGMENT_SAMPLES
        known = np.array([self._answer(min(max(number, 0), last)) for number in segments], np.float32)
        if not known.any():
            return np.zeros(at.size, np.float32)
        below = np.floor(at).astype(np.int64)
        sharp = _SEGMENT_SAMPLES / _FADE_SAMPLES
        towards = np.clip((at - below - 0.5) * sharp + 0.5, 0, 1).astype(np.float32)
        index = below - segments.start
        return known[index] * (1 - towards) + known[index + 1] * towards

    def _answer(self, segment: int) -> bool:
        if segment not in self._known:
            start = segment * _SEGMENT_SAMPLES - _CONTEXT_SAMPLES
            end = (segment + 1) * _SEGMENT_SAMPLES + _CONTEXT_SAMPLES
            self._known[segment] = self._is_so(max(0, start), min(end, self._length))
        return self._known[segment]
