"""First sound: from the call of `start` to the first sample of a stem that is not silent, at a sink of this process.

`embedded`, speech, at the start of the media and in the middle of a cell, for media of 3 minutes and of 3 hours. A cold
start (no server, no model) is printed beside a running server with a loaded model. Needs the evaluation clips
(STEMLINE_TEST_DATA). Baseline: 1.5 s, and the time in which the media itself plays.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

import stemline
from stemline.client import stop_private
from stemline.clips import MediaSource
from stemline.media import open_audio

from .measure import report

RATE = 48_000
SHORT_S, LONG_S = 180, 10_800
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
    cold_s = first_sound_s(write_speech(folder / "cold.wav", SHORT_S), folder / "cold", 0.0)
    report("cold start, 3 min, s", cold_s, "printed beside", "no server and no model")
    for name, seconds in (("3 min", SHORT_S), ("3 h", LONG_S)):
        for place, share in PLACES:
            media = write_speech(folder / "media.wav", seconds)
            near = 0.0 if not share else seconds // 60 * 30 + 15.0
            taken_s = first_sound_s(media, folder / f"{name}-{share}", near)
            report(f"first sound, {name}, {place}, s", taken_s, f"<= {TARGET_S}", "the call of start")


def first_sound_s(media: Path, output: Path, near: float) -> float:
    """Return the seconds from the call of `start` to the first sample of the stem that is not silent."""
    settings = stemline.Settings(model="embedded")
    started = time.perf_counter()
    with stemline.start(media, {"dialogue": "speech"}, output=output, settings=settings, near=near) as run:
        for block in run.blocks():
            if block.stem == "dialogue" and np.abs(block.samples).max() > 1e-4:
                return time.perf_counter() - started
    raise AssertionError("the stem is silent")


def write_speech(path: Path, seconds: int) -> Path:
    """Write the evaluation mixtures of speech, one after the other and again, as 16-bit mono."""
    folder = Path(os.environ["STEMLINE_TEST_DATA"]) / "evalset"
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


def read(path: Path) -> np.ndarray:
    with open_audio(MediaSource(str(path))) as reader:
        sound: np.ndarray = reader.read(0, reader.length_samples)[0]
    return sound
