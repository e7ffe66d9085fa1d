"""Measures the memory of processes, of the machine and of devices, and says what an engine may use."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_VMSTAT = Path("/proc/vmstat")
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process of an engine may use.

    Attributes:
        silence_s: Seconds without progress after which the engine counts as hung.
        memory_bytes: Resident memory above which the process is killed; 0 for no limit.
        model_bytes: Memory above which unused models are unloaded; 0 for half of the device's.
    """

    silence_s: float = 900.0
    memory_bytes: int = 0
    model_bytes: int = 0


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process that no other process shares; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def machine_memory_bytes() -> int:
    """Return the memory of this machine, or of the container where that is less; 0 where the system does not say."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    except (AttributeError, ValueError, OSError):
        return 0
    for path in _CGROUP_LIMITS:
        try:
            total = min(total, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total


def used_memory_bytes(device: str) -> int:
    """Return the memory that this process uses: on a CUDA device what torch has reserved, else resident memory."""
    torch = sys.modules.get("torch")
    if device != "cpu" and torch is not None:
        return int(torch.cuda.memory_reserved(device))
    return resident_bytes(os.getpid())


def device_memory_bytes(device: str) -> int:
    """Return all memory of a device; 0 where it is not known."""
    torch = sys.modules.get("torch")
    if device != "cpu":
        return int(torch.cuda.mem_get_info(device)[1]) if torch is not None else 0
    return machine_memory_bytes()


def oom_kills() -> int:
    """Return how many processes the kernel has killed for memory since it started; 0 where it does not say."""
    try:
        lines = _VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
