"""Carries an estimate of a fold-down to each of its channels.

The share of the estimate in the fold-down it was made from, per bin of the spectrum, is taken to each channel. Bins
are passed or held back alike in all channels, so level and phase between them stay as they are in the mix. The share
is the phase-sensitive filter of Erdogan et al. (ICASSP 2015): the part of the estimate in phase with the fold-down,
within 0..1.
`docs/adr/0004-channels.md` has the measurements against regression on the estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from stemline_server._stft import istft, stft
from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.pipeline.views import fold_down

_PIECE_FRAMES = 24
_FRAME_S = 2_048 / 48_000
_FLOOR = np.float32(1e-12)


def carried(estimates: Iterable[Waveform], channels: AudioSource) -> Iterator[Waveform]:
    """Yield blocks [prompts, channels, n] for blocks [prompts, 1, n] at the rate of `channels`, as many samples in all.

    Works on pieces with a frame of context at either end, so that the places where they meet make no difference.
    """
    context = frame_samples(channels.sample_rate)
    piece = _PIECE_FRAMES * context
    held: Waveform | None = None
    done = received = 0
    for block in estimates:
        if held is None:
            held = np.zeros((block.shape[0], context), np.float32)
        held = np.concatenate((held, block[:, 0]), axis=1)
        received += block.shape[-1]
        while received - done >= piece + context:
            yield _carry_piece(held[:, : piece + 2 * context], channels, done - context)
            held = held[:, piece:]
            done += piece
    while held is not None and done < received:
        padded = np.pad(held, ((0, 0), (0, max(0, piece + 2 * context - held.shape[1]))))
        yield _carry_piece(padded[:, : piece + 2 * context], channels, done - context)[..., : received - done]
        held = held[:, piece:]
        done += piece


def _carry_piece(estimates: Waveform, channels: AudioSource, start_sample: int) -> Waveform:
    """Return [prompts, channels, n less a frame at either end] for [prompts, n] that begins at `start_sample`."""
    context = frame_samples(channels.sample_rate)
    end_sample = start_sample + estimates.shape[1]
    length = channels.length_samples
    inside = channels.read(max(0, start_sample), min(end_sample, length))
    mix = np.pad(inside, ((0, 0), (max(0, -start_sample), max(0, end_sample - length))))
    return stems_of_channels(estimates, mix, context)[..., context : estimates.shape[1] - context]


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
