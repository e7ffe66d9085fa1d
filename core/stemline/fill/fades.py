"""Fade between a recording and a fill at the edges of spans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange

FADE_S = 0.1


def fill_gains(
    spans: Sequence[SampleRange], start_sample: int, end_sample: int, sample_rate: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the gains of the fill and of the recording under it for samples [start, end).

    Inside a span the fill has gain 1 and the recording 0. Outside, both cross at equal power within 100 ms, so that the
    squares of the two gains add up to 1 at every sample.

    Args:
        spans: Where the fill replaces the recording, in order, without overlaps.
        start_sample: First sample.
        end_sample: The sample after the last.
        sample_rate: Samples per second.
    """
    fade = max(1, round(FADE_S * sample_rate))
    share = np.zeros(end_sample - start_sample)
    at = np.arange(start_sample, end_sample)
    for span in spans:
        if span.end_sample + fade <= start_sample or span.start_sample - fade >= end_sample:
            continue
        distance = np.maximum(np.maximum(span.start_sample - at, at - (span.end_sample - 1)), 0)
        np.maximum(share, 1 - np.minimum(distance / fade, 1), out=share)
    angle = share * (np.pi / 2)
    return np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)
