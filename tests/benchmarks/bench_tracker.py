"""The tracker on generated clips: its masks against the true ones, and its cost against following corners alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from stemline.media.pictures.corner_tracker import CornerTracker
from stemline.media.pictures.tracking import Marks

from .measure import report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from core.media.tracked_clips import KINDS, TrackedClip, make_clip, overlap, steps

SEEDS = (0, 1, 2)
WANTED = {"moving": 0.90, "fast": 0.90, "occluded": 0.90, "nonrigid": 0.85}


def main() -> None:
    """Prints the mean overlap of each kind of clip, and the ratio of the costs."""
    cv2.setNumThreads(1)
    costs = []
    for kind in KINDS:
        overlaps = []
        for seed in SEEDS:
            clip = make_clip(kind, seed)
            started = time.process_time()
            overlaps.append(mean_overlap(clip))
            tracked_s = time.process_time() - started
            costs.append(tracked_s / corners_alone_s(clip))
        report(
            f"{kind}: mean IoU over 5 s from a box", min(overlaps), f">= {WANTED[kind]}", "the true masks; worst seed"
        )
    report("cost of tracking", float(np.median(costs)), "<= 8", "corners, flow both ways and RANSAC alone")


def mean_overlap(clip: TrackedClip) -> float:
    tracker = CornerTracker()
    overlaps = [overlap(tracker.start(clip.pictures[0], Marks(box=clip.box())), clip.masks[0])]
    overlaps += [overlap(tracker.step(picture).mask, mask) for picture, mask in steps(clip)]
    return float(np.mean(overlaps))


def corners_alone_s(clip: TrackedClip) -> float:
    """Seconds of the processor to follow corners through the clip and move the true first mask."""
    mask = clip.masks[0].astype(np.uint8)
    grey = cv2.cvtColor(clip.pictures[0], cv2.COLOR_RGB2GRAY)
    origin = points = cv2.goodFeaturesToTrack(grey, 200, 0.01, 4, mask=mask * 255)
    started = time.process_time()
    for picture in clip.pictures[1:]:
        after = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        moved, _, _ = cv2.calcOpticalFlowPyrLK(grey, after, points, None, winSize=(15, 15), maxLevel=3)
        back, _, _ = cv2.calcOpticalFlowPyrLK(after, grey, moved, None, winSize=(15, 15), maxLevel=3)
        good = np.linalg.norm(back - points, axis=-1).ravel() < 1
        if good.sum() >= 6:
            origin, moved = origin[good], moved[good]
            fitted, _ = cv2.estimateAffinePartial2D(origin, moved, method=cv2.RANSAC, ransacReprojThreshold=2.5)
            cv2.warpAffine(mask, fitted, (mask.shape[1], mask.shape[0]), flags=cv2.INTER_NEAREST)
        grey, points = after, moved
    return time.process_time() - started


if __name__ == "__main__":
    main()
