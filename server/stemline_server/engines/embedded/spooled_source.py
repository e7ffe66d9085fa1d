"""Audio sources that are computed once, from the start on demand, and stored in a temporary file."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Waveform

_HOLD_BLOCKS = 2
"""Blocks of one second before and after a block whose scores also open its gate: pauses in speech belong to it."""
_FADE_SAMPLES = 480
_SAMPLE_BYTES = np.dtype(np.float32).itemsize


class SpooledSource:
    """Provide random access to a stream of blocks as a one-channel `AudioSource`.

    Blocks are computed once, when a read first needs them, and stored in an unnamed temporary file. Use it as a context
    manager, so that the file is closed.
    """

    channels = 1

    def __init__(
        self, audio: AudioSource, blocks: Iterator[Waveform], tick: Callable[[], None], folder: Path | None = None
    ) -> None:
        """Create a source that has the length and sample rate of another one.

        Args:
            audio: The source that `blocks` is computed from.
            blocks: Consecutive blocks [1, samples], together as long as `audio`.
            tick: Called before each block is computed; may raise to stop.
            folder: Folder of the temporary file. None for the system's own.
        """
        self.sample_rate = audio.sample_rate
        self.length_samples = audio.length_samples
        self.tick = tick
        self._blocks = blocks
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._stored_samples = 0

    def __enter__(self) -> Self:
        """Return the source itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close and thereby delete the temporary file."""
        self._file.close()

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [1, samples]; compute all missing blocks up to the end."""
        while self._stored_samples < end_sample:
            self.tick()
            block = next(self._blocks)
            self._file.seek(self._stored_samples * _SAMPLE_BYTES)
            self._file.write(block.tobytes())
            self._stored_samples += block.size
        self._file.seek(start_sample * _SAMPLE_BYTES)
        return np.frombuffer(self._file.read((end_sample - start_sample) * _SAMPLE_BYTES), np.float32)[None]


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """Hold a block of at most one second with scores of how likely each part contains the sound.

    Attributes:
        samples: The block, [1, samples].
        scores: One score for each of its parts, in order of time.
    """

    samples: Waveform
    scores: npt.NDArray[np.float32]


def gate_blocks(
    blocks: Iterable[ScoredBlock], is_active: Callable[[npt.NDArray[np.float32]], bool]
) -> Iterator[Waveform]:
    """Replace blocks without the sound by silence, with short fades.

    Args:
        blocks: Consecutive blocks.
        is_active: Decides from the scores of a block and its neighbours whether to keep the block.

    Yields:
        The blocks [1, samples], or silence of the same length.
    """
    was_open: bool | None = None
    for neighbourhood, block in _with_neighbours(blocks):
        is_open = is_active(np.concatenate([one.scores for one in neighbourhood]))
        yield fade_gate(block.samples, is_open, is_open if was_open is None else was_open)
        was_open = is_open


def _with_neighbours(blocks: Iterable[ScoredBlock]) -> Iterator[tuple[list[ScoredBlock], ScoredBlock]]:
    """Yield each block with a list of itself and the blocks around it."""
    behind: deque[ScoredBlock] = deque(maxlen=_HOLD_BLOCKS)
    ahead: deque[ScoredBlock | None] = deque()
    for block in chain(blocks, [None] * _HOLD_BLOCKS):
        ahead.append(block)
        if len(ahead) > _HOLD_BLOCKS and (current := ahead.popleft()) is not None:
            yield [*behind, current, *(other for other in ahead if other is not None)], current
            behind.append(current)


def fade_gate(samples: Waveform, is_open: bool, was_open: bool) -> Waveform:
    """Return a block as a gate passes it: unchanged, faded in, faded out or silent.

    Args:
        samples: The block, [1, samples].
        is_open: Whether the gate is open for this block.
        was_open: Whether it was open for the block before.
    """
    if is_open and was_open:
        return samples
    if not is_open and not was_open:
        return np.zeros_like(samples)
    ramp = np.arange(1, samples.size + 1, dtype=np.float32) / _FADE_SAMPLES
    rising = np.clip(ramp, 0, 1).astype(np.float32, copy=False)
    return samples * (rising if is_open else 1 - rising)
