"""Cuts a long state into windows of one length and says how their velocities are blended.

All windows share one state, so what one window decides the next one sees (multi-diffusion: Bar-Tal et al. 2023).
Weights ramp linearly where windows overlap, as in Movie Gen (Polyak et al. 2024), and add up to one at every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class WindowSize:
    """The longest window the model is given at once, and how far neighbours overlap, in latent frames."""

    frames: int = 750
    overlap_frames: int = 125


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Windows [start, start + frames) over `total_frames`; `weights` [windows, frames] sum to one at every frame."""

    total_frames: int
    frames: int
    starts: tuple[int, ...]
    weights: Tensor

    @property
    def single(self) -> bool:
        return len(self.starts) == 1


def plan_windows(total_frames: int, size: WindowSize) -> WindowPlan:
    """Windows of equal length that cover the whole; the last one ends with it. One window where it fits."""
    if total_frames <= size.frames:
        return WindowPlan(total_frames, total_frames, (0,), torch.ones(1, total_frames))
    hop = size.frames - size.overlap_frames
    starts = [*range(0, total_frames - size.frames, hop), total_frames - size.frames]
    ramps = [_ramps(start, size, total_frames) for start in starts]
    sums = torch.zeros(total_frames)
    for start, ramp in zip(starts, ramps, strict=True):
        sums[start : start + size.frames] += ramp
    weights = [ramp / sums[start : start + size.frames] for start, ramp in zip(starts, ramps, strict=True)]
    return WindowPlan(total_frames, size.frames, tuple(starts), torch.stack(weights))


def _ramps(start: int, size: WindowSize, total_frames: int) -> Tensor:
    """Full weight inside, linear ramps over the overlap at those ends that have a neighbour."""
    place = torch.arange(size.frames) + 0.5
    weight = torch.ones(size.frames)
    if start > 0:
        weight = torch.minimum(weight, place / size.overlap_frames)
    if start + size.frames < total_frames:
        weight = torch.minimum(weight, (size.frames - place) / size.overlap_frames)
    return weight
