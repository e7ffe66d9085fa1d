"""Films of a hammer that is raised and strikes, over other sounds that it does not make."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from core.media.films import write_film

RATE = 24
SIDE, LEFT, REST, RAISED = 80, 280, 240, 150
DOWN_S, STILL_S = 0.12, 0.05


@dataclass(frozen=True)
class StruckClip:
    """A film and what is true of it: when the hammer strikes, in seconds, and a box around it in the first frame."""

    path: Path
    hits: list[float]
    box: tuple[int, int, int, int]


def write_struck(
    folder: Path, seed: int, *, own: int = 5, other: int = 7, seconds: int = 4, sounds: bool = True
) -> StruckClip:
    """Write 640 x 360 with a moving camera. Without `sounds` the hammer makes none."""
    random = np.random.default_rng(seed)
    hits = np.sort(np.linspace(0.5, seconds - 0.5, own) + random.uniform(-0.06, 0.06, own)).tolist()
    others: list[float] = []
    while len(others) < other:
        at = float(random.uniform(0.2, seconds - 0.3))
        if all(abs(at - known) > 0.13 for known in (*hits, *others)):
            others.append(at)
    ground = np.kron(random.integers(20, 110, (45, 113, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))[:360, :900]
    hammer = np.kron(random.integers(120, 255, (10, 10, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    pictures = []
    for number in range(seconds * RATE):
        time = number / RATE
        pan = int(60 + 20 * time + 5 * np.sin(3 * time))
        picture = ground[:, pan : pan + 640].copy()
        foot = round(height(time, hits, seconds))
        picture[foot - SIDE : foot, LEFT : LEFT + SIDE] = hammer
        pictures.append(picture)
    sound = random.normal(0, 0.002, seconds * 48_000)
    for at in [*(hits if sounds else []), *others]:
        first = int(at * 48_000)
        length = min(9_600, len(sound) - first)
        sound[first : first + length] += random.normal(0, 0.3, length) * np.exp(-np.arange(length) / 1400)
    silent = write_film(folder / f"picture{seed}.mov", pictures, crf=24, gop=48)
    path = _with_sound(silent, folder / f"struck{seed}.mov", sound)
    foot = round(height(0, hits, seconds))
    return StruckClip(path, hits, (LEFT - 4, foot - SIDE - 4, SIDE + 8, SIDE + 8))


def height(time: float, hits: list[float], seconds: float) -> float:
    """The row of the hammer's lower edge: raised slowly, down within 0.12 s, still for 0.05 s."""
    after = next((hit for hit in hits if hit >= time), None)
    before = next((hit for hit in reversed(hits) if hit < time), None)
    if after is not None and after - time < DOWN_S:
        return REST - (REST - RAISED) * (after - time) / DOWN_S
    if before is not None and time - before < STILL_S:
        return REST
    start = 0.0 if before is None else before + STILL_S
    end = seconds if after is None else after - DOWN_S
    share = min(1.0, max(0.0, (time - start) / max(end - start, 0.01)))
    low = RAISED if before is None else REST
    return low + (RAISED - low) * share**2 * (3 - 2 * share)


def _with_sound(silent: Path, path: Path, sound: np.ndarray) -> Path:
    samples = (np.clip(sound, -1, 1) * 32_000).astype(np.int16)
    with av.open(str(silent)) as source, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        audio = container.add_stream("pcm_s16le", 48_000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        for start in range(0, len(samples), 4800):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 4800], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path
