"""Explain a recording by stems: find which stems it holds, where, and at which gains.

Stems are aligned with the recording by cross-correlation, and their gains solved by least squares. This needs no mark,
and survives coding, trimming and other gains. A change of speed is not found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Mono = npt.NDArray[np.float32]
Opener = Callable[[], Iterator[Mono]]
"""Opens a sound: yields mono blocks at `RATE`."""
_Complex = npt.NDArray[np.complex128]
_Reals = npt.NDArray[np.float64]

RATE = 16_000
LEAST_S = 1.0
FOUND = 0.25
"""The part of the energy from which a recording counts as explained."""
GAINS_KNOWN = 0.8
"""The part of the energy from which gains are told."""
_EQUALISED = 0.02
_EXCERPT = 20 * RATE
_MOST_EXCERPTS = 8
_SEARCH = 1 << 20
_FRAME, _HOP = 1024, 512
_FREQUENCIES = 1 + 6500 * _FRAME // RATE
"""Frequencies that are compared: above, resampling and coding change the sound."""
_SHIFTS = np.linspace(-1.5, 1.5, 301)


@dataclass(frozen=True, slots=True)
class StemGain:
    """One stem in a recording.

    Attributes:
        name: Name of the stem file.
        start_s: Where the stem's first sample is in the recording, in seconds; negative where its start was cut off.
        gain_db: Its gain, minus infinity where it is off; None where too little of the recording is explained.
        inverted: Whether its polarity is inverted.
    """

    name: str
    start_s: float
    gain_db: float | None
    inverted: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the JSON form; a gain of minus infinity is "off"."""
        gain = "off" if self.gain_db == -math.inf else self.gain_db
        return {"stem": self.name, "start_s": round(self.start_s, 4), "gain_db": gain, "inverted": self.inverted}


@dataclass(frozen=True, slots=True)
class Explanation:
    """How much of a recording stems explain.

    Attributes:
        share: Part of the recording's energy, 0 to 1, that the stems explain.
        stems: Each stem, where the recording is explained.
        equalised: Whether it takes gains that differ with frequency, so that gains are not told.
    """

    share: float
    stems: tuple[StemGain, ...] = ()
    equalised: bool = False

    @property
    def found(self) -> bool:
        """Whether the recording counts as explained by these stems."""
        return self.share >= FOUND

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        percent = f"{100 * self.share:.0f} %"
        if not self.found:
            return f"Not explained by these stems: they account for {percent} of its energy."
        if self.equalised:
            return f"Explained by these stems, equalised: they account for {percent} of its energy."
        known = "" if self.stems and self.stems[0].gain_db is not None else ", too little to tell their gains"
        return f"Explained by these stems: they account for {percent} of its energy{known}."

    def to_json(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "share": round(self.share, 4),
            "found": self.found,
            "equalised": self.equalised,
            "stems": [stem.to_json() for stem in self.stems],
            "sentence": self.sentence,
        }


def explain(recording: Opener, groups: Sequence[Sequence[tuple[str, Opener]]]) -> Explanation:
    """Explain a recording by stems. Sounds are streamed.

    Args:
        recording: The recording.
        groups: Stems by name. Those of one group start together, as stem and residual of one set do.
    """
    excerpts = _excerpts(recording)
    places = [_place(group, excerpts) for group in groups] if excerpts else []
    stems = [
        (name, opener, place) for group, place in zip(groups, places, strict=bool(places)) for name, opener in group
    ]
    if not stems:
        return Explanation(0.0)
    sums = _sums(recording, [(opener, place) for _, opener, place in stems])
    if sums.energy <= 0:
        return Explanation(0.0)
    shifts = _fractions(sums, _members(groups))
    gains, flat = _flat_gains(sums, shifts)
    equalised = _equalised_share(sums)
    by_frequency = equalised > flat + _EQUALISED
    share = min(1.0, max(0.0, equalised if by_frequency else flat))
    if share < FOUND:
        return Explanation(share)
    loudest = max(float(np.abs(gains).max()), 1e-9)
    return Explanation(
        share,
        tuple(
            StemGain(
                name,
                (place + shift) / RATE,
                _decibels(gain, loudest) if share >= GAINS_KNOWN and not by_frequency else None,
                inverted=bool(gain < -1e-3 * loudest),
            )
            for (name, _, place), shift, gain in zip(stems, shifts, gains, strict=True)
        ),
        by_frequency,
    )


def _decibels(gain: float, loudest: float) -> float:
    if abs(gain) < 1e-3 * loudest:
        return -math.inf
    return round(20 * math.log10(abs(gain)), 2) + 0.0  # never -0.0


def _members(groups: Sequence[Sequence[object]]) -> list[list[int]]:
    """Return the numbers of the stems of each group."""
    members, at = [], 0
    for group in groups:
        members.append(list(range(at, at + len(group))))
        at += len(group)
    return members


# Where the stems are


def _excerpts(recording: Opener) -> list[tuple[int, Mono]]:
    """Return pieces of the recording to look for, with their places: the loudest, spread over it."""
    pieces: list[tuple[float, int, Mono]] = []
    for at, block in _chunked(recording(), _EXCERPT):
        if block.size < LEAST_S * RATE and pieces:
            continue
        pieces.append((float(np.square(block, dtype=np.float64).sum()), at, block))
        pieces.sort(key=lambda piece: -piece[0])
        del pieces[_MOST_EXCERPTS:]
    return [(at, block) for energy, at, block in pieces if energy > 0 and block.size >= LEAST_S * RATE]


def _place(group: Sequence[tuple[str, Opener]], excerpts: Sequence[tuple[int, Mono]]) -> int:
    """Return where the first sample of a group's stems is in the recording, in samples."""
    best, place = -1.0, 0
    spectra = [_emphasised_spectrum(excerpt).conj() for _, excerpt in excerpts]
    tails: list[Mono] = [np.zeros(_EXCERPT, np.float32) for _ in group]
    iterators = [_chunked(opener(), _SEARCH - _EXCERPT) for _, opener in group]
    for parts in zip(*iterators, strict=False):
        at = parts[0][0]
        totals = [np.zeros(_SEARCH) for _ in excerpts]
        for number, (_, part) in enumerate(parts):
            window = np.concatenate([tails[number], part])
            tails[number] = window[-_EXCERPT:]
            spectrum = _emphasised_spectrum(window)
            size = math.sqrt(float((np.abs(spectrum) ** 2).mean())) or 1.0
            for excerpt_number, excerpt in enumerate(spectra):
                totals[excerpt_number] += np.square(np.fft.irfft(spectrum * excerpt, _SEARCH) / size)
        for (start, excerpt_sound), total in zip(excerpts, totals, strict=True):
            norm = float(np.square(np.diff(excerpt_sound, prepend=0)).sum()) or 1.0
            peak = int(total.argmax())
            if total[peak] / norm > best:
                best = float(total[peak] / norm)
                offset = peak if peak < _SEARCH - _EXCERPT else peak - _SEARCH  # of the excerpt in the window
                place = start - (at - _EXCERPT + offset)
    return place


def _emphasised_spectrum(sound: Mono) -> _Complex:
    """Return the spectrum of the differences of samples, in which low sounds do not hide the others."""
    spectrum: _Complex = np.fft.rfft(np.diff(sound, prepend=sound[:1]).astype(np.float64), _SEARCH)
    return spectrum


def _chunked(blocks: Iterator[Mono], size: int) -> Iterator[tuple[int, Mono]]:
    """Yield the samples of blocks in chunks of `size`, the last one shorter, with their places."""
    held, count, at = [], 0, 0
    for block in blocks:
        held.append(block)
        count += block.size
        while count >= size:
            whole = np.concatenate(held)
            yield at, whole[:size]
            at += size
            held, count = [whole[size:]], count - size
    if count:
        yield at, np.concatenate(held)


# How loud they are


@dataclass(frozen=True, slots=True)
class _Sums:
    """Products of spectra summed over time, for each frequency: stems with stems, stems with the recording."""

    stems: _Complex  # [frequencies, stems, stems]
    cross: _Complex  # [frequencies, stems]
    recording: _Reals  # [frequencies]
    frames: int

    @property
    def energy(self) -> float:
        return float(self.recording.sum())


def _sums(recording: Opener, stems: Sequence[tuple[Opener, int]]) -> _Sums:
    count, frequencies = len(stems), _FREQUENCIES
    gram = np.zeros((frequencies, count, count), np.complex128)
    cross = np.zeros((frequencies, count), np.complex128)
    energy, frames = np.zeros(frequencies), 0
    shifted = [_Shifted(opener(), place) for opener, place in stems]
    window = np.hanning(_FRAME + 1)[:-1]
    tail: npt.NDArray[np.float64] = np.zeros((count + 1, _FRAME - _HOP))
    for at, block in _chunked(recording(), 256 * _HOP):
        rows = np.stack([block, *(sound.read(at, at + block.size) for sound in shifted)]).astype(np.float64)
        rows = np.concatenate([tail, np.pad(rows, ((0, 0), (0, -block.size % _HOP)))], axis=1)
        tail = rows[:, -(_FRAME - _HOP) :]
        pieces = np.lib.stride_tricks.sliding_window_view(rows, _FRAME, axis=1)[:, ::_HOP]
        spectra = np.fft.rfft(pieces * window, axis=2)[:, :, :frequencies]
        mix, parts = spectra[0], spectra[1:]
        gram += np.einsum("atf,btf->fab", parts.conj(), parts)
        cross += np.einsum("atf,tf->fa", parts.conj(), mix)
        energy += (np.abs(mix) ** 2).sum(axis=0)
        frames += mix.shape[0]
    return _Sums(gram, cross, energy, frames)


class _Shifted:
    """Reads a stem at places of the recording, forwards; outside it is silent."""

    def __init__(self, blocks: Iterator[Mono], place: int) -> None:
        self._blocks = blocks
        self._held: Mono = np.zeros(0, np.float32)
        self._at = place  # of the first held sample

    def read(self, start: int, end: int) -> Mono:
        out = np.zeros(end - start, np.float32)
        while True:
            first, last = max(start, self._at), min(end, self._at + self._held.size)
            if last > first:
                out[first - start : last - start] = self._held[first - self._at : last - self._at]
            if self._at + self._held.size >= end:
                return out
            block = next(self._blocks, None)
            if block is None:
                return out
            self._at += self._held.size
            self._held = block


def _fractions(sums: _Sums, members: Sequence[Sequence[int]]) -> _Reals:
    """Return by which part of a sample each stem is later than its place, the same for each group."""
    omega = 2 * np.pi * np.arange(len(sums.recording)) / _FRAME
    shifts = np.zeros(sums.cross.shape[1])
    turned = np.exp(1j * np.outer(_SHIFTS, omega))
    for group in members:
        together = np.abs((turned @ sums.cross[:, list(group)]).real).sum(axis=1)
        shifts[list(group)] = _SHIFTS[int(together.argmax())]
    return shifts


def _flat_gains(sums: _Sums, shifts: _Reals) -> tuple[_Reals, float]:
    """Return one gain for each stem, and the part of the energy that the stems explain with them."""
    omega = 2 * np.pi * np.arange(len(sums.recording)) / _FRAME
    turn = np.exp(-1j * np.outer(omega, shifts))  # of a stem that is later
    gram = (sums.stems * turn[:, None, :] * turn[:, :, None].conj()).real.sum(axis=0)
    cross = (sums.cross * turn.conj()).real.sum(axis=0)
    gains = _solve(gram, cross)
    return gains, float(2 * cross @ gains - gains @ gram @ gains) / sums.energy


def _equalised_share(sums: _Sums) -> float:
    """Return the part of the energy that stems explain with a gain and a phase of their own for each frequency.

    Stems of other recordings explain a little by chance: with every gain, one part in the number of frames. That is
    taken off.
    """
    count = sums.cross.shape[1]
    explained = 0.0
    for gram, cross in zip(sums.stems, sums.cross, strict=True):
        explained += float((cross.conj() @ _solve(gram, cross)).real)
    chance = min(1.0, 2.0 * count / max(sums.frames, 1))
    return (explained / sums.energy - chance) / (1 - chance) if chance < 1 else 0.0


def _solve(gram: npt.NDArray[Any], cross: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the least-squares solution; stems that are silent, or the same, get a small one."""
    ridge = 1e-7 * float(np.trace(gram).real) + 1e-20
    return np.linalg.solve(gram + ridge * np.eye(len(gram)), cross)
