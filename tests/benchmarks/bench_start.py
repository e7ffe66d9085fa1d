"""How soon the command line answers, and how soon it separates, against an interpreter that does nothing.

The help of commands; the first `separate` of a 10 s file without a running server, against importing torch and loading
the model alone; and the same with a running server, less the time of the engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from functools import partial
from pathlib import Path

import numpy as np

from stemline.client import stop_private

from .measure import best_of, report

LOAD = (
    "import torch; from stemline_server.engines.embedded.deepfilter import load;"
    "from stemline_server.engines.embedded.weights import load_net; load_net(); load()"
)


def main() -> None:
    command = str(Path(sys.executable).with_name("stemline"))

    def run(*argv: str) -> None:
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    nothing = best_of(15, lambda: run(sys.executable, "-c", "pass"))
    for words in (["--help"], ["separate", "--help"], ["batch", "--help"]):
        answer = best_of(15, partial(run, command, *words))
        report(f"stemline {' '.join(words)}", answer / nothing, "<= 2.5", f"python -c pass, {nothing * 1000:.0f} ms")
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as name:
        folder = Path(name)
        os.environ["STEMLINE_CACHE"] = str(folder / "cache")
        try:
            loading = best_of(3, lambda: run(sys.executable, "-c", LOAD))
            cold_s, engine_s = separate_s(command, folder, 0)
            against = f"importing torch and loading the model, {loading:.1f} s, and the engine, {engine_s:.1f} s"
            report("first separate of 10 s, server cold", cold_s / (loading + engine_s), "<= 1.3", against)
            warm = [took_s - engine_s for took_s, engine_s in (separate_s(command, folder, n) for n in (1, 2, 3))]
            report("separate of 10 s, server warm, beyond the engine, s", min(warm), "<= 0.4", "the clock")
        finally:
            stop_private()


def separate_s(command: str, folder: Path, number: int) -> tuple[float, float]:
    """Return the seconds of one `separate` of new sound, and those of its engine."""
    media = folder / f"{number}.wav"
    samples = np.random.default_rng(number).integers(-3000, 3000, 480_000).astype("<i2")
    with wave.open(str(media), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframesraw(samples.tobytes())
    argv = [command, "separate", str(media), "--prompt", "speech", "--model", "embedded", "-o", str(folder), "--json"]
    started = time.perf_counter()
    answer = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)
    return time.perf_counter() - started, float(answer["results"][0]["engine_s"])
