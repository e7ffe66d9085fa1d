"""Memory does not grow with the length of the media, latents and the solver's state apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED_GROWTH_BYTES = 300 << 20
NOISE_BYTES = 40 << 20
FRAME_SAMPLES = 1920
MEASURE = """
import json, resource, sys
import numpy as np, torch
torch.set_num_threads(1)
from stemline_server.engines.base import EnginePrompt, EngineRequest
from stemline_server.engines.sam_audio.engine import SamAudioEngine
from stemline_server.engines.sam_audio.settings import Settings

class Tone:
    sample_rate, channels = 48000, 1
    def __init__(self, seconds): self.length_samples = seconds * 48000
    def read(self, start, end):
        return (0.3 * np.sin(np.arange(start, end) * 0.05)).astype(np.float32)[None]

class Quiet:
    def step(self, done, total): pass
    def warn(self, prompt, code, message): pass
    def find(self, prompt, finding): pass

engine = SamAudioEngine(settings=Settings(model=sys.argv[1], text_encoder=sys.argv[2]))
engine.load("cpu")
request = EngineRequest(Tone(int(sys.argv[3])), (EnginePrompt("dog barking"),), quality="fast")
length = sum(block.shape[-1] for block in engine.separate(request, Quiet()))
print(json.dumps([length, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


def peak_bytes(checkpoint: Path, text_encoder: Path, seconds: int) -> int:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(checkpoint), str(text_encoder), str(seconds)],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "MALLOC_ARENA_MAX": "1",
            "OMP_NUM_THREADS": "1",
        },  # one heap: the peak does not depend on the load
    )
    length, peak = json.loads(run.stdout.splitlines()[-1])
    assert length == seconds * 48000
    return int(peak)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("minutes", [pytest.param(6, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.hour)])
def test_long_media_need_little_more_memory_than_a_minute(checkpoint: Path, text_encoder: Path, minutes: int) -> None:
    minute, long = (peak_bytes(checkpoint, text_encoder, seconds) for seconds in (60, 60 * minutes))
    print(f"peak of a minute {minute / 1e6:.0f} MB, of {minutes} minutes {long / 1e6:.0f} MB")
    assert long - minute < ALLOWED_GROWTH_BYTES * minutes / 60 + NOISE_BYTES
