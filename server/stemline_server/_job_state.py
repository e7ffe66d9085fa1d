"""The state of a job's model on disk, so that the job goes on where it was after the server was killed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stemline.errors import Code, OutputError
from stemline_bridge import atomic_path


def save_state(path: Path, key: str, step: int, state: Mapping[str, Tensor]) -> None:
    """Write the state after a number of finished steps, atomically.

    Args:
        path: The file.
        key: Identifies the request: the state of another one is never used.
        step: Number of finished steps.
        state: Tensors by name, on any device.

    Raises:
        OutputError: The file cannot be written (DISK_FULL).
    """
    tensors = {name: value.cpu().clone().contiguous() for name, value in state.items()}
    try:
        with atomic_path(path) as part:
            save_file(tensors, part, {"key": key, "step": str(step)})
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"Cannot write the state of the job to {path.parent}: {error}.",
            code=Code.DISK_FULL,
            advice="Free some disk space.",
        ) from error


def load_state(path: Path, key: str) -> tuple[int, dict[str, Tensor]] | None:
    """Return the number of finished steps and the state; None if it is missing, damaged or of another request."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
        step = int(metadata["step"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return (step, state) if metadata.get("key") == key else None
