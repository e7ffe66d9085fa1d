"""Mixtures drawn from a corpus during training: sources, queries and targets.

The net learns from band sums of short-time spectra alone, so batches are small: the power of each mixture, and for each
query the power of its target and the cross power of target and mixture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..net_separator import FeatureSource
from ..sound_net import Query
from .corpus import RATE, Recording, Wave, groups, read_index
from .signals import (
    band_product,
    chain_gains,
    envelope,
    reverberated,
    short_time_spectra,
    stretch,
    teacher_features,
)

ANY = "any"
UNNAMED_LABELS = {"song", "other effect", "impact", "beast"}
"""Labels whose files are too diverse to ask for by name. They occur in groups, with spans or as the other sound."""
CONTINUOUS = {"song", "rain", "wind", "noise", "hum", "waves", "water", "engine", "crowd", "machine", "fire", "cricket"}
CATEGORY_SHARE = {
    "speech": 0.2,
    "song": 0.17,
    "instrument": 0.2,
    "animal": 0.15,
    "sound effect": 0.18,
    "ambience": 0.13,
}
LOW_SHARE = 0.2
LOW_LABELS = ("wind", "noise", "engine", "hum", "rain")
"""Share of the mixtures that put a sound other than speech before low or steady noise: music and instruments most."""
BEFORE_LOW = {"song": 0.35, "instrument": 0.3, "animal": 0.2, "sound effect": 0.15}
PITCH_RANGE = 0.23
"""Largest change of speed and pitch, in nepers: four semitones."""
SECOND_TAKE_SHARE = 0.1
"""Share of the sources with a second take at the same time."""
SECOND_ABSENT_SHARE, ALIKE_SHARE = 0.2, 0.5
"""Shares of the mixtures with two absent queries, and of the absent queries that resemble a sound of the mixture."""


def class_names() -> list[str]:
    """Return the classes of the net, in the order of its embedding."""
    labels = sorted({label for members in groups().values() for label in members} | {"speech"})
    return [
        ANY,
        *sorted(groups()),
        *(label for label in labels if label not in UNNAMED_LABELS and label not in groups()),
    ]


def category(label: str) -> str:
    """Return the category of a label."""
    if label in ("speech", "song"):
        return label
    if label in groups()["music"]:
        return "instrument"
    if label in ("rain", "wind", "noise", "hum", "water", "waves", "crowd", "applause"):
        return "ambience"
    return "animal" if label in groups()["animal"] else "sound effect"


class Corpus:
    """Hold the recordings of one split of several corpus folders, to draw at random by category, label and package."""

    def __init__(self, folders: Sequence[Path], split: str) -> None:
        """Open the recordings of a split without reading their samples."""
        self._sounds: dict[str, dict[str, dict[str, list[npt.NDArray[np.int16]]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )
        for folder in folders:
            audio = np.memmap(folder / "audio.i16", np.int16, "r")
            for r in read_index(folder):
                if r.split == split:
                    self._add(r, audio)
        self.categories = [c for c in CATEGORY_SHARE if c in self._sounds]

    def _add(self, r: Recording, audio: npt.NDArray[np.int16]) -> None:
        sound = audio[r.offset : r.offset + r.length]
        self._sounds[category(r.label)][r.label][r.package].append(sound)

    def has(self, label: str) -> bool:
        """Return whether there is a recording of a label."""
        return label in self._sounds.get(category(label), {})

    def label(self, rng: np.random.Generator, kind: str) -> str:
        """Draw a label of a category."""
        labels = self._sounds[kind]
        size = np.array([sum(len(p) for p in labels[name].values()) ** 0.35 for name in labels])
        return str(rng.choice(list(labels), p=size / size.sum()))

    def all_takes(self) -> list[npt.NDArray[np.int16]]:
        """Return all recordings."""
        return [take for kind in self._sounds.values() for label in kind.values() for p in label.values() for take in p]

    def takes(self, rng: np.random.Generator, label: str) -> list[npt.NDArray[np.int16]]:
        """Return all recordings of a label in one random package."""
        found = self._sounds[category(label)][label]
        size = np.array([len(takes) ** 0.5 for takes in found.values()])
        return found[str(rng.choice(list(found), p=size / size.sum()))]


def source(rng: np.random.Generator, corpus: Corpus, label: str, n: int) -> Wave:
    """Return `n` samples of a label: a part of a long recording, or several takes with pauses."""
    takes = corpus.takes(rng, label)
    amount = 0.06 if label in ("speech", "song") else PITCH_RANGE
    wave = np.zeros(n, np.float32)
    pause = rng.uniform(0.05, 1.2) if rng.random() < 0.85 else 0.02
    at = int(rng.uniform(0, 0.6 if label == "speech" else 1.2) * RATE) if rng.random() < 0.7 else 0
    at = 0 if label in CONTINUOUS else at
    event = takes[rng.integers(len(takes))]
    while at < n - 800:
        if rng.random() < 0.5:
            event = takes[rng.integers(len(takes))]
        need = int((n - at) * 1.3) + 10
        start = int(rng.integers(0, len(event) - need + 1)) if len(event) > need else 0
        piece = event[start : start + need].astype(np.float32)
        if rng.random() < 0.7 and len(piece) > 100:
            piece = stretch(rng, piece, amount)
        if rng.random() < 0.2 and len(piece) > 100:
            piece = piece * envelope(rng, len(piece))
        piece = piece[: n - at] * rng.uniform(0.6, 1)
        wave[at : at + len(piece)] += piece
        at += len(piece) + (0 if label in CONTINUOUS else int(rng.exponential(pause) * RATE))
    if label not in ("speech", "song") and rng.random() < SECOND_TAKE_SHARE:
        other = takes[rng.integers(len(takes))].astype(np.float32)[:n]
        at = int(rng.integers(0, n - len(other) + 1))
        wave[at : at + len(other)] += rng.uniform(0.3, 1) * other
    return reverberated(rng, wave) if rng.random() < 0.12 else wave


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold B mixtures and Q queries about them.

    Attributes:
        power: Band power of the mixtures, [B, T, BANDS].
        query: The queries.
        target: Band power of each query's target, [Q, T, BANDS].
        cross: Band cross power of target and mixture, [Q, T, BANDS].
        present: 1 if the target occurs in the mixture, else 0, [Q].
        kinds: Category of each query's target, or "absent".
        heard: Features of the mixtures by teachers, [B, T, channels]; None without teachers.
    """

    power: Tensor
    query: Query
    target: Tensor
    cross: Tensor
    present: Tensor
    kinds: tuple[str, ...]
    heard: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with its arrays on a device."""
        query = Query(*(part.to(device) for part in (self.query.mixture, self.query.word, self.query.spans)))
        parts = (part.to(device) for part in (self.power, self.target, self.cross, self.present))
        power, target, cross, present = parts
        heard = None if self.heard is None else self.heard.to(device)
        return Batch(power, query, target, cross, present, self.kinds, heard)


def draw_labels(rng: np.random.Generator, corpus: Corpus) -> list[str]:
    """Draw the labels of a mixture: one to four, mostly of different categories; instruments often play together."""
    lows = [label for label in LOW_LABELS if corpus.has(label)]
    if lows and rng.random() < LOW_SHARE and (before := [c for c in BEFORE_LOW if c in corpus.categories]):
        share = np.array([BEFORE_LOW[c] for c in before])
        label = corpus.label(rng, str(rng.choice(before, p=share / share.sum())))
        return list(dict.fromkeys((label, str(rng.choice(lows)))))
    count = int(rng.choice([1, 2, 3, 4], p=[0.04, 0.66, 0.24, 0.06]))
    count = min(count, len(corpus.categories))
    share = np.array([CATEGORY_SHARE[c] for c in corpus.categories])
    kinds = list(rng.choice(corpus.categories, count, replace=False, p=share / share.sum()))
    if "instrument" in kinds and rng.random() < 0.5:
        kinds = ["instrument"] * max(count, 2)
    labels = list(dict.fromkeys(corpus.label(rng, kind) for kind in kinds))
    if "song" in labels:
        labels = [label for label in labels if label == "song" or category(label) != "instrument"]
    return labels


def draw_queries(rng: np.random.Generator, labels: list[str], limit: int) -> list[tuple[str, list[int]]]:
    """Draw queries about a mixture: every source with a name, a group, and one or two absent sounds.

    Three tenths of all queries are about absent sounds, half of these about a sound that resembles one of the mixture:
    only so can the presence be believed.

    Args:
        rng: Random generator.
        labels: Labels of the sources.
        limit: Maximum number of queries.

    Returns:
        (class name, numbers of the sources that it includes) of each query.
    """
    queries = [(label, [i]) for i, label in enumerate(labels) if label not in UNNAMED_LABELS]
    queries += [(ANY, [i]) for i, label in enumerate(labels) if label in UNNAMED_LABELS - {"song"}]
    present_groups = [name for name, members in groups().items() if set(members) & set(labels)]
    if present_groups:
        name = "music" if "song" in labels else str(rng.choice(present_groups))
        queries.append((name, [i for i, label in enumerate(labels) if label in groups()[name]]))
    rng.shuffle(queries)
    queries = queries[: limit - 1]
    absent = absent_classes(labels)
    alike = [w for w in absent if category(w) in {category(label) for label in labels}]
    for _ in range(2 if rng.random() < SECOND_ABSENT_SHARE else 1):
        drawn = alike if alike and rng.random() < ALIKE_SHARE else absent
        queries.append((str(rng.choice(drawn)), []))
    return queries


def absent_classes(labels: Sequence[str]) -> list[str]:
    """Return the classes that certainly do not sound in a mixture of labels: a song may hold any instrument."""
    vague = "song" in labels or "other effect" in labels or "machine" in labels
    others = [w for w in class_names()[1:] if w not in groups() and w not in labels]
    return [w for w in others if not vague or category(w) in ("animal", "speech")]


def draw_spans(rng: np.random.Generator, active: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Draw span channels [T, 4] for a target in the `active` frames: exact, wider, partial, negative or none."""
    spans = np.zeros((len(active), 4), np.float32)
    grown = np.convolve(active, np.ones(int(rng.integers(1, 22))), "same") > 0
    way = rng.random()
    if active.all() or way > 0.55:
        if (~grown).any() and way > 0.9:
            spans[~grown, 1] = 1
            spans[:, 3] = 1
        return spans
    spans[grown, 0] = 1
    if way < 0.08:  # only some of the occurrences are marked
        start = int(rng.integers(0, len(active)))
        spans[start : start + len(active) // 2, 0] = 0
    if way > 0.45:
        spans[~grown, 1] = 1
    spans[:, 2], spans[:, 3] = spans[:, 0].max(), spans[:, 1].max()
    return spans


def activity(power: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return whether each frame of a band power [T, BANDS] is within 32 dB of the loudest frame, [T]."""
    level = power.sum(-1)
    return np.asarray((level > level.max() * 10**-3.2) & (level > 0))


class QueryTable:
    """Collect the queries of a batch."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Start without queries."""
        self._rng = rng
        self._number = {word: i for i, word in enumerate(class_names())}
        self._rows: list[int] = []
        self._words: list[int] = []
        self._present: list[float] = []
        self._spans: list[npt.NDArray[np.float32]] = []
        self._kinds: list[str] = []

    def add(self, row: int, word: str, kind: str, active: npt.NDArray[np.bool_]) -> None:
        """Add a query; some marked sounds are asked for without their name.

        Args:
            row: Row of the mixture.
            word: Class that is asked for.
            kind: Category of the target, or "absent".
            active: Whether the target sounds in each frame, [T]; ignored for absent ones.
        """
        there = kind != "absent"
        spans = draw_spans(self._rng, active) if there else np.zeros((len(active), 4), np.float32)
        named = word if not spans.any() or self._rng.random() < 0.8 else ANY
        self._rows.append(row)
        self._words.append(self._number[named if there else word])
        self._present.append(float(there))
        self._spans.append(spans)
        self._kinds.append(kind)

    def batch(self, power: Tensor, target: Tensor, cross: Tensor, heard: Tensor | None) -> Batch:
        """Return the batch, on the device of the mixtures' power; see `Batch` for the arguments."""
        query = Query(
            torch.tensor(self._rows), torch.tensor(self._words), torch.from_numpy(np.stack(self._spans)).float()
        )
        kinds = tuple(self._kinds)
        return Batch(power, query, target, cross, torch.tensor(self._present), kinds, heard).to(power.device)


class Mixer:
    """Draw batches from a corpus."""

    def __init__(self, corpus: Corpus, seed: int, seconds: float = 3.2, teachers: FeatureSource | None = None) -> None:
        """Create a mixer.

        Args:
            corpus: The recordings.
            seed: Seed of the random generator.
            seconds: Usual length of a mixture.
            teachers: The nets that hear the mixtures, too.
        """
        self._corpus = corpus
        self._rng = np.random.default_rng(seed)
        self._n = int(seconds * RATE)
        self._teachers = teachers

    def _sources(self, n: int) -> tuple[list[str], Tensor]:
        """Draw the labels and complex spectra [sources, T, BINS] of a mixture, with levels and recording chains."""
        rng = self._rng
        labels = draw_labels(rng, self._corpus)
        waves = np.stack([source(rng, self._corpus, label, n) for label in labels])
        spectra = short_time_spectra(waves)
        chain = torch.from_numpy(np.stack([chain_gains(rng, label) for label in labels]))
        power = spectra.abs().square_().mean(1)
        level = (power * chain.square()).mean(1).sqrt() + 1e-9
        gain = torch.from_numpy(10 ** (rng.uniform(-6, 6, len(labels)) / 20)).float()
        return labels, spectra.mul_((chain * (gain / level)[:, None])[:, None])

    def batch(self, mixtures: int, limit: int = 4, longer: int = 1) -> Batch:
        """Draw a batch.

        Args:
            mixtures: Number of mixtures.
            limit: Maximum number of queries about each.
            longer: Factor on the usual length.
        """
        power, target, cross, heard, table = [], [], [], [], QueryTable(self._rng)
        for row in range(mixtures):
            labels, spectra = self._sources(longer * self._n)
            mixed = spectra.sum(0)
            if self._rng.random() < 0.4:
                mixed = mixed + torch.randn_like(mixed) * float(10 ** (self._rng.uniform(-55, -28) / 20))
            power.append(band_product(mixed, mixed))
            if self._teachers is not None:
                heard.append(teacher_features(self._teachers, mixed, longer * self._n))
            with_mix = band_product(spectra, mixed)
            for word, included in draw_queries(self._rng, labels, limit):
                wanted = spectra[included].sum(0)
                target.append(band_product(wanted, wanted))
                cross.append(with_mix[included].sum(0))
                kind = category(labels[included[0]]) if included else "absent"
                table.add(row, word, kind, activity(target[-1].numpy()))
        return table.batch(
            torch.stack(power), torch.stack(target), torch.stack(cross), torch.stack(heard) if heard else None
        )
