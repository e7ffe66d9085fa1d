"""The state of a solve on disk, so that a job whose server was killed goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stemline.errors import Code, OutputError


@dataclass(frozen=True, slots=True)
class SolveFile:
    """One request's state in `folder`. `key` tells requests apart: another one's file is never read."""

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        return self.folder / f"sam_audio-{self.key[:32]}.safetensors"

    def save(self, step: int, state: Tensor) -> None:
        """Keeps the state [rows, T, 2C] after `step` steps. Raises OutputError (DISK_FULL) if that fails."""
        part = self.path.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({"state": state.cpu().contiguous()}, part, metadata={"key": self.key, "step": str(step)})
            part.replace(self.path)
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"The state of the separation cannot be written to {self.folder}: {error}.",
                code=Code.DISK_FULL,
                advice="Free some space.",
            ) from error

    def load(self, shape: torch.Size) -> tuple[int, Tensor] | None:
        """The steps done and the state, or None where there is none of this request (a damaged file counts as none)."""
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                state: Tensor = file.get_tensor("state").clone()
        except (OSError, SafetensorError):
            return None
        if metadata.get("key") != self.key or state.shape != shape:
            return None
        return int(metadata["step"]), state
