"""Fixed-grid solvers of the flow from noise (time 0) to latents (time 1), and the schedules of the quality presets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from stemline.errors import UsageError

if TYPE_CHECKING:  # presets are also read where PyTorch must not be imported
    from torch import Tensor

Velocity = Callable[[float, "Tensor"], "Tensor"]
"""Maps a time and a state to the change of the state per unit of time, of the same shape."""


class Method(StrEnum):
    """Choose how a step is taken: Euler evaluates the velocity once, midpoint twice."""

    EULER = "euler"
    MIDPOINT = "midpoint"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Hold a method and the number of equal steps from time 0 to time 1."""

    method: Method
    steps: int

    @property
    def evaluations_per_step(self) -> int:
        """Number of evaluations of the velocity in a step."""
        return 2 if self.method is Method.MIDPOINT else 1

    @property
    def times(self) -> tuple[float, ...]:
        """Times at which the velocity is evaluated, in order."""
        size = 1 / self.steps
        offsets = (0.0, size / 2)[: self.evaluations_per_step]
        return tuple(step * size + offset for step in range(self.steps) for offset in offsets)


@dataclass(frozen=True, slots=True)
class Preset:
    """Describe how to solve at one quality. docs/sam-audio.md compares the presets.

    Attributes:
        schedule: Method and steps.
        candidates: Number of solutions from different noises; the one closest to all others becomes the result.
    """

    schedule: Schedule
    candidates: int = 1


PRESETS = {
    "fast": Preset(Schedule(Method.MIDPOINT, 6)),
    "standard": Preset(Schedule(Method.MIDPOINT, 16)),
    "best": Preset(Schedule(Method.MIDPOINT, 32), candidates=3),
}


def preset(quality: str) -> Preset:
    """Return the preset of a quality.

    Raises:
        UsageError: There is no such quality.
    """
    try:
        return PRESETS[quality]
    except KeyError:
        raise UsageError(f"There is no quality {quality!r}.", advice=f"Choose one of: {', '.join(PRESETS)}.") from None


def advance(schedule: Schedule, step: int, state: Tensor, velocity: Velocity) -> Tensor:
    """Take one step.

    Args:
        schedule: The schedule.
        step: Number of the step, from 0.
        state: State before the step; it is not changed.
        velocity: The velocity.

    Returns:
        The state after the step.
    """
    size = 1 / schedule.steps
    time = step * size
    change = velocity(time, state)
    if schedule.method is Method.MIDPOINT:
        change = velocity(time + size / 2, state.add(change, alpha=size / 2))
    return state.add(change, alpha=size)


def solve(schedule: Schedule, state: Tensor, velocity: Velocity) -> Tensor:
    """Take all steps and return the state at time 1."""
    for step in range(schedule.steps):
        state = advance(schedule, step, state, velocity)
    return state
