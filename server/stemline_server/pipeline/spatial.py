"""Makes the stems of several channels out of one estimate.

The share of the estimate in the fold-down it was made from, per bin of the spectrum, is taken to each channel. Bins
are passed or held back alike in all channels, so level and phase between them stay as they are in the mix. The share
is the phase-sensitive filter of Erdogan et al. (ICASSP 2015): the part of the estimate in phase with the fold-down,
within 0..1.
`docs/adr/0004-channels.md` has the measurements against regression on the estimate.
"""

from __future__ import annotations

import numpy as np

from stemline_server._stft import istft, stft
from stemline_server.engines.base import Waveform
from stemline_server.pipeline.views import fold_down

_FRAME_S = 2_048 / 48_000
_FLOOR = np.float32(1e-12)


def frame_samples(sample_rate: int) -> int:
    """Return the power of two nearest to 43 ms."""
    return int(2 ** round(np.log2(max(64.0, sample_rate * _FRAME_S))))


def stems_of_channels(estimates: Waveform, mix: Waveform, size: int) -> Waveform:
    """Return stems [prompts, channels, n] for estimates [prompts, n] of the fold-down of `mix` [channels, n].

    Works in whole frames of `size`. The outer `size` samples at either end are not final.
    """
    estimated, whole, channels = (stft(x, size) for x in (estimates, fold_down(mix)[0], mix))
    share = np.clip((estimated * whole.conj()).real / (np.square(np.abs(whole)) + _FLOOR), 0, 1)
    return istft(share[:, None] * channels, size)
