"""The state of a solve on disk, so that a job can resume after the server was killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stemline_server._job_state import load_state, save_state


@dataclass(frozen=True, slots=True)
class SolveFile:
    """Store the state of one request's solve.

    Attributes:
        folder: Folder of the file.
        key: Hexadecimal digest that identifies the request; files of other requests are never read.
    """

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.folder / f"sam_audio-{self.key[:32]}.safetensors"

    def save(self, step: int, state: Tensor) -> None:
        """Write the state, atomically.

        Args:
            step: Number of finished steps.
            state: State after these steps, [rows, T, 2C].

        Raises:
            OutputError: The file cannot be written (DISK_FULL).
        """
        save_state(self.path, self.key, step, {"state": state})

    def load(self, shape: torch.Size) -> tuple[int, Tensor] | None:
        """Read the state.

        Args:
            shape: Expected shape of the state.

        Returns:
            The number of finished steps and the state, or None if the file is missing, damaged or of another request.
        """
        saved = load_state(self.path, self.key)
        if saved is None or "state" not in saved[1] or saved[1]["state"].shape != shape:
            return None
        return saved[0], saved[1]["state"]
