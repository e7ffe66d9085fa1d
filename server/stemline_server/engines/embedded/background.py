"""Where to look for a sound, and for speech before music: what the means of the engine say of each other.

DeepFilterNet3 takes a barking dog or a bass for a voice, the net seldom the same one: speech is taken away only where
both agree that there is some and on what it is. Measured: music and noises behind speech gain 1 to 7 dB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.engines.embedded.net_separator import Net, NetQuery
from stemline_server.engines.embedded.segments import SECOND, Segments

_ENOUGH = ((0.85, 0.8), (0.93, 0.55))
"""Presence to the net and agreement with it, either pair: a bass had 0.90 and 0.66, voices from 0.94 and 0.6."""
_LEAST_SHARE = 0.1
"""Fainter speech is as often an animal: taking it away gains little where it is speech, and costs much where not."""
_ALIKE_AS_MUSIC = 0.87
"""Measured: music behind speech has 0.88 or more of the net's "music", rain and tools at most 0.61, hum 0.85."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks the net what it thinks of the speech in a sound, and of what is left."""

    audio: AudioSource
    speech: AudioSource
    net: Net
    control: Control

    def spoken(self) -> Segments:
        """Where somebody speaks for certain."""
        return Segments(self.audio.length_samples, self._is_spoken)

    def before_music(self) -> Segments:
        """Where somebody speaks and all the rest is music."""
        return Segments(self.audio.length_samples, self._is_before_music)

    def _is_spoken(self, start_sample: int, end_sample: int) -> bool:
        mix, speech = (audio.read(start_sample, end_sample) for audio in (self.audio, self.speech))
        if _energy(speech) <= _LEAST_SHARE * _energy(mix):
            return False
        sure, alike = self._compared("speech", mix, speech)
        return any(sure >= presence and alike >= agreement for presence, agreement in _ENOUGH)

    def _is_before_music(self, start_sample: int, end_sample: int) -> bool:
        mix, speech = (audio.read(start_sample, end_sample) for audio in (self.audio, self.speech))
        rest = mix - speech
        if not _energy(speech) or not _energy(rest):
            return False
        return self._compared("music", mix, rest)[1] >= _ALIKE_AS_MUSIC

    def _compared(self, class_name: str, mix: Waveform, found: Waveform) -> tuple[float, float]:
        """How sure the net is of a class in the mix, and how much like its answer something else is (0..1)."""
        separation = self.net.separate(_Held(mix), [NetQuery(class_name)], self.control)
        heard = np.concatenate([block[0] for block in separation]).astype(np.float64)
        alike = float(heard @ found[0]) / max(_energy(heard) * _energy(found), np.finfo(np.float64).tiny) ** 0.5
        return float(separation.heard.presence[0]), alike


class Rest:
    """An audio source: another of one channel at 48 kHz, less a `voice` where there is one for certain."""

    channels = 1

    def __init__(self, audio: AudioSource, voice: AudioSource, spoken: Segments) -> None:
        self.sample_rate = audio.sample_rate
        self.length_samples = audio.length_samples
        self._audio = audio
        self._voice = voice
        self._spoken = spoken

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """[1, n]"""
        mix = self._audio.read(start_sample, end_sample)
        taken = self.taken(start_sample, end_sample)
        return mix - taken * self._voice.read(start_sample, end_sample) if taken.any() else mix

    def taken(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """[n]: how much of the voice is taken away, 0..1."""
        return self._spoken.share(start_sample, end_sample)


class Dialogue:
    """An audio source: speech, and before music the mean of it and what Spleeter takes for voices.

    Measured: before music the mean gains 1 to 4 dB on either.
    """

    channels = 1

    def __init__(self, speech: AudioSource, vocals: AudioSource, before_music: Segments) -> None:
        self.sample_rate = speech.sample_rate
        self.length_samples = speech.length_samples
        self._speech = speech
        self._vocals = vocals
        self._before_music = before_music

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """[1, n]"""
        speech = self._speech.read(start_sample, end_sample)
        share = self._before_music.share(start_sample, end_sample) / np.float32(2)
        if not share.any():
            return speech
        return (1 - share) * speech + share * self._vocals.read(start_sample, end_sample)


@dataclass(frozen=True, slots=True)
class _Held:
    """Sound in memory, [1, n] at 48 kHz."""

    samples: Waveform

    @property
    def sample_rate(self) -> int:
        return SECOND

    @property
    def channels(self) -> int:
        return 1

    @property
    def length_samples(self) -> int:
        return int(self.samples.shape[1])

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return self.samples[:, start_sample:end_sample]


def _energy(wave: npt.NDArray[np.floating]) -> float:
    return float(np.square(wave, dtype=np.float64).sum())
