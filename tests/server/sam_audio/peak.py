"""The peak memory of a separation, measured in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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

class NullControl:
    def step(self, done, total): pass
    def warn(self, prompt, code, message): pass
    def find(self, prompt, finding): pass

engine = SamAudioEngine(settings=Settings(model=sys.argv[1], text_encoder=sys.argv[2]))
engine.load("cpu")
request = EngineRequest(Tone(int(sys.argv[3])), (EnginePrompt("dog barking"),), quality="fast")
length = sum(block.shape[-1] for block in engine.separate(request, NullControl()))
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
