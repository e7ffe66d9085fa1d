"""Join the results of the cells of a stem: its samples, and what the engine found."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stemline.client import Job, JobWarning, Stem
from stemline.clips import SampleRange
from stemline.plan import Cell, Part

_OPEN_AT_ONCE = 2


class PartReader(Protocol):
    """The sound of one part, which can be read by range."""

    def read(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return samples [start_sample, end_sample) of the part as float32 [channels, samples]."""
        ...

    def close(self) -> None:
        """Give up the sound."""
        ...


class JoinedTarget:
    """Reads a stem in samples of its media. Outside its cells it is silent.

    Neighbouring cells cross-fade linearly, because they estimate the same sound. The weights depend on the position in
    the media alone, so that any range read gives the same samples.
    """

    def __init__(
        self,
        open_part: Callable[[str], PartReader],
        parts: Sequence[tuple[Cell, str | None]],
        channels: int,
        fade_samples: int,
    ) -> None:
        """Read from the parts of a stem.

        Args:
            open_part: Opens the sound of a part by its name.
            parts: The cells in order of time, each with the name of its stem's sound; None where it is silent.
            channels: Channels of the stem.
            fade_samples: Length of the cross-fades.
        """
        self._open_part = open_part
        self._parts = parts
        self._ends = [cell.core.end_sample for cell, _ in parts]
        self._channels = channels
        self._reach = fade_samples // 2
        self._open: dict[str, PartReader] = {}

    def read(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return samples [start_sample, end_sample) as float32 [channels, samples]."""
        wanted = SampleRange(start_sample, end_sample)
        touched = list(self._touched(wanted))
        if len(touched) == 1 and self._reaches(touched[0]).contains(wanted):
            return self._sound(touched[0], wanted)
        block = np.zeros((self._channels, wanted.length), np.float32)
        for number in touched:
            inside = self._reaches(number).intersect(wanted)
            at = slice(inside.start_sample - start_sample, inside.end_sample - start_sample)
            self._blend(block[:, at], self._sound(number, inside), inside, number)
        return block

    def close(self) -> None:
        """Close what is open."""
        for reader in self._open.values():
            reader.close()
        self._open.clear()

    def _reaches(self, number: int) -> SampleRange:
        """Return the range to which a part contributes."""
        core = self._parts[number][0].core
        return SampleRange(
            core.start_sample - (self._reach if number else 0),
            core.end_sample + (self._reach if number + 1 < len(self._parts) else 0),
        )

    def _touched(self, wanted: SampleRange) -> Iterator[int]:
        """Yield the parts that contribute to a range."""
        number = max(0, bisect_right(self._ends, wanted.start_sample - self._reach) - 1)
        while number < len(self._parts):
            reached = self._reaches(number)
            if reached.start_sample >= wanted.end_sample:
                return
            if reached.intersect(wanted).length:
                yield number
            number += 1

    def _blend(
        self, held: npt.NDArray[np.float32], sound: npt.NDArray[np.float32], where: SampleRange, number: int
    ) -> None:
        """Write a part into a block that holds the parts before it, faded in over them."""
        if number == 0 or not self._reach:
            held[...] = sound
            return
        begin = self._parts[number][0].core.start_sample - self._reach
        places = np.arange(where.start_sample - begin, where.end_sample - begin, dtype=np.float32)
        weights = np.minimum((places + np.float32(0.5)) / np.float32(2 * self._reach), np.float32(1))
        held += (sound - held) * weights

    def _sound(self, number: int, wanted: SampleRange) -> npt.NDArray[np.float32]:
        """Return what a part holds of a range, which may reach past the ends of the media."""
        cell, name = self._parts[number]
        inside = wanted.intersect(cell.range)
        base = cell.range.start_sample
        if name is None or not inside.length:
            return np.zeros((self._channels, wanted.length), np.float32)
        held = self._reader(name).read(inside.start_sample - base, inside.end_sample - base)
        if inside == wanted:
            return held
        block = np.zeros((self._channels, wanted.length), np.float32)
        at = inside.start_sample - wanted.start_sample
        block[:, at : at + inside.length] = held
        return block

    def _reader(self, name: str) -> PartReader:
        if name not in self._open:
            while len(self._open) >= _OPEN_AT_ONCE:
                self._open.pop(next(iter(self._open))).close()
            self._open[name] = self._open_part(name)
        return self._open[name]


def joined_finding(parts: Sequence[Part], jobs: Sequence[Job | None]) -> Stem | None:
    """Return what the engine found in all parts of a stem; None where no engine was needed.

    The sound is found where one part has it, and as certainly as there. A warning holds where it holds for at least
    half of the sound that has the stem.
    """
    ended = [(part.cell.core.length, job.stem) for part, job in zip(parts, jobs, strict=True) if job and job.stem]
    if len(ended) < 2:
        return ended[0][1] if ended else None
    found = [(length, stem) for length, stem in ended if stem.found] or ended
    best = max((stem for _, stem in found), key=lambda stem: stem.confidence)
    shares: dict[JobWarning, int] = {}
    for length, stem in found:
        for warning in stem.warnings:
            shares[warning] = shares.get(warning, 0) + length
    total = sum(length for length, _ in found)
    warnings = tuple(warning for warning, length in shares.items() if 2 * length >= total)
    return Stem(best.media, best.found, best.confidence, best.matched, warnings, best.notes)
