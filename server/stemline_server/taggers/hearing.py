"""Read audio in pieces with the voice detector, and the rest after speech, for taggers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.engines.embedded.array_source import ArraySource
from stemline_server.engines.embedded.net_separator import NetQuery, NetSeparator
from stemline_server.engines.embedded.voice_activity import VoiceDetector
from stemline_server.taggers.base import Progress

SAMPLE_RATE = 48_000
PIECE_SAMPLES = 614_400
"""12.8 seconds: a multiple of the hops of all parts."""
VOICE_HOP_SAMPLES = 1_536
VOICE_BEST_FRAMES = 12
"""About 0.4 s: a voice is heard for that long."""
_MIN_VOICE_SHARE = 0.1
"""Share of the frames of a piece with a voice, from which its speech is removed to hear what is behind it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the audio.

    Attributes:
        start_sample: Position of its first sample.
        mix: The sound of the piece and of the overlap behind it, [samples].
        voices: Probability of a voice in each 32 ms of the piece without the overlap, [frames].
        rest: The sound without speech, [samples]; None without speech.
    """

    start_sample: int
    mix: npt.NDArray[np.float32]
    voices: npt.NDArray[np.float32]
    rest: npt.NDArray[np.float32] | None


class _NoControl:
    """Ignore what the net reports: the tagger reports progress by piece."""

    def step(self, done: int, total: int) -> None:
        """Ignore progress."""

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Ignore a warning."""

    def find(self, prompt: int, finding: object) -> None:
        """Ignore a finding."""


def pieces(
    audio: AudioSource,
    detector: VoiceDetector | None,
    net: NetSeparator | None,
    overlap_samples: int,
    progress: Progress,
) -> Iterator[Piece]:
    """Yield the audio in pieces of 12.8 seconds.

    Args:
        audio: The mix, one channel at 48 kHz.
        detector: The voice detector; None to hear no voices.
        net: Net that removes the speech; None to not listen behind speech.
        overlap_samples: Samples behind each piece that its last windows reach into.
        progress: Called for every piece.
    """
    length = audio.length_samples
    for start in range(0, length, PIECE_SAMPLES):
        progress(start, length)
        wave = audio.read(start, min(start + PIECE_SAMPLES + overlap_samples, length))
        voices = np.zeros(0, np.float32)
        rest = None
        if detector is not None:
            voices = detector.probabilities(wave[:, :PIECE_SAMPLES])
            if net is not None and voices.size and float((voices > 0.5).mean()) >= _MIN_VOICE_SHARE:
                rest = (wave - _speech(net, wave))[0]
        yield Piece(start, wave[0], voices, rest)
    progress(length, length)


def _speech(net: NetSeparator, wave: Waveform) -> Waveform:
    """Return the net's estimate of the speech in [1, samples]."""
    return np.concatenate(list(net.separate(ArraySource(wave), [NetQuery("speech")], _NoControl())), axis=1)
