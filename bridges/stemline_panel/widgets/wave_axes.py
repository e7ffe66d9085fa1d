# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes in an editor's units: timecode, dBFS and hertz."""

from __future__ import annotations

import math
from fractions import Fraction

import pyqtgraph as pg

from stemline_panel.model.formatting import TimeFormat
from stemline_panel.model.ruler import tick_times
from stemline_panel.sound.spectrogram import LOWEST_HZ
from stemline_panel.theme import COLOURS

_LABEL_PIXELS = 110
_FREQUENCIES = (100, 250, 500, 1000, 2000, 4000, 8000, 16000)
_LEVELS_DB = (-3, -6, -12, -18, -24, -30, -36)
_LEVEL_PIXELS = 20
_FREQUENCY_PIXELS = 15


class TimeAxis(pg.AxisItem):
    """The time ruler."""

    def __init__(self) -> None:
        """Place the axis at the bottom."""
        super().__init__("bottom")
        self.time_format = TimeFormat()
        self.setTextPen(COLOURS.dim)
        self.setPen(COLOURS.line)

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        """Return the ticks of a view that is `size` pixels wide."""
        spacing = (high - low) * _LABEL_PIXELS / max(1.0, size)
        return [tick_times(low, high, spacing, self.time_format)]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Return the labels of ticks."""
        return [self._label(value) for value in values]

    def _label(self, value: float) -> str:
        grid, start = self.time_format.rate or Fraction(1000), self.time_format.start
        return self.time_format.of(round((Fraction(value) + start) * grid) / grid - start)


class FrequencyAxis(pg.AxisItem):
    """Hertz on the spectrogram's logarithmic scale, whose height is 1."""

    def __init__(self) -> None:
        """Place the axis at the left."""
        super().__init__("left")
        self.highest_hz = 20000.0
        self.setTextPen(COLOURS.dim)
        self.setPen(COLOURS.line)

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        """Return the usual frequencies below the highest that have room."""
        octaves = math.log(self.highest_hz / LOWEST_HZ)
        places = [math.log(hz / LOWEST_HZ) / octaves for hz in _FREQUENCIES if hz < self.highest_hz * 0.9]
        apart = (high - low) * _FREQUENCY_PIXELS / max(1.0, size)
        ticks: list[float] = []
        for place in places:
            if not ticks or place - ticks[-1] >= apart:
                ticks.append(place)
        return [(1.0, ticks)]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Return the frequencies as text."""
        return [self._label(LOWEST_HZ * (self.highest_hz / LOWEST_HZ) ** value) for value in values]

    def _label(self, hertz: float) -> str:
        return f"{hertz / 1000:.0f}k" if hertz >= 999 else f"{hertz:.0f}"


class LevelAxis(pg.AxisItem):
    """Levels in dBFS on a linear scale of samples, above and below the middle."""

    def __init__(self) -> None:
        """Place the axis at the left."""
        super().__init__("left")
        self.setTextPen(COLOURS.dim)
        self.setPen(COLOURS.line)

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        """Return the levels that have room."""
        apart = (high - low) * _LEVEL_PIXELS / max(1.0, size)
        levels: list[float] = []
        for level in (10 ** (db / 20) for db in _LEVELS_DB):
            far = not levels or levels[-1] - level >= apart
            if apart / 2 < level < high - apart / 2 and far:
                levels.append(level)
        return [(1.0, [*(-level for level in levels), *levels])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Return the levels as text."""
        return [f"{20 * math.log10(abs(value)):.0f}" for value in values]
