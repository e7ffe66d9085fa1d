"""Which devices there are to work on, without loading torch into the server."""

from __future__ import annotations

import shutil
import subprocess
import sys

_PROBE_TIMEOUT_S = 60


def available_devices() -> tuple[str, ...]:
    """Every CUDA device that torch can use, else the processor. Slow only where an NVIDIA driver is installed."""
    if shutil.which("nvidia-smi") is None:
        return ("cpu",)
    probe = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=True
        )
        count = int(answer.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        count = 0
    return tuple(f"cuda:{number}" for number in range(count)) or ("cpu",)
