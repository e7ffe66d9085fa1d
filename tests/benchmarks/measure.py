"""How benchmarks measure: wall time of the better of several runs, and the memory of processes that work together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psutil


def best_of(runs: int, work: Callable[[], Any]) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


class PeakMemory:
    """Watches the processes that `others` names, and keeps the largest sum of their resident sets."""

    def __init__(self, others: Callable[[], list[int]]) -> None:
        self._others = others
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            total = 0
            for pid in self._others():
                try:
                    total += psutil.Process(pid).memory_info().rss
                except psutil.Error:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)


def report(what: str, value: float, target: str, baseline: str) -> None:
    print(f"  {what}: {value:.3g} (wanted: {target}; against {baseline})", flush=True)
