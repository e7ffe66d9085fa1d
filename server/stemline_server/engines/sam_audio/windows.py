"""Overlapping windows of a long state, and the weights that blend their velocities.

All windows share one state, so each window sees the decisions of its neighbours (Bar-Tal et al., "MultiDiffusion:
Fusing Diffusion Paths for Controlled Image Generation", 2023). Weights ramp linearly where windows overlap (Polyak et
al., "Movie Gen: A Cast of Media Foundation Models", 2024) and add up to one at every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class WindowSize:
    """Hold the length of the longest window and the overlap of neighbours, in latent frames."""

    frames: int = 750
    overlap_frames: int = 125


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Hold the windows of a state.

    Attributes:
        total_frames: Length of the state.
        frames: Length of each window.
        starts: First frame of each window.
        weights: Weights [windows, frames] that sum to one at every frame of the state.
    """

    total_frames: int
    frames: int
    starts: tuple[int, ...]
    weights: Tensor

    @property
    def single(self) -> bool:
        """Whether one window covers the whole state."""
        return len(self.starts) == 1


def plan_windows(total_frames: int, size: WindowSize) -> WindowPlan:
    """Return windows of equal length that cover a state; a short state gets a single window."""
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
    """Return weights of 1 with linear ramps over the overlap at ends that have a neighbour."""
    place = torch.arange(size.frames) + 0.5
    weight = torch.ones(size.frames)
    if start > 0:
        weight = torch.minimum(weight, place / size.overlap_frames)
    if start + size.frames < total_frames:
        weight = torch.minimum(weight, (size.frames - place) / size.overlap_frames)
    return weight
