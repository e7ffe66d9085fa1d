# SPDX-License-Identifier: GPL-3.0-or-later
"""The levels of the layers that are heard, which change linearly so that neither a switch nor a fader clicks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

SWITCH_SAMPLES = 256
LEVEL_SAMPLES = 1024

Stereo = npt.NDArray[np.float32]


class LevelRamp:
    """Mixes layers at levels that move to their targets. A level is a factor; a layer that is not named has 0."""

    def __init__(self, levels: Mapping[str, float]) -> None:
        """Start at `levels`."""
        self._before: dict[str, float] = dict(levels)
        self._after = self._before
        self._at = self._length = 0

    def move_to(self, levels: Mapping[str, float]) -> None:
        """Move from where the levels are now to `levels`: fast to other layers, slower to other levels of the same."""
        if levels == self._after:
            return
        same = levels.keys() == self._after.keys()
        self._before, self._after = self._now(), dict(levels)
        self._at, self._length = 0, LEVEL_SAMPLES if same else SWITCH_SAMPLES

    def mix(self, sounds: Mapping[str, Stereo], count: int) -> Stereo:
        """Return the sum of the next `count` samples of all layers at their levels, as float32 [2, count].

        Layers without sound are silent.
        """
        out = np.zeros((2, count), np.float32)
        if self._at < self._length:
            way = np.minimum((self._at + np.arange(count, dtype=np.float32)) / self._length, 1)
        else:
            way = np.ones(1, np.float32)
        for name in self._before.keys() | self._after.keys():
            before, after = self._before.get(name, 0.0), self._after.get(name, 0.0)
            if name in sounds and (before or after):
                level = np.float32(before) + np.float32(after - before) * way if before != after else np.float32(after)
                out += sounds[name] * level
        self._at = min(self._length, self._at + count)
        if self._at == self._length:
            self._before = self._after
        return out

    def _now(self) -> dict[str, float]:
        way = self._at / self._length if self._length else 1.0
        names = self._before.keys() | self._after.keys()
        levels = {}
        for name in names:
            before, after = self._before.get(name, 0.0), self._after.get(name, 0.0)
            levels[name] = before + (after - before) * way
        return levels
