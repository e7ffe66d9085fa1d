"""Separate marked sounds with NMF, in blocks.

Spectra are learned group by group, just before they are needed, and frames are separated one by one, so memory use is
constant and there are no seams. A known speech estimate of the same audio improves the result: a marked sound that is
speech becomes a weighted mean of both estimates, and speech in the background is removed first.
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
from stemline_server.engines.embedded.nmf import (
    FRAME_SAMPLES,
    HOP_SAMPLES,
    Matrix,
    NmfModel,
    Tick,
    band_magnitudes,
    bands_to_bins,
    learn,
    target_mask,
)
from stemline_server.engines.embedded.span_context import Ranges, SpanContext, span_envelope

_BLOCK_FRAMES = 48
_BLOCK_SAMPLES = _BLOCK_FRAMES * HOP_SAMPLES
_MIN_BACKGROUND_FRAMES = 6
_MIN_SPEECH_SHARE = 0.5
_MOSTLY_SPEECH_SHARE = 0.55
_SPEECH_INSIDE_SHARE, _SPEECH_OUTSIDE_SHARE = 0.2, 0.01
_MAX_JUDGED_BLOCKS = 10
_SPEECH_WEIGHT = np.float32(2 / 3)
"""Weight of the speech estimate in marked speech. Measured: 1 dB better than even weights."""


class TargetKind(Enum):
    """Say what the prompt's text tells about a marked sound."""

    UNKNOWN = "unknown"
    SPEECH = "speech"
    NOT_SPEECH = "not speech"


@dataclass(frozen=True, slots=True)
class SpeechReference:
    """Hold the speech estimate of the same audio and the kind of the target."""

    speech: AudioSource
    target: TargetKind


class NoBackgroundError(ValueError):
    """The spans leave no audio from which to learn the background."""


@dataclass(frozen=True, slots=True)
class _Separator:
    """Separate one group: by `model` in `audio`, combined with `speech` if that is set."""

    audio: AudioSource
    model: NmfModel
    speech: AudioSource | None = None


def separate_spans(
    audio: AudioSource,
    contexts: Sequence[SpanContext],
    seed: int,
    tick: Tick,
    reference: SpeechReference | None = None,
) -> Iterator[Waveform]:
    """Separate the marked sounds of a one-channel source at 48 kHz.

    Args:
        audio: The mix.
        contexts: Groups of spans from `span_contexts`.
        seed: Seed of the initial values of the factorisation.
        tick: Called at every iteration; may raise to stop.
        reference: Speech estimate of the same audio. None to separate by NMF alone.

    Yields:
        Blocks [1, samples] of about one second, together exactly as long as `audio`.

    Raises:
        NoBackgroundError: The background of a group is shorter than a few frames.
    """
    length = audio.length_samples
    separators: dict[int, _Separator] = {}
    for start in range(0, length, _BLOCK_SAMPLES):
        end = min(start + _BLOCK_SAMPLES, length)
        tick()
        block = np.zeros(_BLOCK_SAMPLES, np.float32)
        active = [number for number, context in enumerate(contexts) if _overlaps(context.search, start, end)]
        for number in active:
            if number not in separators:
                separators[number] = _build_separator(audio, contexts[number], (seed, number), tick, reference)
            envelope = span_envelope(contexts[number].search, start, _BLOCK_SAMPLES)
            block += _separate_block(separators[number], start, tick) * envelope
        separators = {number: separators[number] for number in active}
        yield block[None, : end - start]


def _build_separator(
    audio: AudioSource, context: SpanContext, seed: tuple[int, int], tick: Tick, reference: SpeechReference | None
) -> _Separator:
    """Learn the spectra of a group and decide how to use the speech estimate.

    Measured: the speech estimate gains 2 to 4 dB on marked speech; removing speech from the background
    first gains 2 to 8 dB on other marked sounds.
    """
    plain = _Separator(audio, _learn_spectra(audio, context, seed, tick))
    if reference is None:
        return plain
    with_speech = _Separator(audio, plain.model, reference.speech)
    if reference.target is TargetKind.SPEECH:
        return with_speech
    outside = _speech_share(audio, reference.speech, context.background)
    if reference.target is TargetKind.UNKNOWN:
        inside = _speech_share(audio, reference.speech, context.target)
        is_only_inside = inside > _SPEECH_INSIDE_SHARE and outside < _SPEECH_OUTSIDE_SHARE
        if is_only_inside or _is_mostly_speech(plain, reference.speech, context, tick):
            return with_speech
    if outside < _MOSTLY_SPEECH_SHARE:
        return plain
    without_speech = _DifferenceSource(audio, reference.speech)
    return _Separator(without_speech, _learn_spectra(without_speech, context, seed, tick))


def _learn_spectra(audio: AudioSource, context: SpanContext, seed: tuple[int, int], tick: Tick) -> NmfModel:
    background = _collect_magnitudes(audio, context.background, whole=True)
    if background.shape[0] < _MIN_BACKGROUND_FRAMES:
        background = _collect_magnitudes(audio, context.background, whole=False)
    if background.shape[0] < _MIN_BACKGROUND_FRAMES:
        raise NoBackgroundError
    target = _collect_magnitudes(audio, context.target, whole=False)
    return learn(background, target, np.random.default_rng(seed), tick)


def _speech_share(audio: AudioSource, speech: AudioSource, ranges: Ranges) -> float:
    """Return the speech's share of the energy in some ranges."""
    mix_energy = speech_energy = 0.0
    for start, end in _blocks_of(ranges):
        mix_energy += float(np.square(audio.read(start, end), dtype=np.float64).sum())
        speech_energy += float(np.square(speech.read(start, end), dtype=np.float64).sum())
    return speech_energy / mix_energy if mix_energy else 0.0


def _is_mostly_speech(separator: _Separator, speech: AudioSource, context: SpanContext, tick: Tick) -> bool:
    """Return whether most of the separated target in the marked spans is the known speech."""
    shared = energy = 0.0
    for start, end in _blocks_of(context.target)[:_MAX_JUDGED_BLOCKS]:
        target = _separate_block(separator, start, tick)[: end - start].astype(np.float64)
        shared += float(target @ speech.read(start, end)[0])
        energy += float(target @ target)
    return shared > _MIN_SPEECH_SHARE * energy


def _blocks_of(ranges: Ranges) -> list[tuple[int, int]]:
    return [
        (start, min(start + _BLOCK_SAMPLES, span.end_sample))
        for span in ranges
        for start in range(span.start_sample, span.end_sample, _BLOCK_SAMPLES)
    ]


@dataclass(frozen=True, slots=True)
class _DifferenceSource:
    """Provide the difference of two sources of the same shape."""

    audio: AudioSource
    subtracted: AudioSource

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
        return self.audio.read(start_sample, end_sample) - self.subtracted.read(start_sample, end_sample)


def _collect_magnitudes(audio: AudioSource, ranges: Sequence[SampleRange], *, whole: bool) -> Matrix:
    """Return the magnitudes [frames, bands] of all frames in some ranges.

    Args:
        audio: The source.
        ranges: The ranges.
        whole: Whether a frame must lie within its range completely or only with its middle half.
    """
    inset = 0 if whole else FRAME_SAMPLES // 4
    collected = [band_magnitudes(np.zeros((0, FRAME_SAMPLES // 2 + 1), np.complex64))]
    for span in ranges:
        first = -(-(span.start_sample - inset) // HOP_SAMPLES) * HOP_SAMPLES
        last = span.end_sample + inset
        for start in range(first, last - FRAME_SAMPLES + 1, _BLOCK_SAMPLES):
            end = min(start + _BLOCK_SAMPLES - HOP_SAMPLES + FRAME_SAMPLES, last)
            collected.append(band_magnitudes(stft(_read_padded(audio, start, end), FRAME_SAMPLES)))
    return np.concatenate(collected)


def _separate_block(separator: _Separator, start_sample: int, tick: Tick) -> npt.NDArray[np.float32]:
    """Return the target [samples] of one block, not limited to the ranges to search."""
    end_sample = start_sample + _BLOCK_SAMPLES
    padded = _read_padded(separator.audio, start_sample - FRAME_SAMPLES, end_sample + FRAME_SAMPLES)
    spectrum = stft(padded, FRAME_SAMPLES)
    mask = bands_to_bins(target_mask(band_magnitudes(spectrum), separator.model, tick))
    target = istft(spectrum * mask, FRAME_SAMPLES)[FRAME_SAMPLES : FRAME_SAMPLES + _BLOCK_SAMPLES]
    if separator.speech is None:
        return target
    speech = _read_padded(separator.speech, start_sample, end_sample)
    return (1 - _SPEECH_WEIGHT) * target + _SPEECH_WEIGHT * speech


def _overlaps(ranges: Ranges, start_sample: int, end_sample: int) -> bool:
    return any(span.start_sample < end_sample and span.end_sample > start_sample for span in ranges)


def _read_padded(audio: AudioSource, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
    """Return the samples [end - start] of a range, with zeros outside of the audio."""
    length = audio.length_samples
    inside = audio.read(min(max(start_sample, 0), length), min(max(end_sample, 0), length))[0]
    return np.pad(inside, (max(0, -start_sample), max(0, end_sample - length)))
