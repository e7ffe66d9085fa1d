"""What the transformer is told of time and words, worked out for several evaluations at once.

A few words through every layer's matrices cost as much as many: the matrices have to be read. The times of a solve are
known beforehand, so the words of as many of them as `_ROWS` holds go through together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stemline_server.engines.sam_audio.dit import Step
from stemline_server.engines.sam_audio.model import SamAudioModel

_ROWS = 32  # words at once; the keys and values of so many take 30 MB with the small model, 180 MB with the large one


class Steps:
    """The `Step` of any time for text features [P, L, dtext] of which `mask` [P, L] counts (None: all)."""

    def __init__(self, model: SamAudioModel, text: Tensor, mask: Tensor | None, times: Sequence[float]) -> None:
        """`times` in the order in which they will be asked for. Another time is worked out alone."""
        self._model, self._text, self._mask = model, text, mask
        at_once = max(1, _ROWS // (text.shape[0] * text.shape[1]))
        groups = [tuple(times[start : start + at_once]) for start in range(0, len(times), at_once)]
        self._group_of = {time: group for group in groups for time in group}
        self._held: dict[float, Step] = {}

    def __call__(self, time: float) -> Step:
        if time not in self._held:
            # The same times always go together: a solve that is taken up in the middle gives the same numbers.
            group = self._group_of.get(time, (time,))
            self._held = {}
            self._held = dict(zip(group, self._prepare(group), strict=True))
        return self._held[time]

    def _prepare(self, times: tuple[float, ...]) -> list[Step]:
        prompts, at = len(self._text), torch.tensor(times, device=self._text.device)
        words = self._text.repeat(len(times), 1, 1)
        memory = self._model.conditioning.memory(words, at.repeat_interleave(prompts))
        return self._model.dit.prepare(at, memory, self._mask).by_time()
