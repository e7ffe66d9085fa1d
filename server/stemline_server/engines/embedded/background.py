"""Sources without speech: where DeepFilterNet3 and the net confirm each other.

DeepFilterNet3 takes a barking dog or a bass for a voice, and the net rarely takes the same sound for one. Speech is
therefore removed only where both agree that there is speech and on its waveform, and only if the voice detector, where
it is installed, hears a voice too. Measured: music and noises behind speech gain 1 to 7 dB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.engines.embedded.array_source import ArraySource
from stemline_server.engines.embedded.net_separator import NetQuery, NetSeparator
from stemline_server.engines.embedded.voice_activity import VoiceDetector

_SAMPLE_RATE = 48_000
_SEGMENT_SAMPLES = 8 * _SAMPLE_RATE
_CONTEXT_SAMPLES = 4 * _SAMPLE_RATE
_FADE_SAMPLES = _SAMPLE_RATE

_MIN_PRESENCE_AND_SIMILARITY = ((0.85, 0.8), (0.93, 0.55))
"""Either pair confirms speech. Measured: a bass reached 0.90 and 0.66; voices start at 0.94 and 0.6."""
_MIN_SPEECH_SHARE = 0.1
"""Fainter speech is an animal as often. Removing it gains little if it is speech and costs much if not."""
_MIN_VOICE_SHARE = 0.2
"""Share of the frames in which the detector hears a voice. Measured: 0.43 or more with speech, 0.15 or less without."""


class SegmentDecisions:
    """Answer a yes-no question about segments of a source, once for each segment.

    Segments are eight seconds long; the question is asked with four seconds of context on either side.
    """

    def __init__(self, length_samples: int, decide: Callable[[int, int], bool]) -> None:
        """Create the decisions without asking anything yet.

        Args:
            length_samples: Length of the source.
            decide: Called with the start and end of a range in samples.
        """
        self._length = length_samples
        self._decide = decide
        self._decisions: dict[int, bool] = {}

    def envelope(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return 1 in segments with the answer yes and 0 in others, [samples], with fades of a second between them."""
        at = np.arange(start_sample, end_sample) / _SEGMENT_SAMPLES - 0.5
        segments = range(int(np.floor(at[0])), int(np.floor(at[-1])) + 2) if at.size else range(0)
        last = (self._length - 1) // _SEGMENT_SAMPLES
        decisions = np.array([self._decision(min(max(number, 0), last)) for number in segments], np.float32)
        if not decisions.any():
            return np.zeros(at.size, np.float32)
        below = np.floor(at).astype(np.int64)
        slope = _SEGMENT_SAMPLES / _FADE_SAMPLES
        towards_next = np.clip((at - below - 0.5) * slope + 0.5, 0, 1).astype(np.float32)
        index = below - segments.start
        return decisions[index] * (1 - towards_next) + decisions[index + 1] * towards_next

    def _decision(self, segment: int) -> bool:
        if segment not in self._decisions:
            start = segment * _SEGMENT_SAMPLES - _CONTEXT_SAMPLES
            end = (segment + 1) * _SEGMENT_SAMPLES + _CONTEXT_SAMPLES
            self._decisions[segment] = self._decide(max(0, start), min(end, self._length))
        return self._decisions[segment]


@dataclass(frozen=True, slots=True)
class _NetAnswer:
    """Hold the net's target [samples] and its certainty that the sound occurs, 0..1."""

    target: npt.NDArray[np.float64]
    presence: float


@dataclass(frozen=True, slots=True)
class SpeechVerifier:
    """Compare a speech estimate with the answers of the net.

    Attributes:
        audio: The mix, one channel at 48 kHz.
        speech: The speech estimate of DeepFilterNet3.
        net: The net.
        control: Receives the progress of the net.
        needs_speech: Whether the speech estimate is computed in any case. Otherwise the net runs first, because it is
            ten times faster, and the estimate is not computed where the net finds no speech. The decisions are the
            same.
        detector: Voice detector that must agree; None to decide without one.
    """

    audio: AudioSource
    speech: AudioSource
    net: NetSeparator
    control: Control
    needs_speech: bool = True
    detector: VoiceDetector | None = None

    def confirmed_speech(self) -> SegmentDecisions:
        """Return where the net confirms the speech estimate."""
        return SegmentDecisions(self.audio.length_samples, self._is_speech)

    def _is_speech(self, start_sample: int, end_sample: int) -> bool:
        mix = self.audio.read(start_sample, end_sample)
        if self.detector is not None and self.detector.speech_share(mix) < _MIN_VOICE_SHARE:
            return False
        answer = None if self.needs_speech else self._ask_net("speech", mix)
        if answer is not None and answer.presence < min(presence for presence, _ in _MIN_PRESENCE_AND_SIMILARITY):
            return False
        speech = self.speech.read(start_sample, end_sample)
        if _energy(speech) <= _MIN_SPEECH_SHARE * _energy(mix):
            return False
        answer = answer or self._ask_net("speech", mix)
        similarity = cosine_similarity(answer.target, speech[0])
        return any(answer.presence >= p and similarity >= s for p, s in _MIN_PRESENCE_AND_SIMILARITY)

    def _ask_net(self, class_name: str, mix: Waveform) -> _NetAnswer:
        separation = self.net.separate(ArraySource(mix), [NetQuery(class_name)], self.control)
        target = np.concatenate([block[0] for block in separation]).astype(np.float64)
        return _NetAnswer(target, float(separation.evidence.presence[0]))


class BackgroundSource:
    """Provide a one-channel source at 48 kHz minus a voice, where that voice is confirmed."""

    channels = 1

    def __init__(self, audio: AudioSource, voice: AudioSource, confirmed: SegmentDecisions) -> None:
        """Create the source.

        Args:
            audio: The mix.
            voice: The voice to subtract.
            confirmed: Where to subtract it.
        """
        self.sample_rate = audio.sample_rate
        self.length_samples = audio.length_samples
        self._audio = audio
        self._voice = voice
        self._confirmed = confirmed

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [1, samples]."""
        mix = self._audio.read(start_sample, end_sample)
        removed = self.removed_share(start_sample, end_sample)
        return mix - removed * self._voice.read(start_sample, end_sample) if removed.any() else mix

    def removed_share(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return the share of the voice that is subtracted, 0..1, [samples]."""
        return self._confirmed.envelope(start_sample, end_sample)


def cosine_similarity(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Return the cosine similarity of two waveforms [samples]; 0 where one of them is silent."""
    norm = float(max(_energy(one) * _energy(other), np.finfo(np.float64).tiny) ** 0.5)
    return float(one @ other) / norm


def _energy(wave: npt.NDArray[np.floating]) -> float:
    return float(np.square(wave, dtype=np.float64).sum())
