"""Lists the devices of this machine without loading torch into the server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence

from stemline.errors import UsageError

_PROBE_TIMEOUT_S = 60


def available_devices() -> tuple[str, ...]:
    """Return every CUDA device that torch can use, else the processor. Slow only where there is an NVIDIA driver."""
    return (_cuda_devices() if shutil.which("nvidia-smi") is not None else ()) or ("cpu",)


def check_devices(wanted: Sequence[str]) -> None:
    """Raise UsageError for a device that is not there. Slow where anything but the processor is wanted."""
    there = ("cpu",) if set(wanted) <= {"cpu"} else ("cpu", *_cuda_devices())
    for device in wanted:
        if device not in there:
            raise UsageError(
                f"There is no device {device!r} on this machine that PyTorch can use.",
                advice=f"Choose one of: {', '.join(there)}.",
            )


def _cuda_devices() -> tuple[str, ...]:
    probe = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=True
        )
        count = int(answer.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        count = 0
    return tuple(f"cuda:{number}" for number in range(count))
