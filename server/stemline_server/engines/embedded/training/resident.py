"""Mixtures drawn with all sounds in the memory of a graphics card, where they are also mixed and analysed.

The recipes are those of `mixtures`, except that a source has one envelope instead of one for each take, and no second
take at the same time. Only the choices are made on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..net_separator import FeatureSource
from .corpus import RATE
from .mixtures import (
    CONTINUOUS,
    PITCH_RANGE,
    Batch,
    Corpus,
    QueryTable,
    category,
    draw_labels,
    draw_queries,
)
from .signals import band_product, chain_gains, envelope, spectra_of, teacher_features

_REVERB_SHARE, _ENVELOPE_SHARE, _NOISY_SHARE = 0.12, 0.2, 0.4


@dataclass(frozen=True, slots=True)
class Event:
    """Place a part of a recording in a source: `count` samples from `at` on, read from `start` at a speed, scaled."""

    start: int
    at: int
    count: int
    speed: float
    level: float


@dataclass(frozen=True, slots=True)
class _Source:
    """Choose a source: the row of its mixture, its label and its events."""

    mixture: int
    label: str
    events: list[Event]


class ResidentMixer:
    """Draw batches from a corpus whose recordings are on a device."""

    def __init__(
        self, corpus: Corpus, seed: int, seconds: float, teachers: FeatureSource | None, device: torch.device
    ) -> None:
        """Copy the recordings to the device.

        Args:
            corpus: The recordings.
            seed: Seed of the random generators.
            seconds: Usual length of a mixture.
            teachers: The nets that hear the mixtures, too. They run on the CPU, one mixture after the other.
            device: Torch device.
        """
        self._corpus, self._teachers, self._device = corpus, teachers, device
        self._rng = np.random.default_rng(seed)
        self._random = torch.Generator(device).manual_seed(seed)
        self._n = int(seconds * RATE)
        takes = corpus.all_takes()
        offsets = np.concatenate([[0], np.cumsum([len(take) for take in takes])])
        self._offset = {id(take): int(offset) for take, offset in zip(takes, offsets, strict=False)}
        self._audio = torch.from_numpy(np.concatenate([*takes, np.zeros(1, np.int16)])).to(device)

    def batch(self, mixtures: int, limit: int = 4, longer: int = 1) -> Batch:
        """Draw a batch on the device; see `Mixer.batch`."""
        n = longer * self._n
        labels = [draw_labels(self._rng, self._corpus) for _ in range(mixtures)]
        sources = [_Source(row, label, self._events(label, n)) for row, some in enumerate(labels) for label in some]
        spectra = self._at_levels(spectra_of(self._waves(sources, n)), [source.label for source in sources])
        rows = torch.tensor([source.mixture for source in sources], device=self._device)
        mixed = torch.zeros((mixtures, *spectra.shape[1:]), dtype=spectra.dtype, device=self._device)
        mixed = self._with_noise(mixed.index_add(0, rows, spectra))
        with_mix = band_product(spectra, mixed[rows])
        queries = [(row, *query) for row, some in enumerate(labels) for query in draw_queries(self._rng, some, limit)]
        first = np.concatenate([[0], np.cumsum([len(some) for some in labels])])
        pairs = [(q, int(first[row]) + i) for q, (row, _, included) in enumerate(queries) for i in included]
        query_of, source_of = torch.tensor(pairs, dtype=torch.long, device=self._device).reshape(-1, 2).unbind(1)
        wanted = spectra.new_zeros((len(queries), *spectra.shape[1:])).index_add(0, query_of, spectra[source_of])
        target = band_product(wanted, wanted)
        cross = with_mix.new_zeros(target.shape).index_add(0, query_of, with_mix[source_of])
        level = target.sum(-1)
        active = ((level > level.amax(1, keepdim=True) * 10**-3.2) & (level > 0)).cpu().numpy()
        table = QueryTable(self._rng)
        for number, (row, word, included) in enumerate(queries):
            kind = category(labels[row][included[0]]) if included else "absent"
            table.add(row, word, kind, active[number])
        return table.batch(band_product(mixed, mixed), target, cross, self._heard(mixed, n))

    def _heard(self, mixed: Tensor, n: int) -> Tensor | None:
        if self._teachers is None:
            return None
        return torch.stack([teacher_features(self._teachers, one, n) for one in mixed]).to(self._device)

    def _events(self, label: str, n: int) -> list[Event]:
        """Choose the events of a source of `n` samples: a part of a long recording, or several takes with pauses."""
        rng, takes = self._rng, self._corpus.takes(self._rng, label)
        amount = 0.06 if label in ("speech", "song") else PITCH_RANGE
        pause = rng.uniform(0.05, 1.2) if rng.random() < 0.85 else 0.02
        late = label not in CONTINUOUS and rng.random() < 0.7
        at = int(rng.uniform(0, min(0.6 if label == "speech" else 1.2, n / RATE / 2)) * RATE) if late else 0
        take, events = takes[rng.integers(len(takes))], []
        while at < n - 800:
            if rng.random() < 0.5:
                take = takes[rng.integers(len(takes))]
            speed = float(np.exp(rng.uniform(-amount, amount))) if rng.random() < 0.7 else 1.0
            spare = len(take) - int((n - at) * speed) - 2
            skipped = int(rng.integers(0, spare + 1)) if spare > 0 else 0
            count = max(min(int((len(take) - skipped - 1) / speed), n - at), 1)
            events.append(Event(self._offset[id(take)] + skipped, at, count, speed, float(rng.uniform(0.6, 1))))
            at += count + (0 if label in CONTINUOUS else int(rng.exponential(pause) * RATE))
        return events

    def _waves(self, sources: list[_Source], n: int) -> Tensor:
        """Return the samples of sources, [sources, n], with envelopes and rooms."""
        waves = torch.zeros((len(sources), n), device=self._device)
        steps = torch.arange(n, device=self._device)
        for row, source in enumerate(sources):
            for event in source.events:
                places = steps[: event.count] * event.speed
                low = places.floor()
                share, low = places - low, low.long() + event.start
                part = torch.lerp(self._audio[low].float(), self._audio[low + 1].float(), share)
                waves[row, event.at : event.at + event.count] += part * event.level
            if self._rng.random() < _ENVELOPE_SHARE:
                waves[row] *= self._to_device(envelope(self._rng, n))
        chosen = self._rng.random(len(sources)) < _REVERB_SHARE
        if chosen.any():
            rows = torch.from_numpy(np.flatnonzero(chosen)).to(self._device)
            waves[rows] = self._reverberated(waves[rows])
        return waves

    def _reverberated(self, waves: Tensor) -> Tensor:
        """Add a synthetic room to each wave [N, samples]: decaying noise after the direct sound."""
        rows, n = waves.shape
        decay_s = self._to_device(self._rng.uniform(0.05, 0.35, (rows, 1)))
        time_s = torch.arange(n, device=self._device) / RATE
        tail = torch.randn(waves.shape, generator=self._random, device=self._device) * torch.exp(-time_s / decay_s)
        tail *= self._to_device(self._rng.uniform(0.1, 0.6, (rows, 1))) / tail.square().sum(1, keepdim=True).sqrt()
        tail[:, 0] += 1
        spectrum = torch.fft.rfft(waves, 2 * n) * torch.fft.rfft(tail, 2 * n)
        wet: Tensor = torch.fft.irfft(spectrum, 2 * n)[:, :n]
        return wet

    def _at_levels(self, spectra: Tensor, labels: list[str]) -> Tensor:
        """Apply random recording chains and levels to the spectra [sources, T, BINS], within 6 dB of each other."""
        chain = self._to_device(np.stack([chain_gains(self._rng, label) for label in labels]))
        gain = self._to_device(10 ** (self._rng.uniform(-6, 6, len(labels)) / 20))
        level = (spectra.abs().square().mean(1) * chain.square()).mean(1).sqrt() + 1e-9
        return spectra * (chain * (gain / level)[:, None])[:, None]

    def _with_noise(self, mixed: Tensor) -> Tensor:
        """Add faint white noise to some of the mixtures [B, T, BINS]."""
        level = 10 ** (self._rng.uniform(-55, -28, len(mixed)) / 20) * (self._rng.random(len(mixed)) < _NOISY_SHARE)
        noise = torch.randn(mixed.shape, generator=self._random, device=self._device, dtype=mixed.dtype)
        return mixed + noise * self._to_device(level)[:, None, None]

    def _to_device(self, values: npt.NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(values).float().to(self._device)
