"""`python -m stemline_server.taggers.calibrate TAGGER CORPUS...`: fit and check the calibration of a tagger.

The corpora are folders that the training of the embedded engine has made. Mixtures of one to three sounds are drawn
from recordings of the splits "train" and "unseen" to fit, and of "held" to check. No file of an evaluation set is in a
corpus. Prints the calibration of each kind of sound and a reliability table of the held mixtures.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline_server.engines.embedded.evaluation_clips import MemorySource
from stemline_server.engines.embedded.training.corpus import RATE, resampled
from stemline_server.engines.embedded.training.mixtures import CATEGORY_SHARE, UNNAMED_LABELS, Corpus, source
from stemline_server.taggers import registry
from stemline_server.taggers.calibration import kind_of
from stemline_server.taggers.spotting import CALIBRATION_SCORES, Calibration, evidence_of, is_true, known_sounds

SECONDS = 8
PROMPTS = {"song": "music", "horn": "french horn"}
_LEVEL_SPREAD_DB = 6.0
_PRIOR = 2.0
_BINS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)

Samples = dict[str, list[tuple[float, bool]]]


def mixtures(folders: Sequence[Path], split: str, count: int, seed: int) -> Iterator[tuple[MemorySource, set[str]]]:
    """Yield mixtures at 48 kHz with the prompts of their sounds."""
    corpus, rng = Corpus(folders, split), np.random.default_rng(seed)
    shares = np.array([CATEGORY_SHARE[name] for name in corpus.categories])
    for _ in range(count):
        wave, prompts = np.zeros(SECONDS * RATE, np.float32), set()
        for _ in range(int(rng.choice((1, 2, 2, 2, 3)))):
            category = str(rng.choice(corpus.categories, p=shares / shares.sum()))
            label = corpus.label(rng, category)
            prompt = PROMPTS.get(label, label)
            sound = source(rng, corpus, label, SECONDS * RATE)
            level = float(np.sqrt((sound**2).mean()))
            if prompt not in known_sounds() or (label in UNNAMED_LABELS - {"song"}) or not level:
                continue
            wave += sound / level * 10 ** (rng.uniform(-_LEVEL_SPREAD_DB, _LEVEL_SPREAD_DB) / 20)
            prompts |= {prompt, "music"} if category in ("song", "instrument") else {prompt}
        if prompts:
            yield MemorySource(resampled(wave / np.abs(wave).max() * 0.5, 48_000)), prompts


def collect(tagger: registry.ScoringTagger, drawn: Iterator[tuple[MemorySource, set[str]]]) -> Samples:
    """Return (score, whether the sound or a near relative occurs) by kind."""
    samples: Samples = defaultdict(list)
    for audio, present in drawn:
        everything = SampleRange(0, audio.length_samples)
        for prompt, score in evidence_of(tagger.tracks(audio, lambda done, total: None), everything).items():
            samples[kind_of(prompt)].append((score, is_true(prompt, present)))
    return samples


def fit(samples: Sequence[tuple[float, bool]]) -> Calibration:
    """Return the isotonic regression of the samples, by pooling adjacent violators (Ayer et al., 1955).

    Each sample belongs to the nearest of `CALIBRATION_SCORES`. A weak prior keeps probabilities off 0 and 1.
    """
    scores = np.array([score for score, _ in samples])
    present = np.array([is_present for _, is_present in samples])
    middles = np.convolve(CALIBRATION_SCORES, (0.5, 0.5), "valid")
    places = np.searchsorted(middles, scores)
    pools: list[tuple[float, float, int]] = []  # occurring sounds, all sounds, knots
    for knot in range(len(CALIBRATION_SCORES)):
        inside = places == knot
        pool = (float(present[inside].sum()) + _PRIOR * CALIBRATION_SCORES[knot], float(inside.sum()) + _PRIOR, 1)
        while pools and pools[-1][0] / pools[-1][1] > pool[0] / pool[1]:
            before = pools.pop()
            pool = (before[0] + pool[0], before[1] + pool[1], before[2] + pool[2])
        pools.append(pool)
    return Calibration(tuple(round(hits / count, 3) for hits, count, knots in pools for _ in range(knots)))


def reliability(samples: Samples, fitted: dict[str, Calibration]) -> list[str]:
    """Return a line for each range of likelihoods: how many sounds got it, and how many of these occur."""
    pairs = [(fitted[kind].likelihood(score), is_present) for kind in samples for score, is_present in samples[kind]]
    likely: npt.NDArray[np.float64] = np.array([value for value, _ in pairs])
    present = np.array([is_present for _, is_present in pairs])
    lines = []
    for low, high in itertools.pairwise(_BINS):
        inside = (likely >= low) & (likely < high + (high == 1.0))
        if inside.any():
            lines.append(
                f"{low:.1f}..{high:.1f}: {inside.sum():6d} sounds, mean likelihood {likely[inside].mean():.2f}, "
                f"{present[inside].mean():.2f} occur"
            )
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Fits the calibration of a tagger and checks it on held-out packages.")
    parser.add_argument("tagger", choices=registry.tagger_ids())
    parser.add_argument("corpora", type=Path, nargs="+", help="corpus folders that the training has made")
    parser.add_argument("--mixtures", type=int, default=400, help="mixtures of each split (default 400)")
    options = parser.parse_args(arguments)
    tagger = registry.create_scoring_tagger(options.tagger)
    samples: Samples = defaultdict(list)
    for seed, split in enumerate(("train", "unseen")):
        for kind, found in collect(tagger, mixtures(options.corpora, split, options.mixtures // 2, seed)).items():
            samples[kind] += found
    fitted = {kind: fit(found) for kind, found in samples.items()}
    for kind, calibration in sorted(fitted.items()):
        print(f'    "{kind}": Calibration({calibration.likelihoods}),')  # noqa: T201
    held = collect(tagger, mixtures(options.corpora, "held", options.mixtures, 2))
    print("\n".join(reliability(held, fitted)))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
