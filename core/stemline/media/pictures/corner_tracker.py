"""Follow an object by its corners: a similarity moves its mask, a narrow band refines it, hidden pixels are dropped.

The optical flow of Lucas and Kanade follows corners inside the mask, forwards and back. RANSAC fits a similarity from a
reference picture to the present one, which moves the reference mask. Where the moved reference picture differs from the
present one, the object is hidden. GrabCut (Rother et al. 2004) decides the pixels near the outline. The result
becomes the new reference at intervals, unless much of the object is hidden. A lost object is searched for in the whole
picture by normalised correlation with the reference, in the size and the angle that it had last.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stemline.errors import Code, UsageError
from stemline.media.pictures.picture_track import Picture
from stemline.media.pictures.tracking import DOUBTFUL, Marks, Mask, Step, is_cut_between, shot_colours

_MAX_CORNERS = 200
_FEW_CORNERS = 40
_FEWEST_CORNERS = 6
_FLOW: dict[str, Any] = {"winSize": (15, 15), "maxLevel": 3}
_BACK_PIXELS = 1.0
_BAND = 8
_NEW_REFERENCE = 8
_REFINED_EVERY = 2
_VISIBLE = 0.9
_FOUND_AGAIN = 0.85
_HIDDEN_LEVELS = 38
_SMOOTH = (9, 9)
_CLICK_PIXELS = 70
_MARGIN = 24
_LEAST_PIXELS = 20

Affine = npt.NDArray[np.float64]
Points = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


class CornerTracker:
    """A `Tracker` that needs no model. It follows rigid and slowly deforming objects through one shot.

    Args of the constructor switch parts off, for comparisons.
    """

    def __init__(self, *, refine: bool = True) -> None:
        """Make a tracker; without `refine` the moved mask alone is returned."""
        self._refine = refine
        self._mask = np.zeros((0, 0), np.uint8)
        self._count = 0

    def start(self, picture: Picture, marks: Marks) -> Mask:
        """See `Tracker`."""
        mask = first_mask(picture, marks)
        self._colours = shot_colours(picture)
        self._take_reference(picture, mask.astype(np.uint8))
        self._count = 0
        return mask

    def step(self, picture: Picture) -> Step:
        """See `Tracker`."""
        colours = shot_colours(picture)
        is_cut = is_cut_between(self._colours, colours)
        self._colours = colours
        if is_cut or not self._mask.any():
            self._mask = np.zeros_like(self._mask)
            return Step(self._mask.astype(bool), 0.0, is_cut)
        self._count += 1
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        found = self._follow(grey) or self._find_again(picture, grey)
        size = (picture.shape[1], picture.shape[0])
        moved = cv2.warpAffine(self._mask, self._moved, size, flags=cv2.INTER_NEAREST)
        if not moved.any():
            return Step(moved.astype(bool), 0.0)
        visible, confidence = self._visible(picture, moved)
        if not found and confidence < DOUBTFUL:
            return Step(np.zeros_like(visible, bool), 0.0)
        mask = visible
        if self._refine and found and self._count % _REFINED_EVERY == 0:
            share = np.count_nonzero(visible) / np.count_nonzero(moved)
            mask = _refined(picture, visible)
            if self._count % _NEW_REFERENCE == 0 and share >= _VISIBLE and np.count_nonzero(mask) >= _LEAST_PIXELS:
                self._take_reference(picture, mask)
        return Step(mask.astype(bool), confidence if found else 0.0)

    def _take_reference(self, picture: Picture, mask: Bytes) -> None:
        """Make a picture and its mask those that later pictures are compared with."""
        self._mask = mask
        self._smooth = cv2.blur(picture, _SMOOTH)
        self._grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        self._moved: Affine = np.eye(2, 3)
        self._now = self._origin = _corners(self._grey, mask)

    def _follow(self, grey: Bytes) -> bool:
        """Follow the corners into the next picture and fit the similarity from the reference. False where it fails."""
        before, self._grey = self._grey, grey
        if len(self._now) < _FEWEST_CORNERS:
            return False
        now, seen, _ = cv2.calcOpticalFlowPyrLK(before, grey, self._now, None, **_FLOW)
        back, seen_back, _ = cv2.calcOpticalFlowPyrLK(grey, before, now, None, **_FLOW)
        distance = np.linalg.norm(back - self._now, axis=-1).ravel()
        good = (seen.ravel() > 0) & (seen_back.ravel() > 0) & (distance < _BACK_PIXELS)
        now, origin = now[good], self._origin[good]
        if len(now) < _FEWEST_CORNERS:
            self._now, self._origin = now, origin
            return False
        fitted, inliers = cv2.estimateAffinePartial2D(origin, now, method=cv2.RANSAC, ransacReprojThreshold=2.5)
        if fitted is None or int(inliers.sum()) < _FEWEST_CORNERS:
            self._now, self._origin = now, origin
            return False
        kept = inliers.ravel() > 0
        self._moved, self._now, self._origin = fitted, now[kept], origin[kept]
        if len(self._now) < _FEW_CORNERS:
            self._add_corners(grey)
        return True

    def _find_again(self, picture: Picture, grey: Bytes) -> bool:
        """Search for the reference in the whole picture, and go on from there. False where nothing fits it well."""
        last, corners = self._moved, (self._now, self._origin)
        place = self._best_place(grey)
        if place is None:
            return False
        self._moved = place
        self._now = self._origin = np.zeros((0, 1, 2), np.float32)
        moved = cv2.warpAffine(self._mask, place, (grey.shape[1], grey.shape[0]), flags=cv2.INTER_NEAREST)
        if np.count_nonzero(moved) >= _LEAST_PIXELS:
            visible, confidence = self._visible(picture, moved)
            share = np.count_nonzero(visible) / np.count_nonzero(moved)
            if confidence >= _FOUND_AGAIN and share >= _VISIBLE:
                self._add_corners(grey)
        if len(self._now) >= _FEWEST_CORNERS:
            return True
        self._moved, (self._now, self._origin) = last, corners
        return False

    def _best_place(self, grey: Bytes) -> Affine | None:
        """Return the last similarity, moved to where the picture fits the reference best. None where it has no room."""
        x, y, width, height = cv2.boundingRect(self._mask)
        outline = np.array([[[x, y]], [[x + width, y]], [[x, y + height]], [[x + width, y + height]]], np.float32)
        turned = cv2.transform(outline, self._moved)
        left, top = np.floor(turned.min(axis=(0, 1)))
        wide, high = np.ceil(turned.max(axis=(0, 1)) - (left, top)).astype(int)
        if not (0 < wide <= grey.shape[1] and 0 < high <= grey.shape[0]):
            return None
        shift = self._moved.copy()
        shift[:, 2] -= (left, top)
        size = (int(wide), int(high))
        where = cv2.warpAffine(self._mask, shift, size, flags=cv2.INTER_NEAREST)
        reference = cv2.warpAffine(cv2.cvtColor(self._smooth, cv2.COLOR_RGB2GRAY), shift, size)
        fits = cv2.matchTemplate(cv2.blur(grey, _SMOOTH), reference, cv2.TM_CCOEFF_NORMED, mask=where)
        fits[~np.isfinite(fits)] = -1
        row, column = np.unravel_index(int(fits.argmax()), fits.shape)
        shift[:, 2] += (column, row)
        return shift

    def _add_corners(self, grey: Bytes) -> None:
        """Find corners where the moved mask is, and their places in the reference."""
        moved = cv2.warpAffine(self._mask, self._moved, (grey.shape[1], grey.shape[0]), flags=cv2.INTER_NEAREST)
        fresh = _corners(grey, moved)
        if len(fresh):
            origin = cv2.transform(fresh, cv2.invertAffineTransform(self._moved)).astype(np.float32)
            self._now = np.concatenate([self._now, fresh])
            self._origin = np.concatenate([self._origin, origin])

    def _visible(self, picture: Picture, moved: Bytes) -> tuple[Bytes, float]:
        """Return the moved mask without hidden pixels, and how well the moved reference fits what is visible."""
        x, y, width, height = _around(moved, 2)
        here = (slice(y, y + height), slice(x, x + width))
        shift = self._moved.copy()
        shift[:, 2] -= (x, y)
        reference = cv2.warpAffine(self._smooth, shift, (width, height))
        present = cv2.blur(picture[here], _SMOOTH)
        differs = cv2.absdiff(reference, present).max(axis=2)
        shown = moved[here] & (differs <= _HIDDEN_LEVELS).astype(np.uint8)
        visible = np.zeros_like(moved)
        visible[here] = shown
        return visible, _correlation(reference, present, moved[here] > 0)


def first_mask(picture: Picture, marks: Marks) -> Mask:
    """Return the object that the marks show, by GrabCut inside the box, around the points, or as drawn.

    Raises:
        UsageError: The marks show no object.
    """
    if marks.mask is not None and not (marks.plus or marks.minus):
        mask = marks.mask
    else:
        mask = _cut_out(picture, _guess(picture, marks))
    if np.count_nonzero(mask) < _LEAST_PIXELS:
        raise UsageError(
            "The marks show no object in this picture.",
            code=Code.PROMPT_UNSUPPORTED,
            advice="Draw a box around the object, or paint it with the brush.",
        )
    return mask


def _guess(picture: Picture, marks: Marks) -> Bytes:
    """Return GrabCut's start: certain and probable pixels of the object and of the ground."""
    guess = np.full(picture.shape[:2], cv2.GC_BGD, np.uint8)
    if marks.mask is not None:
        guess[marks.mask] = cv2.GC_PR_FGD
        near = cv2.dilate(marks.mask.astype(np.uint8), np.ones((2 * _BAND + 1, 2 * _BAND + 1), np.uint8)) > 0
        guess[near & ~marks.mask] = cv2.GC_PR_BGD
    if marks.box is not None:
        x, y, width, height = marks.box
        guess[max(0, y) : y + height, max(0, x) : x + width] = cv2.GC_PR_FGD
    elif marks.mask is None:
        for point in marks.plus:
            cv2.circle(guess, point, 2 * _CLICK_PIXELS, cv2.GC_PR_BGD, -1)
        for point in marks.plus:
            cv2.circle(guess, point, _CLICK_PIXELS, cv2.GC_PR_FGD, -1)
    for points, value in ((marks.plus, cv2.GC_FGD), (marks.minus, cv2.GC_BGD)):
        for point in points:
            cv2.circle(guess, point, 5, value, -1)
    return guess


def _cut_out(picture: Picture, guess: Bytes, rounds: int = 5) -> Mask:
    """Run GrabCut on the part of the picture around the object, at half its size where that is large."""
    object_like = ((guess == cv2.GC_PR_FGD) | (guess == cv2.GC_FGD)).astype(np.uint8)
    if not object_like.any():
        return np.zeros(guess.shape, bool)
    x, y, width, height = _around(object_like, 2 * _MARGIN)
    here = (slice(y, y + height), slice(x, x + width))
    part, start = picture[here], guess[here].copy()
    small = width * height > 200 * 200
    if small:
        part = cv2.resize(part, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        start = cv2.resize(start, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
    decided = _grabcut(part, start, rounds)
    if small:
        decided = cv2.resize(decided, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = np.zeros(guess.shape, bool)
    mask[here] = _largest(decided > 127)
    return mask


def _refined(picture: Picture, mask: Bytes) -> Bytes:
    """Let GrabCut decide the pixels in a band around the outline of the mask."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BAND + 1, 2 * _BAND + 1))
    x, y, width, height = _around(mask, _MARGIN)
    here = (slice(y, y + height), slice(x, x + width))
    part, own = picture[here], mask[here]
    inner, outer = cv2.erode(own, kernel), cv2.dilate(own, kernel)
    if not inner.any() or outer.all():
        return mask
    start = np.where(inner > 0, cv2.GC_FGD, np.where(outer > 0, cv2.GC_PR_BGD, cv2.GC_BGD)).astype(np.uint8)
    start[(own > 0) & (inner == 0)] = cv2.GC_PR_FGD
    refined = np.zeros_like(mask)
    refined[here] = _grabcut(part, start, 1) > 127
    return refined


def _grabcut(part: Picture, start: Bytes, rounds: int) -> Bytes:
    """Return 255 where GrabCut decides for the object."""
    values = set(np.unique(start).tolist())
    if not values & {cv2.GC_FGD, cv2.GC_PR_FGD} or not values & {cv2.GC_BGD, cv2.GC_PR_BGD}:
        return np.where((start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(part), start, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    return np.where((start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)


def _largest(mask: Mask) -> Mask:
    """Return the largest part and those at least a tenth of its size, without specks."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count <= 2:
        return mask
    sizes = facts[1:, cv2.CC_STAT_AREA]
    large = [number + 1 for number, size in enumerate(sizes) if size * 10 >= sizes.max()]
    found: Mask = np.isin(labels, large)
    return found


def _corners(grey: Bytes, mask: Bytes) -> Points:
    """Return corners inside the mask, [n, 1, 2]."""
    found: Any = cv2.goodFeaturesToTrack(grey, _MAX_CORNERS, 0.01, 4, mask=mask * np.uint8(255))
    return np.zeros((0, 1, 2), np.float32) if found is None else found


def _around(mask: Bytes, margin: int) -> tuple[int, int, int, int]:
    """Return x, y, width and height of the box around the mask, with a margin inside the picture."""
    x, y, width, height = cv2.boundingRect(mask)
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(mask.shape[1], x + width + margin), min(mask.shape[0], y + height + margin)
    return left, top, right - left, bottom - top


def _correlation(one: Bytes, other: Bytes, where: Mask) -> float:
    a, b = (pixels[where].astype(np.float32).mean(axis=1) for pixels in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return max(0.0, float((a * b).sum()) / scale) if scale > 0 else 0.0
