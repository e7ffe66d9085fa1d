"""Find when an object stops sharply, from its motion relative to the ground: then, struck things sound.

A hammer, a drumstick, a foot or a door stops when it sounds. The speed of the object is the median optical flow (Lucas
and Kanade) of corners inside its mask less that of corners outside, so that the motion of the camera does not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from stemline.media.pictures.picture_track import Picture
from stemline.media.pictures.tracking import Mask

_FEWEST_CORNERS = 4
_MAX_CORNERS = 80
_LEAST_SPEED = 48.0  # pixels a second of the tracked picture
_STOPPED = 0.4
_APART_S = 0.08

Floats = npt.NDArray[np.float64]
Grey = npt.NDArray[np.uint8]


def relative_speeds(frames: Iterable[tuple[Fraction, Picture, Mask | None]]) -> tuple[Floats, Floats]:
    """Return the times of frames, [n], and the speed of the object before each in pixels a second, [n].

    Args:
        frames: Time, picture and mask of each frame in order; None where the object is not in the picture. A frame
            after such a one has no speed.
    """
    times, speeds = [], []
    before: tuple[Fraction, Grey, Mask] | None = None
    for time, pixels, mask in frames:
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        if mask is None or not mask.any():
            before = None
            continue
        if before is not None:
            inside, outside = (_flow((before[1], grey), where) for where in (before[2], ~before[2]))
            if inside is not None:
                moved = inside - (outside if outside is not None else 0)
                times.append(float(time))
                speeds.append(float(np.hypot(*moved)) / float(time - before[0]))
        before = time, grey, mask
    return np.array(times), np.array(speeds)


def sharp_stops(times: Floats, speeds: Floats) -> list[float]:
    """Return the times after which a clear speed falls below 0.4 of it within two frames.

    Clear is at least half of the 98th percentile of the speeds: an object that is raised slowly and strikes fast stops
    when it strikes.
    """
    stops: list[float] = []
    least = max(_LEAST_SPEED, float(np.quantile(speeds, 0.98)) / 2) if len(speeds) else _LEAST_SPEED
    for number in range(1, len(speeds) - 1):
        clear = max(speeds[number - 1], speeds[number])
        if clear >= least and speeds[number] >= _STOPPED * clear > speeds[number + 1]:
            moment = float(times[number])
            if not stops or moment - stops[-1] > _APART_S:
                stops.append(moment)
    return stops


def _flow(pair: tuple[Grey, Grey], where: Mask) -> npt.NDArray[np.float64] | None:
    """Return the median movement (x, y) of corners in a mask between two pictures; None where there are too few."""
    before, after = pair
    corners = cv2.goodFeaturesToTrack(before, _MAX_CORNERS, 0.01, 5, mask=where.astype(np.uint8) * np.uint8(255))
    if corners is None or len(corners) < _FEWEST_CORNERS:
        return None
    moved, seen, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(21, 21), maxLevel=3)
    good = seen.ravel() > 0
    if np.count_nonzero(good) < _FEWEST_CORNERS:
        return None
    found: npt.NDArray[np.float64] = np.median((moved - corners)[good].reshape(-1, 2), axis=0).astype(np.float64)
    return found
