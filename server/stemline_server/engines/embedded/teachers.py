"""Features by other nets that a trained net may take as inputs: what they hear, it does not need to learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, SeparationError
from stemline_server.engines.embedded import deepfilter, voice_activity, yamnet
from stemline_server.engines.embedded.array_source import ArraySource
from stemline_server.engines.embedded.net_separator import HOP, framed_spectra
from stemline_server.engines.embedded.voice_activity import VoiceDetector, decimated
from stemline_server.engines.embedded.yamnet import PATCH_SAMPLES, YamNet

Features = npt.NDArray[np.float32]

_GROUPS = 24
_FIRST_GROUP_BINS, _BINS = 4, 641
_VOICE_FRAME_SAMPLES = 1_536
_TAG_HOP_FRAMES = 24
_RATE_RATIO = 3
_RMS = 0.05
"""Level at which teachers listen: training mixtures and media have other levels."""

CHANNELS = {"speech": _GROUPS, "voice": 1, "tags": 521}
"""Number of features of each teacher: DeepFilterNet3's mask in groups of bands, the voice detector, the tagger."""
_MODULES = {"speech": deepfilter, "voice": voice_activity, "tags": yamnet}


class Teachers:
    """Compute the features of some teachers for a piece of sound.

    Attributes:
        names: Names of the teachers, in the order of `CHANNELS`.
        channels: Number of features.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Choose teachers without loading their weights.

        Raises:
            SeparationError: The weights of a teacher are not installed (MODEL_UNAVAILABLE).
            ValueError: A name is unknown.
        """
        if unknown := set(names) - set(CHANNELS):
            raise ValueError(f"Unknown teachers: {', '.join(sorted(unknown))}. Choose from {', '.join(CHANNELS)}.")
        self.names: tuple[str, ...] = tuple(name for name in CHANNELS if name in names)
        self.channels = sum(CHANNELS[name] for name in self.names)
        for name in self.names:
            if reason := _unavailable(name):
                raise SeparationError(reason, code=Code.MODEL_UNAVAILABLE)

    def digests(self) -> dict[str, str]:
        """Return the digest of each teacher's weights by its name, to be stored with a net that was trained on them."""
        return {name: _MODULES[name].digest() for name in self.names}

    def features(self, wave: Features) -> Features:
        """Return the features [T, channels] of a piece of sound.

        Args:
            wave: Samples [(T + 1) * HOP] at 48 kHz. Frame f is centred at sample (f + 1) * HOP.
        """
        frames = len(wave) // HOP - 1
        level = float(np.sqrt(np.mean(np.square(wave)))) if wave.size else 0.0
        levelled = np.ascontiguousarray(wave * np.float32(_RMS / level)) if level > 0 else wave
        methods: dict[str, Callable[[Features, int], Features]] = {
            "speech": self._speech_shares,
            "voice": self._voice_probabilities,
            "tags": self._tag_scores,
        }
        found = [methods[name](levelled, frames) for name in self.names]
        return np.concatenate(found, axis=1).astype(np.float32)

    def _speech_shares(self, wave: Features, frames: int) -> Features:
        """Return the share of the amplitude that DeepFilterNet3 passes in each group of bands, [T, groups]."""
        blocks = [block.samples[0] for block in deepfilter.speech_blocks(ArraySource(wave[None]))]
        edges = np.round(np.geomspace(_FIRST_GROUP_BINS, _BINS, _GROUPS + 1)).astype(int)[:-1]
        edges[0] = 0
        powers = [
            np.add.reduceat(np.square(np.abs(framed_spectra(part)[:, :_BINS])), edges, axis=1)
            for part in (np.concatenate(blocks), wave)
        ]
        return np.clip(np.sqrt(powers[0] / (powers[1] + 1e-9)), 0, 1)[:frames]

    def _voice_probabilities(self, wave: Features, frames: int) -> Features:
        found = self._detector.probabilities(wave[None])[:, None]
        return _at_frames(found, _VOICE_FRAME_SAMPLES / 2, _VOICE_FRAME_SAMPLES, frames)

    def _tag_scores(self, wave: Features, frames: int) -> Features:
        found = self._tagger.scores(decimated(wave[None])[0], _TAG_HOP_FRAMES)
        hop = _RATE_RATIO * yamnet.FRAME_HOP_SAMPLES * _TAG_HOP_FRAMES
        return _at_frames(found, _RATE_RATIO * PATCH_SAMPLES / 2, hop, frames)

    @cached_property
    def _detector(self) -> VoiceDetector:
        detector = voice_activity.load_detector()
        if detector is None:
            raise SeparationError(_unavailable("voice"), code=Code.MODEL_UNAVAILABLE)
        return detector

    @cached_property
    def _tagger(self) -> YamNet:
        return yamnet.load_yamnet()


def stored_teachers(digests: Mapping[str, str]) -> Teachers | None:
    """Return the teachers that a net was trained on, or None if it has none.

    Args:
        digests: What `Teachers.digests` returned when the net was trained.

    Raises:
        SeparationError: A teacher is missing or has other weights now (MODEL_UNAVAILABLE).
        ValueError: A name is unknown.
    """
    if not digests:
        return None
    teachers = Teachers(tuple(digests))
    if changed := [name for name, digest in teachers.digests().items() if digest != digests[name]]:
        reason = (
            f"The net was trained on other weights of {', '.join(changed)}; train it again with the installed ones."
        )
        raise SeparationError(reason, code=Code.MODEL_UNAVAILABLE)
    return teachers


def _unavailable(name: str) -> str:
    """Return "" if a teacher can be loaded, else one sentence that says how to get it."""
    if name == "voice":
        return (
            "" if voice_activity.is_installed() else "The voice detector needs the wheel silero-vad 6.2.3; install it."
        )
    return deepfilter.availability() if name == "speech" else yamnet.availability()


def _at_frames(values: Features, first: float, step: float, frames: int) -> Features:
    """Interpolate values [N, channels], at `first` and every `step` samples, at the centres of `frames` frames."""
    places = np.clip(((np.arange(frames) + 1) * HOP - first) / step, 0, len(values) - 1)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    share = (places - low)[:, None]
    return np.asarray(values[low] * (1 - share) + values[high] * share, np.float32)
