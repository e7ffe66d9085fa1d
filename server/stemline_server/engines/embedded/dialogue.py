"""Speech by several nets: DeepFilterNet3, DTLN, and Spleeter's voices over music, each as far as the others support it.

Measured on 86 mixtures of packages held out from training: the result is at most 0.25 dB worse than DeepFilterNet3
alone on each, and 1.1 dB better in the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.engines.embedded.array_source import ArraySource
from stemline_server.engines.embedded.background import SegmentDecisions, cosine_similarity
from stemline_server.engines.embedded.deepfilter import SpeechSource
from stemline_server.engines.embedded.dtln import Dtln, difference_blocks
from stemline_server.engines.embedded.net_separator import NetQuery, NetSeparator
from stemline_server.engines.embedded.spooled_source import SpooledSource

_DTLN_WEIGHT = np.float32(0.2)
"""Measured: 0.25 gains 0.05 dB more in the mean, and loses 0.4 dB where a siren makes DTLN fail."""
_MAX_LEVEL_RATIO = 50
_LEVEL_SAMPLES = 960
"""DTLN is silenced where DeepFilterNet3 is silent: where it differs by more than this ratio within 20 ms."""

_MUSIC_CLASSES = ("music", "instrument")
_SHARE_FRAME_SAMPLES = 4_800
_MIN_MUSIC_SHARE = 0.7
"""Share of the energy besides speech that the net takes for music. Measured: noises of all kinds reach 0.6, music 0.75
and more; a siren and a bell reach 0.95, which the next limit keeps out."""
_MAX_BACKGROUND_SIMILARITY = 0.45
"""Cosine similarity of what Spleeter adds and of the background. Measured: 0.49 and more where it passes the
background, 0.44 and less where it helps."""
_MAX_DISTANCE_FROM_DTLN, _MAX_DISTANCE_FROM_NET = 3.0, 1.1
"""Spleeter's distance from the speech so far, in units of the distance of DeepFilterNet3 from DTLN, or from the answer
of the net without DTLN. Farther away it was worse."""

Samples = npt.NDArray[np.float64]


class RefinedSpeech(SpooledSource):
    """Provide the speech of DeepFilterNet3 with a share of DTLN's below 8 kHz.

    Attributes:
        speech: The speech of DeepFilterNet3.
    """

    def __init__(self, audio: AudioSource, speech: SpeechSource, net: Dtln, folder: Path | None = None) -> None:
        """Create the source without computing anything yet.

        Args:
            audio: The mix.
            speech: The speech of DeepFilterNet3.
            net: DTLN.
            folder: Folder of the temporary file. None for the system's own.
        """
        super().__init__(audio, _refined_blocks(audio, speech, net), speech.tick, folder)
        self.speech = speech


def _refined_blocks(audio: AudioSource, speech: SpeechSource, net: Dtln) -> Iterator[Waveform]:
    start, half = 0, _LEVEL_SAMPLES // 2
    for difference in difference_blocks(audio, speech, net):
        end = start + difference.shape[1]
        first, last = max(0, start - half), min(end + half, audio.length_samples)
        around = np.pad(speech.read(first, last)[0], (half - start + first, half - last + end))
        level = _level(around)[half:-half]
        limit = np.minimum(1, _MAX_LEVEL_RATIO * level / (_level(difference[0]) + np.float32(1e-9)))
        yield around[None, half:-half] + _DTLN_WEIGHT * limit * difference
        start = end


def _level(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the level of [samples] around each sample."""
    energy = np.convolve(np.square(wave), np.full(_LEVEL_SAMPLES, 1 / _LEVEL_SAMPLES, np.float32), "same")
    return np.asarray(np.sqrt(np.maximum(energy, 0)), np.float32)


@dataclass(frozen=True, slots=True)
class VocalsReferee:
    """Decide where Spleeter's voices improve the speech: over music, and where other nets support them.

    Attributes:
        audio: The mix, one channel at 48 kHz.
        speech: The speech of DeepFilterNet3.
        refined: The same with DTLN; None if DTLN is not installed.
        vocals: The voices by Spleeter.
        net: The net.
        control: Receives the progress of the net.
    """

    audio: AudioSource
    speech: AudioSource
    refined: AudioSource | None
    vocals: AudioSource
    net: NetSeparator
    control: Control

    def decisions(self) -> SegmentDecisions:
        """Return where to average the speech with Spleeter's voices."""
        return SegmentDecisions(self.audio.length_samples, self._is_supported)

    def _is_supported(self, start_sample: int, end_sample: int) -> bool:
        """Ask the cheap questions first, so that Spleeter only runs over music."""
        mix, speech = (source.read(start_sample, end_sample) for source in (self.audio, self.speech))
        if not speech.any() or not self._is_music(mix - speech):
            return False
        best = (self.refined or self.speech).read(start_sample, end_sample)[0].astype(np.float64)
        voices = self.vocals.read(start_sample, end_sample)[0].astype(np.float64)
        if cosine_similarity(voices - best, mix[0] - best) > _MAX_BACKGROUND_SIMILARITY:
            return False
        if self.refined is None:
            other = self._net_speech(mix)
            yardstick = _MAX_DISTANCE_FROM_NET * _distance(speech[0].astype(np.float64), other)
        else:
            other = speech[0] + (best - speech[0]) / float(_DTLN_WEIGHT)
            yardstick = _MAX_DISTANCE_FROM_DTLN * _distance(speech[0].astype(np.float64), other)
        return _distance(voices, best) < yardstick

    def _is_music(self, background: Waveform) -> bool:
        shares = self.net.shares(ArraySource(background), _MUSIC_CLASSES, _SHARE_FRAME_SAMPLES)
        return bool(shares.mean(axis=0).max() > _MIN_MUSIC_SHARE)

    def _net_speech(self, mix: Waveform) -> Samples:
        answer = self.net.separate(ArraySource(mix), [NetQuery("speech")], self.control)
        return np.concatenate([block[0] for block in answer]).astype(np.float64)


class DialogueSource:
    """Provide speech, averaged with Spleeter's voices where these improve it."""

    channels = 1

    def __init__(self, speech: AudioSource, vocals: AudioSource, with_vocals: SegmentDecisions) -> None:
        """Create the source.

        Args:
            speech: The estimate of the speech nets.
            vocals: The estimate of Spleeter.
            with_vocals: Where to average both.
        """
        self.sample_rate = speech.sample_rate
        self.length_samples = speech.length_samples
        self._speech = speech
        self._vocals = vocals
        self._with_vocals = with_vocals

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [1, samples]."""
        speech = self._speech.read(start_sample, end_sample)
        share = self._with_vocals.envelope(start_sample, end_sample) / np.float32(2)
        if not share.any():
            return speech
        return (1 - share) * speech + share * self._vocals.read(start_sample, end_sample)


def _distance(one: Samples, other: Samples) -> float:
    return 1 - cosine_similarity(one, other)
