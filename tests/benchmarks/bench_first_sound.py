"""First sound: from the call of `start` to the first sample of a stem that is not silent, at a sink of this process.

`embedded`, speech, at the start of the media and in the middle of a cell, for a clip of 20 s, for 3 minutes and for 3
hours. A cold start (no server, no model) is printed beside a running server with a loaded model. The wall clock holds
for idle cores only; the processor time of client, server and engine holds on a busy machine, too, and is compared with
DeepFilterNet3 alone over 20 s of the same sound, in its own runtime. Needs the evaluation clips (STEMLINE_TEST_DATA).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

import stemline
from stemline.client import find_private, stop_private
from stemline.clips import MediaSource
from stemline.media import open_audio

from . import deepfilter_runtime
from .measure import report

RATE = 48_000
CLIP_S, SHORT_S, LONG_S = 20, 180, 10_800
PLACES = (("at the start", 0.0), ("in the middle of a cell", 0.5))
TARGET_S = 1.5


def main() -> None:
    """Cold once, then warm with a new file each time, so that nothing is found."""
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as name:
        folder = Path(name)
        os.environ["STEMLINE_CACHE"] = str(folder / "cache")
        try:
            _measure(folder)
        finally:
            stop_private()


def _measure(folder: Path) -> None:
    cold = first_sound(write_speech(folder / "cold.wav", SHORT_S), folder / "cold", 0.0)
    report("cold start, 3 min, s", cold.wall_s, "printed beside", "no server and no model")
    for name, seconds in (("20 s", CLIP_S), ("3 min", SHORT_S), ("3 h", LONG_S)):
        for place, share in PLACES:
            media = write_speech(folder / "media.wav", seconds)
            near = 0.0 if not share else seconds // 60 * 30 + 15.0
            unit_s = deepfilter_s(media)
            heard = first_sound(media, folder / f"{name}-{share}", near)
            report(
                f"first sound, {name}, {place}, s", heard.wall_s, f"<= {TARGET_S} on idle cores", "the call of start"
            )
            report(f"first sound, {name}, {place}, processor time, s", heard.processor_s, "", "all processes")
            ratio = heard.processor_s / unit_s
            report(f"first sound, {name}, {place}, processor time", ratio, "<= 1", f"DeepFilterNet3 over {CLIP_S} s")


@dataclass(frozen=True, slots=True)
class Heard:
    """How long the first sound took, on the clock and on the processors."""

    wall_s: float
    processor_s: float


def deepfilter_s(media: Path) -> float:
    """Return the processor time of DeepFilterNet3 alone over the first seconds of a media."""
    mix = read(media, CLIP_S * RATE)
    started = time.process_time()
    deepfilter_runtime.run(mix)
    return time.process_time() - started


def first_sound(media: Path, output: Path, near: float) -> Heard:
    """Return the time from the call of `start` to the first sample of the stem that is not silent."""
    settings = stemline.Settings(model="embedded")
    started, worked = time.perf_counter(), processor_s()
    with stemline.start(media, {"dialogue": "speech"}, output=output, settings=settings, near=near) as run:
        for block in run.blocks():
            if block.stem == "dialogue" and np.abs(block.samples).max() > 1e-4:
                return Heard(time.perf_counter() - started, processor_s() - worked)
    raise AssertionError("the stem is silent")


def processor_s() -> float:
    """Return the processor time so far of this process and of the private server with its engines."""
    endpoint = find_private()
    processes = [psutil.Process()]
    if endpoint is not None:
        server = psutil.Process(endpoint.pid)
        processes += [server, *server.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def write_speech(path: Path, seconds: int) -> Path:
    """Write the evaluation mixtures of speech, one after the other and again, as 16-bit mono."""
    folder = Path(os.environ.get("STEMLINE_TEST_DATA") or "../shared") / "evalset"
    clips = [clip for clip in json.loads((folder / "manifest.json").read_text()) if clip["category"] == "speech"]
    parts = [read(folder / clip["target"]) + read(folder / clip["residual"]) for clip in clips]
    sound = np.concatenate(parts)
    data = np.rint(sound * 32767).astype("<i2")
    data = np.roll(data, time.time_ns() // 1000 % len(data))  # a sound that no run before had
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        for _ in range(seconds * RATE // len(data) + 1):
            file.writeframesraw(data.tobytes())
    return path


def read(path: Path, samples: int | None = None) -> np.ndarray:
    with open_audio(MediaSource(str(path))) as reader:
        sound: np.ndarray = reader.read(0, reader.length_samples if samples is None else samples)[0]
    return sound
