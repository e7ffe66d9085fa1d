"""Return seeded noise whose colour depends on the words: a generator for tests of the code around generators.

The words "sleep:SECONDS" delay the result, so that tests can cancel or kill a running job, which sleeps the rest then.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stemline_bridge.files import atomic_write
from stemline_server.engines.base import Waveform
from stemline_server.engines.noop import requested_sleep_s
from stemline_server.generators.base import GenerateControl, GenerateRequest, GeneratorInfo

_BLOCK_SAMPLES = 1 << 14
_SLEEP_STEP_S = 0.05
_LEVEL = 0.05
_SLEPT = "noop-steps.txt"


class NoopGenerator:
    """Make noise of one pole, without a model. Holes get noise and the context stays; a reference is mixed in."""

    info = GeneratorInfo(
        id="noop",
        title="No-op: noise",
        revision="noop-1",
        sample_rate=44_100,
        channels=2,
        min_s=0.01,
        max_s=10.0,
        fills=True,
        varies=True,
        licence="Apache-2.0",
        commercial="yes",
        note="For tests only: the words change the colour of the noise.",
    )

    def availability(self) -> str:
        """Return "": this generator runs everywhere."""
        return ""

    def check(self, request: GenerateRequest) -> None:
        """Check that "sleep:" states a duration. Raises UsageError (PROMPT_UNSUPPORTED)."""
        requested_sleep_s(request.text)

    def load(self, device: str) -> None:
        """Do nothing: there are no weights."""

    def unload(self) -> None:
        """Do nothing: there are no weights."""

    def generate(self, request: GenerateRequest, control: GenerateControl) -> Iterator[Waveform]:
        """Yield noise in blocks [2, samples]."""
        blocks = -(-request.length_samples // _BLOCK_SAMPLES)
        sleeps = math.ceil(requested_sleep_s(request.text) / _SLEEP_STEP_S)
        for sleep in range(_slept(request.scratch), sleeps):
            control.step(sleep, sleeps + blocks)
            time.sleep(_SLEEP_STEP_S)
            if request.scratch is not None:
                atomic_write(request.scratch / _SLEPT, str(sleep + 1))
        words = int.from_bytes(hashlib.sha256(f"{request.text}\n{request.negative}".encode()).digest()[:8], "big")
        random = np.random.Generator(np.random.Philox(key=(words, request.seed)))
        colour = words % 64  # a moving mean of so many samples
        for number, start in enumerate(range(0, request.length_samples, _BLOCK_SAMPLES)):
            control.step(sleeps + number, sleeps + blocks)
            samples = min(_BLOCK_SAMPLES, request.length_samples - start)
            noise = random.standard_normal((self.info.channels, samples + colour)).cumsum(axis=1)
            noise = np.diff(noise, n=1, axis=1, prepend=0.0) if colour == 0 else noise[:, colour:] - noise[:, :-colour]
            block = (_LEVEL / math.sqrt(max(colour, 1)) * noise).astype(np.float32)
            yield _with_sounds(request, block, start)


def _slept(scratch: Path | None) -> int:
    """Return how many steps of its delay an earlier process of this job slept."""
    try:
        return int((scratch / _SLEPT).read_text()) if scratch is not None else 0
    except (OSError, ValueError):
        return 0


def _with_sounds(request: GenerateRequest, noise: Waveform, start: int) -> Waveform:
    """Return a block of noise with the context outside the holes, and with the reference at its strength."""
    end = start + noise.shape[1]
    if request.reference is not None:
        noise *= np.float32(request.strength)
        held = request.reference.read(
            min(start, request.reference.length_samples), min(end, request.reference.length_samples)
        )
        noise[:, : held.shape[1]] += np.float32(1 - request.strength) * held
    if request.context is not None:
        made = np.zeros(noise.shape[1], bool)
        for hole in request.holes:
            made[max(hole.start_sample - start, 0) : max(hole.end_sample - start, 0)] = True
        held = request.context.read(
            min(start, request.context.length_samples), min(end, request.context.length_samples)
        )
        np.copyto(noise[:, : held.shape[1]], held, where=~made[: held.shape[1]])
    return noise
