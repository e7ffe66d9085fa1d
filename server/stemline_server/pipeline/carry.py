"""Carries an estimate of a fold-down to each of its channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.pipeline.spatial import frame_samples, stems_of_channels

_PIECE_FRAMES = 24


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
