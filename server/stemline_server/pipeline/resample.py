"""A change of sample rate in pieces that together equal the whole.

Windowed-sinc interpolation by `torchaudio.transforms.Resample` with the parameters of resampy's `kaiser_best`. A
piece is cut where the grids of both rates meet and is given more of its surroundings than the filter reaches, so where
it is cut does not matter. Output sample j stands at the time j / to_rate: nothing is shifted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stemline_server._torchaudio import torchaudio_transforms
from stemline_server.engines.base import AudioSource, Waveform

_ZERO_CROSSINGS = 64
_ROLLOFF = 0.9475937167399596
_KAISER_BETA = 14.769656459379492
_MOST_PHASES = 4096
"""Rates that share no small ratio would need a filter for each of their phases, up to gigabytes of them."""
_BLOCK_OUTPUTS = 1 << 14
_DIRECT_OUTPUTS = 1 << 12


@dataclass(frozen=True)
class Resampler:
    """From one rate to another. Stateless: any range of the output can be asked for."""

    from_rate: int
    to_rate: int

    @property
    def _in_step(self) -> int:
        return self.from_rate // math.gcd(self.from_rate, self.to_rate)

    @property
    def _out_step(self) -> int:
        return self.to_rate // math.gcd(self.from_rate, self.to_rate)

    @property
    def reach_samples(self) -> int:
        """How far, in input samples, the filter looks to either side."""
        return math.ceil(_ZERO_CROSSINGS * self.from_rate / (min(self.from_rate, self.to_rate) * _ROLLOFF)) + 1

    def output_length(self, input_samples: int) -> int:
        return -(-input_samples * self.to_rate // self.from_rate)

    def input_range(self, start_sample: int, end_sample: int) -> tuple[int, int]:
        """The input that outputs [start, end) depend on, from a place where the grids meet; may pass either end."""
        first_step = start_sample // self._out_step - -(-self.reach_samples // self._in_step)
        return first_step * self._in_step, end_sample * self.from_rate // self.to_rate + self.reach_samples + 1

    def apply(self, samples: Waveform, start_sample: int, end_sample: int) -> Waveform:
        """Outputs [start, end) from `samples`, [rows, n]: the whole of `input_range(start, end)`."""
        first_input = self.input_range(start_sample, end_sample)[0]
        if self._out_step > _MOST_PHASES:
            return self._apply_directly(samples, first_input, start_sample, end_sample)
        import torch  # noqa: PLC0415 - takes seconds; only a change of rate needs it

        first_output = first_input // self._in_step * self._out_step
        with torch.inference_mode():
            outputs = self._kernel(torch.from_numpy(np.ascontiguousarray(samples))).numpy()
        return np.ascontiguousarray(outputs[:, start_sample - first_output : end_sample - first_output])

    @cached_property
    def _kernel(self) -> Any:
        return torchaudio_transforms().Resample(
            self._in_step,
            self._out_step,
            resampling_method="sinc_interp_kaiser",
            lowpass_filter_width=_ZERO_CROSSINGS,
            rolloff=_ROLLOFF,
            beta=_KAISER_BETA,
        )

    def _apply_directly(self, samples: Waveform, first_input: int, start: int, end: int) -> Waveform:
        """The same filter evaluated for each output by itself."""
        reach = self.reach_samples
        cutoff = min(1.0, self.to_rate / self.from_rate) * _ROLLOFF
        pieces = []
        for piece in range(start, end, _DIRECT_OUTPUTS):
            at = np.arange(piece, min(piece + _DIRECT_OUTPUTS, end), dtype=np.int64) * self.from_rate
            centre, part = np.divmod(at, self.to_rate)
            taps = np.arange(-reach, reach + 1)
            crossings = (taps - (part / self.to_rate)[:, None]) * cutoff
            inside = np.clip(crossings / _ZERO_CROSSINGS, -1, 1)
            window = np.i0(_KAISER_BETA * np.sqrt(1 - inside**2)) / np.i0(_KAISER_BETA)
            kernel = (cutoff * np.sinc(crossings) * window * (np.abs(inside) < 1)).astype(np.float32)
            pieces.append(np.einsum("rnt,nt->rn", samples[:, (centre - first_input)[:, None] + taps], kernel))
        return np.concatenate(pieces, axis=1) if pieces else samples[:, :0]


@dataclass(frozen=True)
class ResampledSource:
    """A source at another rate."""

    source: AudioSource
    resampler: Resampler

    @property
    def sample_rate(self) -> int:
        return self.resampler.to_rate

    @property
    def channels(self) -> int:
        return self.source.channels

    @property
    def length_samples(self) -> int:
        return self.resampler.output_length(self.source.length_samples)

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        pieces = [
            self._piece(start, min(start + _BLOCK_OUTPUTS, end_sample))
            for start in range(start_sample, end_sample, _BLOCK_OUTPUTS)
        ]
        return np.concatenate(pieces, axis=1) if pieces else np.zeros((self.channels, 0), np.float32)

    def _piece(self, start_sample: int, end_sample: int) -> Waveform:
        start, end = self.resampler.input_range(start_sample, end_sample)
        length = self.source.length_samples
        inside = self.source.read(min(max(start, 0), length), min(max(end, 0), length))
        padded = np.pad(inside, ((0, 0), (max(0, -start), max(0, end - length))))
        return self.resampler.apply(padded, start_sample, end_sample)


def resampled_blocks(blocks: Iterable[Waveform], resampler: Resampler) -> Iterator[Waveform]:
    """Consecutive blocks [rows, n] at another rate. Silence is taken to stand before the first and after the last."""
    held: Waveform | None = None
    held_start = done = received = 0
    for block in blocks:
        if held is None:
            held_start = resampler.input_range(0, 0)[0]
            held = np.zeros((block.shape[0], -held_start), np.float32)
        held = np.concatenate((held, block), axis=1)
        received += block.shape[1]
        ready = (received - resampler.reach_samples - 2) * resampler.to_rate // resampler.from_rate
        if ready - done >= _BLOCK_OUTPUTS:
            yield resampler.apply(_slice(held, held_start, resampler.input_range(done, ready)), done, ready)
            done = ready
            kept_from = resampler.input_range(done, done)[0]
            held, held_start = held[:, kept_from - held_start :].copy(), kept_from
    end = resampler.output_length(received)
    if held is not None and end > done:
        wanted = resampler.input_range(done, end)
        held = np.pad(held, ((0, 0), (0, max(0, wanted[1] - held_start - held.shape[1]))))
        yield resampler.apply(_slice(held, held_start, wanted), done, end)


def _slice(held: Waveform, held_start: int, wanted: tuple[int, int]) -> Waveform:
    return held[:, wanted[0] - held_start : wanted[1] - held_start]
