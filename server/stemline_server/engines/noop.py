"""An engine that separates nothing: for tests and benchmarks of everything around engines.

Each target is half of the mix. The words "sleep:SECONDS" make it take that long first, so that killing and
cancelling can be tried.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from stemline.errors import Code, UsageError
from stemline_server.engines.base import Control, EngineInfo, EnginePrompt, EngineRequest, Finding, Waveform

BLOCK_SAMPLES = 1 << 17
_SLEEP = "sleep:"
_SLEEP_STEP_S = 0.05


class NoopEngine:
    """Any rate, any channels, no weights, no torch."""

    info = EngineInfo(
        id="noop",
        title="No-op: half of the mix",
        revision="noop-1",
        sample_rate=None,
        multichannel=True,
        spans=True,
        free_text=True,
        licence="Apache-2.0",
        note="For tests and benchmarks only: it separates nothing.",
    )

    def availability(self) -> str:
        return ""

    def check(self, prompt: EnginePrompt) -> None:
        """Raises UsageError (PROMPT_UNSUPPORTED) for a "sleep:" that is not followed by seconds."""
        sleep_s(prompt.text)

    def load(self, device: str) -> None:
        """There is nothing to load."""

    def unload(self) -> None:
        """There is nothing to unload."""

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        """Half of the mix for every prompt, in blocks [prompts, channels, samples]."""
        length = request.audio.length_samples
        naps = [math.ceil(sleep_s(prompt.text) / _SLEEP_STEP_S) for prompt in request.prompts]
        total = sum(naps) + max(1, -(-length // BLOCK_SAMPLES))
        for nap in range(sum(naps)):
            control.step(nap, total)
            time.sleep(_SLEEP_STEP_S)
        for number, prompt in enumerate(request.prompts):
            control.find(number, Finding(found=True, confidence=1.0, matched=prompt.text))
        for block, start in enumerate(range(0, length, BLOCK_SAMPLES)):
            control.step(sum(naps) + block, total)
            mix = request.audio.read(start, min(start + BLOCK_SAMPLES, length))
            half = np.multiply(mix, np.float32(0.5), dtype=np.float32)
            yield np.broadcast_to(half, (len(request.prompts), *half.shape))


def sleep_s(text: str) -> float:
    """The seconds that "sleep:SECONDS" asks for; 0 for any other words.

    Raises UsageError (PROMPT_UNSUPPORTED).
    """
    if not text.startswith(_SLEEP):
        return 0.0
    try:
        seconds = float(text.removeprefix(_SLEEP))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(
            f"{text!r} does not say how long to sleep.",
            code=Code.PROMPT_UNSUPPORTED,
            advice='Write "sleep:" and seconds.',
        )
    return seconds
