"""The velocity of a whole request: all prompts and windows, with one state for each prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemline_server.engines.sam_audio.device import is_out_of_memory, out_of_memory_error, release_memory
from stemline_server.engines.sam_audio.dit import TimeConditions
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.windows import WindowPlan

_MAX_TOKENS = 32
"""Tokens to process at once. Their keys and values take 30 MB with the small model and 180 MB with the large one."""


@dataclass(frozen=True, slots=True)
class RequestConditions:
    """Hold the conditions of all prompts over all frames of a request.

    Attributes:
        mixture: Latent of the mixture, [T, C].
        tokens: Span tokens, [P, T].
        text: Features of the text, [P, L, dtext].
        text_mask: Which tokens of the text count, [P, L]; None if all do.
        visual: Features of pictures, [pictures, dvision], or None.
        shown: Row of `visual` for each frame, [P, T].
    """

    mixture: Tensor
    tokens: Tensor
    text: Tensor
    text_mask: Tensor | None
    visual: Tensor | None = None
    shown: Tensor | None = None


@dataclass(frozen=True, slots=True)
class _RowWindow:
    """Identify one window of one row of the state. The rows of a prompt's candidates share its conditions."""

    row: int
    prompt: int
    window: int


class TimeConditionsCache:
    """Compute the `TimeConditions` of several times at once.

    A few tokens through the matrices of all layers take as long as many, because the matrices have to be read. The
    times of a solve are known in advance, so the tokens of several times are processed together, up to `_MAX_TOKENS`.
    """

    def __init__(self, model: SamAudioModel, text: Tensor, mask: Tensor | None, times: Sequence[float]) -> None:
        """Create an empty cache.

        Args:
            model: The model.
            text: Features of the text, [P, L, dtext].
            mask: Which tokens count, [P, L]; None if all do.
            times: Times in the order of their use. Other times are computed alone.
        """
        self._model, self._text, self._mask = model, text, mask
        at_once = max(1, _MAX_TOKENS // (text.shape[0] * text.shape[1]))
        groups = [tuple(times[start : start + at_once]) for start in range(0, len(times), at_once)]
        self._group_of = {time: group for group in groups for time in group}
        self._cached: dict[float, TimeConditions] = {}

    def __call__(self, time: float) -> TimeConditions:
        """Return the conditions at a time."""
        if time not in self._cached:
            # The groups are fixed, so that a solve that resumes in the middle of one gives the same numbers.
            group = self._group_of.get(time, (time,))
            self._cached = {}
            self._cached = dict(zip(group, self._prepare(group), strict=True))
        return self._cached[time]

    def _prepare(self, times: tuple[float, ...]) -> list[TimeConditions]:
        prompts, at = len(self._text), torch.tensor(times, device=self._text.device)
        text = self._text.repeat(len(times), 1, 1)
        memory = self._model.conditioning.memory(text, at.repeat_interleave(prompts))
        return self._model.dit.prepare(at, memory, self._mask).by_time()


class Flow:
    """Evaluate the blended velocity of the state [rows, T, 2C] of a request.

    If memory runs out, the batch is halved permanently.

    Attributes:
        batch: Number of windows to evaluate at once.
        candidates: Rows of the state for each prompt; row r belongs to prompt r // candidates.
    """

    def __init__(
        self,
        model: SamAudioModel,
        conditions: RequestConditions,
        plan: WindowPlan,
        evaluated: Callable[[int], None],
        times: Sequence[float] = (),
    ) -> None:
        """Create the velocity of a request.

        Args:
            model: The model.
            conditions: Conditions of all prompts.
            plan: Windows of the state.
            evaluated: Called with the number of windows after each evaluation; may raise to stop.
            times: Times in the order of their use, for the cache of conditions.
        """
        self.model, self.conditions, self.plan, self.evaluated = model, conditions, plan, evaluated
        self.batch = 1
        self.candidates = 1
        self._without_pictures = model.conditioning.pictures.without_pictures()
        self._time_conditions = TimeConditionsCache(model, conditions.text, conditions.text_mask, times)
        self._weights = plan.weights.to(conditions.mixture.device)

    def __call__(self, time: float, state: Tensor) -> Tensor:
        """Return the velocity of a state at a time, in the shape of the state.

        Raises:
            SeparationError: There is not enough memory for one window (DEVICE_OUT_OF_MEMORY).
        """
        time_conditions = self._time_conditions(time)
        items = [
            _RowWindow(row, row // self.candidates, window)
            for window in range(len(self.plan.starts))
            for row in range(state.shape[0])
        ]
        velocity = torch.zeros_like(state)
        done = 0
        while done < len(items):
            batch = items[done : done + self.batch]
            try:
                self._add(velocity, batch, self._evaluate(state, batch, time_conditions))
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(len(batch), state.device, error)
                continue
            done += len(batch)
            self.evaluated(len(batch))
        return velocity

    def _evaluate(self, state: Tensor, batch: Sequence[_RowWindow], time_conditions: TimeConditions) -> Tensor:
        cuts = [
            slice(self.plan.starts[item.window], self.plan.starts[item.window] + self.plan.frames) for item in batch
        ]
        conditions = self.conditions
        mixture = torch.stack([conditions.mixture[cut] for cut in cuts])
        tokens = torch.stack([conditions.tokens[item.prompt, cut] for item, cut in zip(batch, cuts, strict=True)])
        pictures = self._without_pictures
        if conditions.visual is not None and conditions.shown is not None:
            shown = torch.stack([conditions.shown[item.prompt, cut] for item, cut in zip(batch, cuts, strict=True)])
            pictures = self.model.conditioning.pictures(conditions.visual[shown])
        noisy = torch.stack([state[item.row, cut] for item, cut in zip(batch, cuts, strict=True)])
        aligned = self.model.conditioning(noisy, self.model.conditioning.context(mixture, tokens, pictures))
        prompts = torch.tensor([item.prompt for item in batch], device=state.device)
        velocity: Tensor = self.model.dit(aligned, time_conditions.rows(prompts)).float()
        return velocity

    def _add(self, velocity: Tensor, batch: Sequence[_RowWindow], windows: Tensor) -> None:
        for item, window in zip(batch, windows, strict=True):
            start = self.plan.starts[item.window]
            blended = window if self.plan.single else window * self._weights[item.window, :, None]
            velocity[item.row, start : start + self.plan.frames] += blended

    def _shrink(self, size: int, device: torch.device, error: RuntimeError) -> None:
        if size == 1:
            raise out_of_memory_error(f"one window of {self.plan.frames} frames", device) from error
        self.batch = size // 2
        release_memory(device)
