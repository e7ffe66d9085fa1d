"""Fixed-grid solvers of the flow from noise (time 0) to latents (time 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the presets are read where PyTorch is not wanted
    from torch import Tensor

Velocity = Callable[[float, "Tensor"], "Tensor"]
"""Time and state to the state's change per unit of time; the state's shape."""


class Method(StrEnum):
    """How one step is taken: Euler evaluates the velocity once, midpoint twice."""

    EULER = "euler"
    MIDPOINT = "midpoint"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A method and the number of equal steps it takes from 0 to 1."""

    method: Method
    steps: int

    @property
    def evaluations_per_step(self) -> int:
        return 2 if self.method is Method.MIDPOINT else 1

    @property
    def times(self) -> tuple[float, ...]:
        """Every time at which the velocity is evaluated, in order."""
        size = 1 / self.steps
        offsets = (0.0, size / 2)[: self.evaluations_per_step]
        return tuple(step * size + offset for step in range(self.steps) for offset in offsets)


def advance(schedule: Schedule, step: int, state: Tensor, velocity: Velocity) -> Tensor:
    """The state after step number `step`. Does not change `state`."""
    size = 1 / schedule.steps
    time = step * size
    change = velocity(time, state)
    if schedule.method is Method.MIDPOINT:
        change = velocity(time + size / 2, state.add(change, alpha=size / 2))
    return state.add(change, alpha=size)


def solve(schedule: Schedule, state: Tensor, velocity: Velocity) -> Tensor:
    """The state at time 1."""
    for step in range(schedule.steps):
        state = advance(schedule, step, state, velocity)
    return state
