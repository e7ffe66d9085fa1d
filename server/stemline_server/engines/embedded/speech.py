"""The speech in a sound, and none where nobody speaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource
from stemline_server.engines.embedded.deepfilter import speech_blocks
from stemline_server.engines.embedded.spooled_source import Judged, Kept, opened

_VOICED_DB = -4.0
_FEWEST_VOICED_FRAMES = 4
_CLEAR_FRAMES = 10
_SURE_FROM_DB, _SURE_AT_DB = -4.0, 6.0


class Speech(Kept):
    """The speech of another sound, one channel at 48 kHz. What DeepFilterNet3 leaves of mere noise is no speech."""

    def __init__(self, audio: AudioSource, tick: Callable[[], None], folder: Path | None = None) -> None:
        judged = (Judged(block.speech, block.snr_db) for block in speech_blocks(audio))
        super().__init__(audio, opened(judged, self._hear), tick, folder)
        self.confidence = 0.0

    def _hear(self, snr_db: npt.NDArray[np.float32]) -> bool:
        """How sure it is that there is speech: as the clearest tenth of a second within any five is."""
        clear_db = float(np.sort(snr_db)[-min(_CLEAR_FRAMES, snr_db.size)])
        sure = (clear_db - _SURE_FROM_DB) / (_SURE_AT_DB - _SURE_FROM_DB)
        self.confidence = max(self.confidence, min(1.0, max(0.0, sure)))
        return int(np.sum(snr_db > _VOICED_DB)) >= _FEWEST_VOICED_FRAMES
