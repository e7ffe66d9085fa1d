"""What a server adds to a job, and how fast it takes a whole edit's jobs, with the no-op engine."""

from __future__ import annotations

import os
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

from stemline.client import Client, JobRequest, connect, stop_private
from stemline.clips import MediaSource, SampleRange
from stemline.prompts import SamplePrompt
from stemline_server.engines.base import EnginePrompt, Finding, Waveform
from stemline_server.engines.noop import NoopEngine
from stemline_server.pipeline import PipelineTask, separate

from .measure import best_of, report

_RATE = 48_000
_JOBS = 8
_BATCH = 5000
_PROMPT = "sleep:1"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.environ["STEMLINE_CACHE"] = str(Path(name) / "cache")
        path = Path(name) / "noise.wav"
        _write_noise(path)
        with connect() as client:
            media = [
                client.ensure_media(MediaSource(str(path)), SampleRange(start, start + 10 * _RATE)).name
                for start in range(0, _JOBS * 1000, 1000)
            ]
            engine_s = best_of(3, _engine_alone)
            server_s = min(_serve(client, media, seed) for seed in range(2)) / _JOBS
            report(
                "a job of 1 s on 10 s of stereo: server / engine",
                server_s / engine_s,
                "<= 1.05",
                "the same engine called directly",
            )
            requests = [JobRequest(media[0], SamplePrompt(f"prompt {n}"), "noop") for n in range(_BATCH)]
            batch_s = best_of(1, lambda: client.create_jobs(requests))
            report(f"milliseconds for each of {_BATCH:,} jobs created together", 1000 * batch_s / _BATCH, "< 1", "none")
        stop_private()


def _serve(client: Client, media: list[str], seed: int) -> float:
    """Seconds from creating the jobs, which cannot share a run, to the end of the last."""
    started_s = time.perf_counter()
    jobs = client.create_jobs([JobRequest(name, SamplePrompt(_PROMPT), "noop", seed=seed) for name in media])
    for _ in client.watch([job.name for job in jobs]):
        pass
    return time.perf_counter() - started_s


def _engine_alone() -> None:
    task = PipelineTask(audio=_Silence(), prompts=(EnginePrompt(_PROMPT),))
    separate(task, NoopEngine(), _Nobody(), [_Nowhere()])


class _Silence:
    sample_rate = _RATE
    channels = 2
    length_samples = 10 * _RATE

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return np.zeros((2, end_sample - start_sample), np.float32)


class _Nobody:
    def step(self, done: int, total: int) -> None: ...

    def warn(self, prompt: int, code: str, message: str) -> None: ...

    def find(self, prompt: int, finding: Finding) -> None: ...


class _Nowhere:
    def write(self, block: Waveform) -> None: ...


def _write_noise(path: Path) -> None:
    samples = np.random.default_rng(0).integers(-20_000, 20_000, (11 * _RATE, 2), dtype="<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples.tobytes())


if __name__ == "__main__":
    main()
