"""The speech in a sound, worked out once from its beginning as far as anybody asks, and none where nobody speaks."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.engines.embedded.deepfilter import SpeechBlock, speech_blocks

_NEIGHBOURS = 2
"""Blocks (of a second) to either side that a voice keeps open: pauses in speech are part of it."""
_VOICED_DB = -4.0
_FEWEST_VOICED_FRAMES = 4
_FADE_SAMPLES = 480
_CLEAR_FRAMES = 10
_SURE_FROM_DB, _SURE_AT_DB = -4.0, 6.0
_SAMPLE_BYTES = 4


class Speech:
    """An audio source, one channel at 48 kHz: the speech of another. A file without a name holds what is worked out."""

    channels = 1

    def __init__(self, audio: AudioSource, tick: Callable[[], None]) -> None:
        self.sample_rate = audio.sample_rate
        self.length_samples = audio.length_samples
        self.confidence = 0.0
        self._blocks = self._open_blocks(speech_blocks(audio))
        self.tick = tick
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
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
            self._file.seek(self._known * _SAMPLE_BYTES)
            self._file.write(block.tobytes())
            self._known += block.size
        self._file.seek(start_sample * _SAMPLE_BYTES)
        return np.frombuffer(self._file.read((end_sample - start_sample) * _SAMPLE_BYTES), np.float32)[None]

    def _open_blocks(self, blocks: Iterable[SpeechBlock]) -> Iterator[npt.NDArray[np.float32]]:
        """The blocks near which somebody speaks, and silence instead of the others: they hold what is left of noise."""
        was_open: bool | None = None
        for near, block in _with_neighbours(blocks):
            snr_db = np.concatenate([one.snr_db for one in near])
            self._hear(snr_db)
            is_open = int(np.sum(snr_db > _VOICED_DB)) >= _FEWEST_VOICED_FRAMES
            yield _faded(block.speech[0], is_open, is_open if was_open is None else was_open)
            was_open = is_open

    def _hear(self, snr_db: npt.NDArray[np.float32]) -> None:
        """How sure it is that there is speech: as the clearest tenth of a second within any five is."""
        clear_db = float(np.sort(snr_db)[-min(_CLEAR_FRAMES, snr_db.size)])
        sure = (clear_db - _SURE_FROM_DB) / (_SURE_AT_DB - _SURE_FROM_DB)
        self.confidence = max(self.confidence, min(1.0, max(0.0, sure)))


def _with_neighbours(blocks: Iterable[SpeechBlock]) -> Iterator[tuple[list[SpeechBlock], SpeechBlock]]:
    """Each block, after a list of it and those around it."""
    behind: deque[SpeechBlock] = deque(maxlen=_NEIGHBOURS)
    ahead: deque[SpeechBlock | None] = deque()
    for block in chain(blocks, [None] * _NEIGHBOURS):
        ahead.append(block)
        if len(ahead) > _NEIGHBOURS and (current := ahead.popleft()) is not None:
            yield [*behind, current, *(other for other in ahead if other is not None)], current
            behind.append(current)


def _faded(speech: npt.NDArray[np.float32], is_open: bool, was_open: bool) -> npt.NDArray[np.float32]:
    """The block, faded in or out at its beginning where the block before was otherwise; silence while closed."""
    if is_open and was_open:
        return speech
    if not is_open and not was_open:
        return np.zeros_like(speech)
    ramp = np.arange(1, speech.size + 1, dtype=np.float32) / _FADE_SAMPLES
    rising = np.clip(ramp, 0, 1).astype(np.float32, copy=False)
    return speech * (rising if is_open else 1 - rising)
