"""What sounds in marked spans and not elsewhere, by semi-supervised factorisation, in blocks.

Spectra are learned scene by scene just before they are needed; frames are then found one by one, so a long file takes
no more memory than a short one and has no seams. Where speech is known beside, it helps: a marked sound that is speech
is the mean of both estimates, and a background that is speech is taken away first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline_server._stft import istft, stft
from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.engines.embedded.bands import FRAME_SAMPLES, HOP_SAMPLES, magnitudes, to_bins
from stemline_server.engines.embedded.nmf import Matrix, Spectra, Tick, learn, target_share
from stemline_server.engines.embedded.span_context import Ranges, Scene, presence

_BLOCK_FRAMES = 48
_BLOCK_SAMPLES = _BLOCK_FRAMES * HOP_SAMPLES
_FEWEST_FRAMES = 6
_SPEECH_OF_TARGET = 0.5
_MOSTLY_SPEECH = 0.55
_HEARD_INSIDE, _HEARD_AROUND = 0.2, 0.01
_JUDGED_BLOCKS = 10


class About(Enum):
    """What is known of the marked sound beforehand."""

    NOTHING = "nothing"
    SPEECH = "speech"
    NOT_SPEECH = "not speech"


@dataclass(frozen=True, slots=True)
class Beside:
    """The speech of the same sound, and what is known of the marked one."""

    speech: AudioSource
    about: About


class NothingToCompareError(ValueError):
    """The marks leave no sound to learn the background from."""


@dataclass(frozen=True, slots=True)
class _Means:
    """How one scene is found: in `audio` by `spectra`, in the mean with `speech` if there is one."""

    audio: AudioSource
    spectra: Spectra
    speech: AudioSource | None = None


def marked_blocks(
    audio: AudioSource, scenes: Sequence[Scene], seed: int, tick: Tick, beside: Beside | None = None
) -> Iterator[Waveform]:
    """The target in a one-channel source at 48 kHz: blocks [1, n] of about a second, together as long as it.

    Raises NothingToCompareError when it comes to a scene whose background has no whole frame.
    """
    length = audio.length_samples
    learned: dict[int, _Means] = {}
    for start in range(0, length, _BLOCK_SAMPLES):
        end = min(start + _BLOCK_SAMPLES, length)
        tick()
        block = np.zeros(_BLOCK_SAMPLES, np.float32)
        heard = [number for number, scene in enumerate(scenes) if _is_heard(scene, start, end)]
        for number in heard:
            if number not in learned:
                learned[number] = _learn_scene(audio, scenes[number], (seed, number), tick, beside)
            block += _found(learned[number], start, tick) * presence(scenes[number].heard, start, _BLOCK_SAMPLES)
        learned = {number: learned[number] for number in heard}
        yield block[None, : end - start]


def _learn_scene(audio: AudioSource, scene: Scene, seed: tuple[int, int], tick: Tick, beside: Beside | None) -> _Means:
    """Measured: marked speech gains 1 to 3 dB by the mean, a sound marked before speech 2 to 8 dB by the rest."""
    plain = _Means(audio, _spectra(audio, scene, seed, tick))
    if beside is None:
        return plain
    with_speech = _Means(audio, plain.spectra, beside.speech)
    if beside.about is About.SPEECH:
        return with_speech
    around = _share_of_speech(audio, beside.speech, scene.without)
    if beside.about is About.NOTHING:
        inside = _share_of_speech(audio, beside.speech, scene.marked)
        if (inside > _HEARD_INSIDE and around < _HEARD_AROUND) or _is_speech(plain, beside.speech, scene, tick):
            return with_speech
    if around < _MOSTLY_SPEECH:
        return plain
    rest = _Less(audio, beside.speech)
    return _Means(rest, _spectra(rest, scene, seed, tick))


def _spectra(audio: AudioSource, scene: Scene, seed: tuple[int, int], tick: Tick) -> Spectra:
    background = _gathered(audio, scene.without, whole=True)
    if background.shape[0] < _FEWEST_FRAMES:
        background = _gathered(audio, scene.without, whole=False)
    if background.shape[0] < _FEWEST_FRAMES:
        raise NothingToCompareError
    return learn(background, _gathered(audio, scene.marked, whole=False), np.random.default_rng(seed), tick)


def _share_of_speech(audio: AudioSource, speech: AudioSource, ranges: Ranges) -> float:
    """How much of the energy in some ranges is speech."""
    mix_energy = speech_energy = 0.0
    for start, end in _blocks_of(ranges):
        mix_energy += float(np.square(audio.read(start, end), dtype=np.float64).sum())
        speech_energy += float(np.square(speech.read(start, end), dtype=np.float64).sum())
    return speech_energy / mix_energy if mix_energy else 0.0


def _is_speech(means: _Means, speech: AudioSource, scene: Scene, tick: Tick) -> bool:
    """Whether what was found where it is marked is for the greater part what is known as speech."""
    shared = energy = 0.0
    for start, end in _blocks_of(scene.marked)[:_JUDGED_BLOCKS]:
        found = _found(means, start, tick)[: end - start].astype(np.float64)
        shared += float(found @ speech.read(start, end)[0])
        energy += float(found @ found)
    return shared > _SPEECH_OF_TARGET * energy


def _blocks_of(ranges: Ranges) -> list[tuple[int, int]]:
    return [
        (start, min(start + _BLOCK_SAMPLES, span.end_sample))
        for span in ranges
        for start in range(span.start_sample, span.end_sample, _BLOCK_SAMPLES)
    ]


@dataclass(frozen=True, slots=True)
class _Less:
    """One source less another of the same shape."""

    audio: AudioSource
    other: AudioSource

    @property
    def sample_rate(self) -> int:
        return self.audio.sample_rate

    @property
    def channels(self) -> int:
        return self.audio.channels

    @property
    def length_samples(self) -> int:
        return self.audio.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return self.audio.read(start_sample, end_sample) - self.other.read(start_sample, end_sample)


def _gathered(audio: AudioSource, ranges: Sequence[SampleRange], *, whole: bool) -> Matrix:
    """Magnitudes [frames, bands] of the frames that lie within `ranges`: `whole`, or by their middle half."""
    inset = 0 if whole else FRAME_SAMPLES // 4
    found = [magnitudes(np.zeros((0, FRAME_SAMPLES // 2 + 1), np.complex64))]
    for span in ranges:
        first = -(-(span.start_sample - inset) // HOP_SAMPLES) * HOP_SAMPLES
        last = span.end_sample + inset
        for start in range(first, last - FRAME_SAMPLES + 1, _BLOCK_SAMPLES):
            end = min(start + _BLOCK_SAMPLES - HOP_SAMPLES + FRAME_SAMPLES, last)
            found.append(magnitudes(stft(_padded(audio, start, end), FRAME_SAMPLES)))
    return np.concatenate(found)


def _found(means: _Means, start_sample: int, tick: Tick) -> npt.NDArray[np.float32]:
    """The target in one block, as if it were heard all through."""
    end_sample = start_sample + _BLOCK_SAMPLES
    spectrum = stft(_padded(means.audio, start_sample - FRAME_SAMPLES, end_sample + FRAME_SAMPLES), FRAME_SAMPLES)
    share = to_bins(target_share(magnitudes(spectrum), means.spectra, tick))
    found = istft(spectrum * share, FRAME_SAMPLES)[FRAME_SAMPLES : FRAME_SAMPLES + _BLOCK_SAMPLES]
    if means.speech is None:
        return found
    return (found + _padded(means.speech, start_sample, end_sample)) / np.float32(2)


def _is_heard(scene: Scene, start_sample: int, end_sample: int) -> bool:
    return any(span.start_sample < end_sample and span.end_sample > start_sample for span in scene.heard)


def _padded(audio: AudioSource, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
    """[n], silent past either end of the sound."""
    length = audio.length_samples
    inside = audio.read(min(max(start_sample, 0), length), min(max(end_sample, 0), length))[0]
    return np.pad(inside, (max(0, -start_sample), max(0, end_sample - length)))
