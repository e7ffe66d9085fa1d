"""Store the steps of a Stable Audio job in its scratch folder, so that a killed job goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stemline_server._job_state import load_state, save_state
from stemline_server.generators.base import GenerateRequest

_Saved = tuple[int, dict[str, Tensor]]


class StoredSteps:
    """The state of one job after each of its steps: latents, random numbers, and the history of the scheduler.

    Args:
        folder: The job's scratch folder; None stores nothing.
        request: The request.
        revision: Revision of the generator. The state of another request or revision is never used.
        generator: The random numbers of the job.
    """

    def __init__(
        self, folder: Path | None, request: GenerateRequest, revision: str, generator: torch.Generator
    ) -> None:
        """Read what an earlier process stored."""
        held = [request.text, request.negative, request.length_samples, request.seed, request.quality]
        held += [request.holes, request.strength, request.context is None, request.reference is None, revision]
        self._key = hashlib.sha256(repr(held).encode()).hexdigest()
        self._path = folder / f"stable_audio-{self._key[:32]}.safetensors" if folder is not None else None
        self._generator = generator
        self._saved = self._load()

    @contextlib.contextmanager
    def skipping(self, pipeline: Any) -> Iterator[None]:
        """Evaluate the network of a pipeline only for the steps that are not stored."""
        skipped, transformer = self._saved[0] if self._saved else 0, pipeline.transformer
        evaluate, calls = transformer.forward, 0

        def forward(latents: Tensor, *arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            return (torch.zeros_like(latents),) if calls <= skipped else evaluate(latents, *arguments, **more)

        transformer.forward = forward
        try:
            yield
        finally:
            transformer.forward = evaluate

    def finish(self, step: int, latents: Tensor, scheduler: Any) -> None:
        """Note that so many steps are finished: put the stored state in place, or store the new one.

        Args:
            step: Number of finished steps.
            latents: The latents after the last one, which are replaced where they are stored.
            scheduler: The scheduler; one that looks back at earlier steps has its history replaced, too.

        Raises:
            OutputError: The state cannot be written (DISK_FULL).
        """
        history = getattr(scheduler, "model_outputs", [])
        if self._saved and step <= self._saved[0]:
            if step == self._saved[0]:
                state = self._saved[1]
                latents.copy_(state["latents"])
                self._generator.set_state(state["random"])
                for place in range(len(history)):
                    if f"history{place}" in state:
                        history[place] = state[f"history{place}"].to(latents.device)
            return
        state = {"latents": latents, "random": self._generator.get_state()}
        state |= {f"history{place}": held for place, held in enumerate(history) if held is not None}
        if self._path is not None:
            save_state(self._path, self._key, step, state)

    def _load(self) -> _Saved | None:
        """Return the number of finished steps and their state; None where they cannot be used."""
        saved = load_state(self._path, self._key) if self._path is not None else None
        return saved if saved is not None and {"latents", "random"} <= saved[1].keys() else None
