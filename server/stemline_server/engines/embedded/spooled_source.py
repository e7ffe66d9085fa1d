"""A sound that is worked out once, from its beginning as far as anybody asks, and where in it there is anything."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from stemline.media import SAMPLE_BYTES
from stemline_server.engines.base import AudioSource, Waveform

_NEIGHBOURS = 2
"""Blocks (of a second) to either side that a voice keeps open: pauses in speech are part of it."""
_FADE_SAMPLES = 480


class Kept:
    """An audio source, one channel, as long as another: `blocks` [1, n].

    A file without a name, in `folder`, holds what is known.
    """

    channels = 1

    def __init__(
        self, audio: AudioSource, blocks: Iterator[Waveform], tick: Callable[[], None], folder: Path | None = None
    ) -> None:
        self.sample_rate = audio.sample_rate
        self.length_samples = audio.length_samples
        self.tick = tick
        self._blocks = blocks
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._known = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """[1, n]. Works out all that is not known yet up to `end_sample`."""
        while self._known < end_sample:
            self.tick()
            block = next(self._blocks)
            self._file.seek(self._known * SAMPLE_BYTES)
            self._file.write(block.tobytes())
            self._known += block.size
        self._file.seek(start_sample * SAMPLE_BYTES)
        return np.frombuffer(self._file.read((end_sample - start_sample) * SAMPLE_BYTES), np.float32)[None]


@dataclass(frozen=True, slots=True)
class Judged:
    """A block [1, n] of a second or less, and for its parts in turn how sure it is that the sound is there."""

    samples: Waveform
    evidence: npt.NDArray[np.float32]


def opened(blocks: Iterable[Judged], is_there: Callable[[npt.NDArray[np.float32]], bool]) -> Iterator[Waveform]:
    """The blocks around which the sound is there by all evidence near them, and silence instead of the others."""
    was_open: bool | None = None
    for near, block in _with_neighbours(blocks):
        is_open = is_there(np.concatenate([one.evidence for one in near]))
        yield faded(block.samples, is_open, is_open if was_open is None else was_open)
        was_open = is_open


def _with_neighbours(blocks: Iterable[Judged]) -> Iterator[tuple[list[Judged], Judged]]:
    """Each block, after a list of it and those around it."""
    behind: deque[Judged] = deque(maxlen=_NEIGHBOURS)
    ahead: deque[Judged | None] = deque()
    for block in chain(blocks, [None] * _NEIGHBOURS):
        ahead.append(block)
        if len(ahead) > _NEIGHBOURS and (current := ahead.popleft()) is not None:
            yield [*behind, current, *(other for other in ahead if other is not None)], current
            behind.append(current)


def faded(samples: Waveform, is_open: bool, was_open: bool) -> Waveform:
    """The block, faded in or out at its beginning where the block before was otherwise; silence while closed."""
    if is_open and was_open:
        return samples
    if not is_open and not was_open:
        return np.zeros_like(samples)
    ramp = np.arange(1, samples.size + 1, dtype=np.float32) / _FADE_SAMPLES
    rising = np.clip(ramp, 0, 1).astype(np.float32, copy=False)
    return samples * (rising if is_open else 1 - rising)
