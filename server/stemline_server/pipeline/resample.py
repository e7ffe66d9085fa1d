"""A change of sample rate in pieces that together equal the whole.

Windowed-sinc interpolation with the parameters of resampy's `kaiser_best`: by `torchaudio.transforms.Resample`, on
pieces cut where the grids of both rates meet, or where they hardly ever meet by polynomials. A piece is given more of
its surroundings than the filter reaches, so where it is cut does not matter. Output sample j stands at the time
j / to_rate, counted in whole numbers: nothing is shifted or drifts.
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
from stemline_server.pipeline.interpolation import Interpolation, Values

_ZERO_CROSSINGS = 64
_ROLLOFF = 0.9475937167399596
_KAISER_BETA = 14.769656459379492
_LONGEST_STEP = 640
"""11.025 to 48 kHz. torchaudio holds a filter for each sample of the step between two places where the grids meet, as
long as that step: pull-down rates (48 to 47.952 kHz) would take it eight times as long, others would never end."""
_BLOCK_OUTPUTS = 1 << 14


@dataclass(frozen=True)
class Resampler:
    """A change from one rate to another. It has no state: any range of the output can be computed."""

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
        """Return how far, in input samples, an output depends on samples to either side."""
        return self._filter_reach + self._interpolation.spacing

    @property
    def _filter_reach(self) -> int:
        return math.ceil(_ZERO_CROSSINGS * self.from_rate / (min(self.from_rate, self.to_rate) * _ROLLOFF)) + 1

    def output_length(self, input_samples: int) -> int:
        """Return the length of the output for that many input samples."""
        return -(-input_samples * self.to_rate // self.from_rate)

    @property
    def _meets_often(self) -> bool:
        return max(self._in_step, self._out_step) <= _LONGEST_STEP

    def input_range(self, start_sample: int, end_sample: int) -> tuple[int, int]:
        """Return the input that outputs [start, end) depend on. It may extend past either end of the sound."""
        end = end_sample * self.from_rate // self.to_rate + self.reach_samples + 1
        if not self._meets_often:
            return start_sample * self.from_rate // self.to_rate - self.reach_samples, end
        first_step = start_sample // self._out_step - -(-self.reach_samples // self._in_step)
        return first_step * self._in_step, end

    def apply(self, samples: Waveform, start_sample: int, end_sample: int) -> Waveform:
        """Return outputs [start, end) of `samples`, [rows, n], which is all of `input_range(start, end)`."""
        first_input = self.input_range(start_sample, end_sample)[0]
        if end_sample <= start_sample:
            return samples[:, :0]
        if not self._meets_often:
            return self._interpolation.apply(samples, first_input, start_sample, end_sample)
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

    @cached_property
    def _interpolation(self) -> Interpolation:
        return Interpolation(self.from_rate, self.to_rate, self._filter_reach, self._taps)

    def _taps(self, distances: Values) -> Values:
        cutoff = min(1.0, self.to_rate / self.from_rate) * _ROLLOFF
        crossings = distances * cutoff
        inside = np.clip(crossings / _ZERO_CROSSINGS, -1, 1)
        window: Values = np.i0(_KAISER_BETA * np.sqrt(1 - inside**2)) / np.i0(_KAISER_BETA)
        return cutoff * np.sinc(crossings) * window * (np.abs(inside) < 1)


@dataclass(frozen=True)
class ResampledSource:
    """A source at another rate."""

    source: AudioSource
    resampler: Resampler

    @property
    def sample_rate(self) -> int:
        """Return the sample rate in Hz."""
        return self.resampler.to_rate

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self.source.channels

    @property
    def length_samples(self) -> int:
        """Return the length in samples."""
        return self.resampler.output_length(self.source.length_samples)

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [channels, samples]."""
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
    """Yield consecutive blocks [rows, n] at another rate, with silence before the first block and after the last."""
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
