# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes in an editor's units: timecode, dBFS, hertz."""

from __future__ import annotations

import math
from fractions import Fraction

import pyqtgraph as pg

from stemline_panel.model.formatting import TimeFormat
from stemline_panel.sound.spectrogram import LOWEST_HZ
from stemline_panel.theme import COLOURS

_STEPS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_LABEL_PIXELS = 110
_FREQUENCIES = (100, 250, 500, 1000, 2000, 4000, 8000, 16000)
_LEVELS_DB = (-3, -6, -12, -18, -24, -30, -36)
_LEVEL_PIXELS = 20


class TimeAxis(pg.AxisItem):
    """TimeFormat on whole steps of time, as timecode where there is a frame rate."""

    def __init__(self) -> None:
        super().__init__("bottom")
        self.time_format = TimeFormat()
        self.setTextPen(COLOURS.dim)
        self.setPen(COLOURS.line)

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        wanted = (high - low) * _LABEL_PIXELS / max(1.0, size)
        step = next((step for step in _STEPS_S if step >= wanted), _STEPS_S[-1])
        rate = self.time_format.rate
        if rate is not None and step < 1:
            frames = max(1, round(step * rate))
            step = float(frames / rate)
        first = math.ceil(low / step - 1e-9)
        return [(step, [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [self._label(value) for value in values]

    def _label(self, value: float) -> str:
        grid = self.time_format.rate or Fraction(1000)
        return self.time_format.of(round(value * grid) / grid)


class FrequencyAxis(pg.AxisItem):
    """Hertz on the spectrogram's logarithmic scale, whose height is 1."""

    def __init__(self) -> None:
        super().__init__("left")
        self.highest_hz = 20000.0
        self.setTextPen(COLOURS.dim)
        self.setPen(COLOURS.line)

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        span = math.log(self.highest_hz / LOWEST_HZ)
        return [(1.0, [math.log(hz / LOWEST_HZ) / span for hz in _FREQUENCIES if hz < self.highest_hz * 0.9])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [self._words(LOWEST_HZ * (self.highest_hz / LOWEST_HZ) ** value) for value in values]

    def _words(self, hertz: float) -> str:
        return f"{hertz / 1000:.0f}k" if hertz >= 999 else f"{hertz:.0f}"


class LevelAxis(pg.AxisItem):
    """dBFS on a linear scale of samples, both ways from the middle."""

    def __init__(self) -> None:
        super().__init__("left")
        self.setTextPen(COLOURS.dim)
        self.setPen(COLOURS.line)

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        apart = (high - low) * _LEVEL_PIXELS / max(1.0, size)
        levels: list[float] = []
        for level in (10 ** (db / 20) for db in _LEVELS_DB):
            far = not levels or levels[-1] - level >= apart
            if apart / 2 < level < high - apart / 2 and far:
                levels.append(level)
        return [(1.0, [*(-level for level in levels), *levels])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{20 * math.log10(abs(value)):.0f}" for value in values]
