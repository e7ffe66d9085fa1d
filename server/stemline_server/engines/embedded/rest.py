"""What is left of a sound when the speech is taken away: where to look for sounds that are no voice.

DeepFilterNet3 takes a barking dog or a bass for a voice, the net seldom the same one: speech is taken away only where
both agree that there is some and on what it is. Measured: music and noises behind speech gain 1 to 7 dB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.engines.embedded.net import Net, NetQuery

_SECOND = 48_000
_SEGMENT_SAMPLES = 8 * _SECOND
_CONTEXT_SAMPLES = 4 * _SECOND
_FADE_SAMPLES = _SECOND
_ENOUGH = ((0.85, 0.8), (0.93, 0.55))
"""Presence to the net and agreement with it, either pair: a bass had 0.90 and 0.66, voices from 0.94 and 0.6."""
_LEAST_SHARE = 0.1
"""Fainter speech is as often an animal: taking it away gains little where it is speech, and costs much where not."""


class Rest:
    """An audio source: another of one channel at 48 kHz, less its speech."""

    channels = 1

    def __init__(self, audio: AudioSource, speech: AudioSource, net: Net, control: Control) -> None:
        self.sample_rate = audio.sample_rate
        self.length_samples = audio.length_samples
        self._audio = audio
        self._speech = speech
        self._net = net
        self._control = control
        self._spoken: dict[int, bool] = {}

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """[1, n]"""
        mix = self._audio.read(start_sample, end_sample)
        taken = self.taken(start_sample, end_sample)
        return mix - taken * self._speech.read(start_sample, end_sample) if taken.any() else mix

    def taken(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """[n]: 1 in segments with speech, 0 in others; the second around their borders fades."""
        at = np.arange(start_sample, end_sample) / _SEGMENT_SAMPLES - 0.5
        segments = range(int(np.floor(at[0])), int(np.floor(at[-1])) + 2) if at.size else range(0)
        last = (self.length_samples - 1) // _SEGMENT_SAMPLES
        known = np.array([self._is_spoken(min(max(number, 0), last)) for number in segments], np.float32)
        if not known.any():
            return np.zeros(at.size, np.float32)
        below = np.floor(at).astype(np.int64)
        sharp = _SEGMENT_SAMPLES / _FADE_SAMPLES
        towards = np.clip((at - below - 0.5) * sharp + 0.5, 0, 1).astype(np.float32)
        index = below - segments.start
        return known[index] * (1 - towards) + known[index + 1] * towards

    def _is_spoken(self, segment: int) -> bool:
        if segment not in self._spoken:
            start = segment * _SEGMENT_SAMPLES - _CONTEXT_SAMPLES
            end = (segment + 1) * _SEGMENT_SAMPLES + _CONTEXT_SAMPLES
            self._spoken[segment] = self._agreed(max(0, start), min(end, self.length_samples))
        return self._spoken[segment]

    def _agreed(self, start_sample: int, end_sample: int) -> bool:
        mix = self._audio.read(start_sample, end_sample)
        speech = self._speech.read(start_sample, end_sample)[0].astype(np.float64)
        energy = float(speech @ speech)
        if energy <= _LEAST_SHARE * float(np.square(mix, dtype=np.float64).sum()):
            return False
        separation = self._net.separate(_Held(mix), [NetQuery("speech")], self._control)
        heard = np.concatenate([block[0] for block in separation]).astype(np.float64)
        agreement = float(heard @ speech) / max(float(heard @ heard) * energy, np.finfo(np.float64).tiny) ** 0.5
        sure = float(separation.presence[0])
        return any(sure >= presence and agreement >= alike for presence, alike in _ENOUGH)


@dataclass(frozen=True, slots=True)
class _Held:
    """Sound in memory, [1, n] at 48 kHz."""

    samples: Waveform

    @property
    def sample_rate(self) -> int:
        return _SECOND

    @property
    def channels(self) -> int:
        return 1

    @property
    def length_samples(self) -> int:
        return int(self.samples.shape[1])

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return self.samples[:, start_sample:end_sample]
