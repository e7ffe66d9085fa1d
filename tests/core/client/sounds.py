"""Sounds that the tests separate, and their requests."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.client import Client, JobRequest
from stemline.clips import MediaSource, SampleRange
from stemline.prompts import SamplePrompt

SAMPLE_RATE = 48_000
LENGTH_SAMPLES = 48_000


def make_clip(path: Path, length_samples: int, seed: int = 7) -> Path:
    """Write stereo noise, 16 bit."""
    noise = np.random.default_rng(seed).integers(-20_000, 20_000, (length_samples, 2), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(noise.tobytes())
    return path


def samples_of(clip: Path) -> npt.NDArray[np.float32]:
    """Return the samples as float32 [channels, samples], full scale 1.0."""
    with wave.open(str(clip), "rb") as file:
        data = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    return np.ascontiguousarray((data / 32768.0).astype(np.float32).T)


def make_request(client: Client, clip: Path, text: str = "rain", batch_id: str = "") -> JobRequest:
    media = client.ensure_media(MediaSource(str(clip)), SampleRange(0, LENGTH_SAMPLES))
    return JobRequest(media.name, SamplePrompt(text), model="noop", batch_id=batch_id)
