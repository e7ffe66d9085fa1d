"""Return half of the mix for every prompt: an engine for tests and benchmarks of the code around engines.

A prompt "sleep:SECONDS" delays the result, so that tests can cancel or kill a running job.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from stemline.errors import Code, UsageError
from stemline_server.engines.base import Control, EngineInfo, EnginePrompt, EngineRequest, Finding, Waveform

BLOCK_SAMPLES = 1 << 17
_SLEEP_PREFIX = "sleep:"
_SLEEP_STEP_S = 0.05


class NoopEngine:
    """Multiply the mix by one half, at any rate and with any number of channels."""

    info = EngineInfo(
        id="noop",
        title="No-op: half of the mix",
        revision="noop-1",
        sample_rate=None,
        multichannel=True,
        spans=True,
        free_text=True,
        licence="Apache-2.0",
        note="For tests and benchmarks only: it does not separate anything.",
        made_by="masking",
        cell_s=60,
    )

    def availability(self) -> str:
        """Return "": this engine runs everywhere."""
        return ""

    def check(self, prompt: EnginePrompt) -> None:
        """Check that a "sleep:" prompt states a duration.

        Raises:
            UsageError: The duration is not a finite number of seconds (PROMPT_UNSUPPORTED).
        """
        requested_sleep_s(prompt.text)

    def load(self, device: str) -> None:
        """Do nothing: there are no weights."""

    def unload(self) -> None:
        """Do nothing: there are no weights."""

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        """Yield half of the mix for every prompt, in blocks [prompts, channels, samples]."""
        length = request.audio.length_samples
        sleeps = sum(math.ceil(requested_sleep_s(prompt.text) / _SLEEP_STEP_S) for prompt in request.prompts)
        total = sleeps + max(1, -(-length // BLOCK_SAMPLES))
        for sleep in range(sleeps):
            control.step(sleep, total)
            time.sleep(_SLEEP_STEP_S)
        for number, prompt in enumerate(request.prompts):
            control.find(number, Finding(found=True, confidence=1.0, matched=prompt.text))
        for block, start in enumerate(range(0, length, BLOCK_SAMPLES)):
            control.step(sleeps + block, total)
            mix = request.audio.read(start, min(start + BLOCK_SAMPLES, length))
            half = np.multiply(mix, np.float32(0.5), dtype=np.float32)
            yield np.broadcast_to(half, (len(request.prompts), *half.shape))


def requested_sleep_s(text: str) -> float:
    """Return the seconds that "sleep:SECONDS" asks for, or 0 for any other text.

    Raises:
        UsageError: The duration is not a finite number of seconds (PROMPT_UNSUPPORTED).
    """
    if not text.startswith(_SLEEP_PREFIX):
        return 0.0
    try:
        seconds = float(text.removeprefix(_SLEEP_PREFIX))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(
            f"The prompt {text!r} does not state a valid duration.",
            code=Code.PROMPT_UNSUPPORTED,
            advice='Write "sleep:" followed by seconds, such as "sleep:2.5".',
        )
    return seconds
