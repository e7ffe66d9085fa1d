"""The state of a solve on disk, so that a job can resume after the server was killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stemline.errors import Code, OutputError
from stemline_bridge import atomic_path


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
        try:
            with atomic_path(self.path) as part:
                save_file({"state": state.cpu().contiguous()}, part, metadata={"key": self.key, "step": str(step)})
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"Cannot write the state of the separation to {self.folder}: {error}.",
                code=Code.DISK_FULL,
                advice="Free some disk space.",
            ) from error

    def load(self, shape: torch.Size) -> tuple[int, Tensor] | None:
        """Read the state.

        Args:
            shape: Expected shape of the state.

        Returns:
            The number of finished steps and the state, or None if the file is missing, damaged or of another request.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                state: Tensor = file.get_tensor("state").clone()
        except (OSError, SafetensorError):
            return None
        if metadata.get("key") != self.key or state.shape != shape:
            return None
        return int(metadata["step"]), state
