"""Interface of trackers, which follow an object from one marked picture to its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stemline.media.pictures.picture_track import Picture

Mask = npt.NDArray[np.bool_]
"""[height, width], true where the object is."""

TRACKED_PIXELS = 640
"""Longest side of the pictures that trackers work on."""

DOUBTFUL = 0.6
"""A confidence below this flags a picture to look at."""

_CUT = 0.5
_COLOUR_COLUMNS = 160


@dataclass(frozen=True, slots=True)
class Marks:
    """What a user marked in one picture, in its pixels.

    Attributes:
        box: x, y, width and height of a box around the object.
        plus: Points (x, y) on the object.
        minus: Points that are not on it.
        mask: The object as drawn with a brush or a lasso, or as an earlier mask shows it. Points correct it.
    """

    box: tuple[int, int, int, int] | None = None
    plus: tuple[tuple[int, int], ...] = ()
    minus: tuple[tuple[int, int], ...] = ()
    mask: Mask | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is marked."""
        return self.box is None and not self.plus and not self.minus and self.mask is None


@dataclass(frozen=True, slots=True)
class Step:
    """The object in the next picture.

    Attributes:
        mask: Where it is.
        confidence: 0 to 1; below `DOUBTFUL` the picture should be looked at.
        is_cut: Whether the picture is of another shot: the mask is empty, and tracking has ended.
    """

    mask: Mask
    confidence: float
    is_cut: bool = False


class Tracker(Protocol):
    """Follows one object. The caller chooses the direction by the order of the pictures, which all have one size."""

    def start(self, picture: Picture, marks: Marks) -> Mask:
        """Return the mask of the marked object in the picture where tracking begins.

        Raises:
            UsageError: The marks show no object.
        """
        ...

    def step(self, picture: Picture) -> Step:
        """Return the object in the picture that follows the last one."""
        ...


def shot_colours(picture: Picture) -> npt.NDArray[np.float32]:
    """Return the share of each of 8 x 8 x 8 colours, [512], which changes at a cut."""
    every = max(1, picture.shape[1] // _COLOUR_COLUMNS)
    places = (picture[::every, ::every] >> 5).reshape(-1, 3).astype(np.int32) @ np.array([64, 8, 1], np.int32)
    share: npt.NDArray[np.float32] = (np.bincount(places, minlength=512) / len(places)).astype(np.float32)
    return share


def is_cut_between(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> bool:
    """Return whether two pictures belong to different shots, by their `shot_colours`."""
    return float(np.abs(after - before).sum()) / 2 > _CUT
