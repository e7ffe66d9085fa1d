"""Room tone in the place of dialogue that the embedded model removed from scenes, against the ambience that was there.

Each scene is an ambience with speech over its middle. STEMLINE_AMBIENCES names a folder of recordings; without it
ambiences are made. The baseline of each figure is the residual as it is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import stemline
from stemline.client import stop_private
from stemline.clips import MediaSource
from stemline.media import AudioFormat, SampleFormat, open_audio, open_writer

from .bench_fills import made_ambiences, recordings
from .fill_measures import RATE, Sound, level_db, modulation_distance_db, spectrum_error_db
from .measure import report

SCENES = 10
SCENE_S = 11
LEAD_S = 2
_SPEECH = Path(__file__).resolve().parents[2] / "examples" / "interview" / "speech"


def main() -> None:
    """Prints the figures of ten scenes."""
    ambiences = [sound for sound in (recordings() or made_ambiences()).values() if sound.shape[1] >= SCENE_S * RATE]
    takes = [read(path)[:1] for path in sorted(_SPEECH.glob("*.flac"))]
    rows: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        os.environ["STEMLINE_CACHE"] = str(Path(folder) / "cache")
        with stemline.connect() as client:
            for number in range(SCENES):
                ambience = ambiences[number % len(ambiences)][:1, -SCENE_S * RATE :]
                scene = judge(Path(folder), client, ambience, dialogue(takes, number), number)
                for figure, pair in scene.items():
                    rows.setdefault(figure, []).append(pair)
                print(
                    f"  scene {number}: " + ", ".join(f"{f}: {a:.2f} ({b:.2f})" for f, (a, b) in scene.items()),
                    flush=True,
                )
        stop_private(timeout_s=10)
    for figure, pairs in rows.items():
        filled, plain = np.median(np.array(pairs), axis=0)
        report(f"{figure}, median", float(filled), f"below {plain:.3g}", "the residual as it is")


def judge(
    folder: Path, client: stemline.Client, ambience: Sound, speech: Sound, number: int
) -> dict[str, tuple[float, float]]:
    """Each figure with fill, and of the plain residual, in the span of the speech."""
    voice = np.zeros_like(ambience)
    voice[:, LEAD_S * RATE : LEAD_S * RATE + speech.shape[1]] = speech
    voice *= 10 ** ((level_db(ambience) + 12 - level_db(speech)) / 20)
    mix = (ambience + voice).astype(np.float32)
    path = folder / f"scene{number}.wav"
    with open_writer(path, AudioFormat(SampleFormat.WAV32F, RATE, 1)) as writer:
        writer.write(mix / max(1.0, np.abs(mix).max()))
    settings = stemline.Settings(replace={"dialogue": stemline.Replace()})
    result = stemline.separate(path, {"dialogue": "speech"}, output=folder, settings=settings, client=client)
    scale = max(1.0, float(np.abs(mix).max()))
    plain = read(Path(result.residual)) * scale
    if "fill dialogue" not in result.derived:
        return {}
    filled = (read(Path(result.derived["residual.kept"])) + read(Path(result.derived["fill dialogue"]))) * scale
    span = slice(LEAD_S * RATE, LEAD_S * RATE + speech.shape[1])
    voiced = ambience[:, span]
    figures: dict[str, Callable[[Sound], float]] = {
        "third octaves against the ambience, dB": lambda sound: spectrum_error_db(sound[:, span], voiced),
        "modulation distance, dB": lambda sound: modulation_distance_db(sound[:, span], voiced),
        "largest step of the 200 ms level beyond the ambience's, dB": lambda sound: (
            steps_db(sound) - steps_db(ambience)
        ),
    }
    return {figure: (measure(filled), measure(plain)) for figure, measure in figures.items()}


def dialogue(takes: list[Sound], number: int) -> Sound:
    """Speech that begins with another take in each scene."""
    first = number % len(takes)
    return np.concatenate([*takes[first:], *takes[:first]], axis=1)[:, : (SCENE_S - 2 * LEAD_S) * RATE]


def steps_db(sound: Sound) -> float:
    """Largest change between neighbouring 200 ms."""
    frame = RATE // 5
    frames = sound[:, : sound.shape[1] // frame * frame].reshape(-1, frame)
    levels = 10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-12)
    return float(np.abs(np.diff(levels)).max())


def read(path: Path) -> Sound:
    with open_audio(MediaSource(str(path))) as sound:
        return sound.read(0, sound.length_samples).astype(np.float64)
