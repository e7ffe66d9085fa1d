"""Windowed-sinc interpolation at any place between samples, at a cost that does not depend on the ratio of the rates.

Farrow, "A continuously variable digital delay element", ISCAS 1988: each tap of the filter is a polynomial in the
place between two samples, so a bank of a dozen fixed filters replaces all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import Waveform

_DEGREE = 11
"""The taps are as smooth as a sinc: the polynomials are within 1e-8 of them, below what float32 holds."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interpolation:
    """`taps` gives the filter's values at distances from its centre, in input samples: zero from `reach` on.

    The bank is applied at every input sample, or at every few where the output has fewer of them.
    """

    from_rate: int
    to_rate: int
    reach: int
    taps: Callable[[Values], Values]

    @property
    def spacing(self) -> int:
        """Return the input samples from one place where the bank is applied to the next."""
        return max(1, self.from_rate // self.to_rate)

    def apply(self, samples: Waveform, first_input: int, start_sample: int, end_sample: int) -> Waveform:
        """Return outputs [start, end) of [rows, n] that begins at input `first_input` and covers `reach + spacing`."""
        import torch  # noqa: PLC0415 - takes seconds; only a change of rate needs it

        at = np.arange(start_sample, end_sample, dtype=np.int64) * self.from_rate
        unit = self.spacing * self.to_rate
        nearest = (2 * at + unit) // (2 * unit)
        place = ((2 * (at - nearest * unit)) / unit).astype(np.float32)
        lead = int(nearest[0]) * self.spacing - self._half_width - first_input
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(samples[:, None, lead:]))
            terms = torch.nn.functional.conv1d(given, self._bank, stride=self.spacing).numpy()
        terms = terms[..., nearest - nearest[0]]
        value = terms[:, _DEGREE]
        for power in reversed(range(_DEGREE)):
            value = value * place + terms[:, power]
        return np.ascontiguousarray(value)

    @property
    def _half_width(self) -> int:
        return self.reach + self.spacing // 2

    @cached_property
    def _bank(self) -> Any:
        """Return [powers, 1, taps]: each tap's polynomial in the place between the middles of two spacings, -1..1."""
        import torch  # noqa: PLC0415 - as above

        places = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
        positions = np.arange(-self._half_width, self._half_width + 1)
        values = self.taps(positions - places[:, None] * self.spacing / 2)
        powers = np.polynomial.polynomial.polyfit(places, values, _DEGREE)
        return torch.from_numpy(powers.astype(np.float32)[:, None])
