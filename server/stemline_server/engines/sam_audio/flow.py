"""The velocity of a whole request: every prompt, every window, one shared state for each prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemline_server.engines.sam_audio.dit import Step
from stemline_server.engines.sam_audio.memory import is_out_of_memory, out_of_memory, release
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.steps import Steps
from stemline_server.engines.sam_audio.windows import WindowPlan


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the prompts ask for, over all frames of the request.

    `mixture` [T, C]; `tokens` [P, T] of spans; `text` [P, L, dtext] with `text_mask` [P, L] (None: all words count);
    `visual` [P, T, dvision] or None.
    """

    mixture: Tensor
    tokens: Tensor
    text: Tensor
    text_mask: Tensor | None
    visual: Tensor | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """One window of one row of the state. Rows of a prompt's candidates share its conditions."""

    row: int
    prompt: int
    window: int


class Flow:
    """Evaluates the blended velocity of the state [rows, T, 2C]; row r belongs to prompt r // candidates.

    `evaluated(n)` is called after n windows have been evaluated, and may raise to stop. Memory that runs out halves the
    batch for good; at a batch of one it raises SeparationError (DEVICE_OUT_OF_MEMORY). `times` are those that will be
    asked for.
    """

    def __init__(
        self,
        model: SamAudioModel,
        conditions: Conditions,
        plan: WindowPlan,
        evaluated: Callable[[int], None],
        times: Sequence[float] = (),
    ) -> None:
        self.model, self.conditions, self.plan, self.evaluated = model, conditions, plan, evaluated
        self.batch = 1
        self.candidates = 1
        self._unseen = model.conditioning.pictures.none()
        self._steps = Steps(model, conditions.text, conditions.text_mask, times)
        self._weights = plan.weights.to(conditions.mixture.device)

    def __call__(self, time: float, state: Tensor) -> Tensor:
        step = self._steps(time)
        jobs = [
            _Job(row, row // self.candidates, window)
            for window in range(len(self.plan.starts))
            for row in range(state.shape[0])
        ]
        velocity = torch.zeros_like(state)
        done = 0
        while done < len(jobs):
            batch = jobs[done : done + self.batch]
            try:
                self._add(velocity, batch, self._evaluate(state, batch, step))
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(len(batch), state.device, error)
                continue
            done += len(batch)
            self.evaluated(len(batch))
        return velocity

    def _evaluate(self, state: Tensor, batch: Sequence[_Job], step: Step) -> Tensor:
        cuts = [slice(self.plan.starts[job.window], self.plan.starts[job.window] + self.plan.frames) for job in batch]
        given = self.conditions
        mixture = torch.stack([given.mixture[cut] for cut in cuts])
        tokens = torch.stack([given.tokens[job.prompt, cut] for job, cut in zip(batch, cuts, strict=True)])
        pictures = self._unseen
        if given.visual is not None:
            seen = torch.stack([given.visual[job.prompt, cut] for job, cut in zip(batch, cuts, strict=True)])
            pictures = self.model.conditioning.pictures(seen)
        noisy = torch.stack([state[job.row, cut] for job, cut in zip(batch, cuts, strict=True)])
        aligned = self.model.conditioning(noisy, self.model.conditioning.context(mixture, tokens, pictures))
        prompts = torch.tensor([job.prompt for job in batch], device=state.device)
        velocity: Tensor = self.model.dit(aligned, step.rows(prompts)).float()
        return velocity

    def _add(self, velocity: Tensor, batch: Sequence[_Job], windows: Tensor) -> None:
        for job, window in zip(batch, windows, strict=True):
            start = self.plan.starts[job.window]
            blended = window if self.plan.single else window * self._weights[job.window, :, None]
            velocity[job.row, start : start + self.plan.frames] += blended

    def _shrink(self, size: int, device: torch.device, error: RuntimeError) -> None:
        if size == 1:
            raise out_of_memory(f"one window of {self.plan.frames} frames", device) from error
        self.batch = size // 2
        release(device)
