"""`python -m stemline_server.engines.embedded.training.holdout DIR CORPUS...`: write mixtures of held-out packages.

DIR can be read by `evaluate`: it holds target and residual of every mixture as FLAC at 48 kHz, and `manifest.json`. The
corpora are folders that the training has made; only sounds of the split "held" are used, which are never trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..evaluation_clips import RATE as EVALUATION_RATE
from ..evaluation_clips import active_spans
from .corpus import RATE, Wave, resampled
from .mixtures import CONTINUOUS, UNNAMED_LABELS, Corpus, source

SECONDS = 7
COUNTS = {"speech": 6, "music": 6, "instrument": 8, "animal": 8, "sfx": 10, "noise": 6}
AGAINST = {
    "speech": ("song", "ambience", "sound effect", "instrument"),
    "music": ("speech", "speech", "ambience"),
    "instrument": ("instrument", "speech", "ambience"),
    "animal": ("song", "speech", "ambience", "instrument"),
    "sfx": ("song", "speech", "ambience", "instrument"),
    "noise": ("speech", "song", "animal"),
}


def write_flac(path: Path, wave: Wave) -> None:
    """Write a mono wave at 48 kHz as FLAC with 16 bits."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=EVALUATION_RATE, layout="mono", format="s16")
        block = np.round(wave * 32_767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate = EVALUATION_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def draw_sound(rng: np.random.Generator, corpus: Corpus, kind: str, avoid: str = "") -> tuple[str, Wave]:
    """Draw a label that can be asked for by name, and a sound of it at unit level.

    Args:
        rng: Random generator.
        corpus: The recordings.
        kind: Category to draw from.
        avoid: Label not to draw.
    """
    while True:
        label = corpus.label(rng, kind)
        wave = source(rng, corpus, label, SECONDS * RATE)
        if (label in UNNAMED_LABELS - {"song"}) or label == avoid or not np.abs(wave).max():
            continue
        return label, wave / np.sqrt((wave**2).mean())


def mixture(rng: np.random.Generator, corpus: Corpus, name: str, number: int) -> tuple[dict[str, Any], Wave, Wave]:
    """Draw a mixture; return its entry of the manifest, its target and its residual at 48 kHz."""
    kind = {"music": "song", "sfx": "sound effect", "noise": "ambience"}.get(name, name)
    label, target = draw_sound(rng, corpus, kind)
    other, residual = draw_sound(rng, corpus, AGAINST[name][number % len(AGAINST[name])], avoid=label)
    snr_db = float(rng.uniform(-4, 4))
    target, residual = resampled(target, EVALUATION_RATE) * 10 ** (snr_db / 20), resampled(residual, EVALUATION_RATE)
    scale = 0.7 / max(np.abs(target + residual).max(), np.abs(target).max(), np.abs(residual).max())
    spans = [[s.start_sample / EVALUATION_RATE, s.end_sample / EVALUATION_RATE] for s in active_spans(target)]
    entry = {
        "id": f"{name}{number:02d}",
        "category": name,
        "prompt": "music" if label == "song" else label,
        "spans": [[0, SECONDS]] if label in CONTINUOUS else spans,
        "snr_db": round(snr_db, 2),
        "rest": other,
    }
    return entry, target * scale, residual * scale


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Writes mixtures of held-out packages for evaluate.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("corpora", type=Path, nargs="+", help="corpus folders that the training has made")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    corpus, rng, manifest = Corpus(options.corpora, "held"), np.random.default_rng(5), []
    for name, count in COUNTS.items():
        for number in range(count):
            entry, target, residual = mixture(rng, corpus, name, number)
            for part, wave in (("target", target), ("residual", residual)):
                entry[part] = f"{entry['id']}.{part}.flac"
                write_flac(options.folder / entry[part], wave)
            manifest.append(entry)
    (options.folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
