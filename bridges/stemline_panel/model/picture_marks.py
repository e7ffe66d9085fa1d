# SPDX-License-Identifier: GPL-3.0-or-later
"""An object that the user marked in a frame: its marks, its mask and the box around it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from stemline.media.pictures.following import MaskAt
from stemline.media.pictures.tracking import Marks, Mask
from stemline.prompts import Box

Points = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class MarkedObject:
    """The marks in one frame, in a form that undo can compare.

    Attributes:
        media: Path of the media.
        found: The object that the marks show, with the time of the frame in the media.
        box: x, y, width and height of the drawn box, in pixels of the frame.
        plus: Points on the object.
        minus: Points that are not on it.
        drawn: What was painted, or None.
    """

    media: str
    found: MaskAt
    box: tuple[int, int, int, int] | None
    plus: Points
    minus: Points
    drawn: MaskAt | None

    @classmethod
    def of(cls, media: str, time: Fraction, marks: Marks, mask: Mask) -> MarkedObject:
        """Return the object `mask` that `marks` show in the frame at `time` of the media."""
        drawn = None if marks.mask is None else MaskAt.of(time, marks.mask, 1.0)
        return cls(media, MaskAt.of(time, mask, 1.0), marks.box, marks.plus, marks.minus, drawn)

    @property
    def marks(self) -> Marks:
        """The marks of the frame."""
        return Marks(self.box, self.plus, self.minus, None if self.drawn is None else self.drawn.mask)


def box_around(mask: Mask, time: Fraction) -> Box:
    """Return the box around a mask that is not empty, in per cent of the picture, at `time` of the timeline."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    across, down = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
    place = [Fraction(100 * left, width), Fraction(100 * top, height)]
    size = [Fraction(100 * across, width), Fraction(100 * down, height)]
    return Box(*place, *size, time=max(Fraction(0), time), percent=True)
