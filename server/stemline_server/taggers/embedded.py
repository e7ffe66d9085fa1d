"""The tagger `embedded`: speech by the voice detector, and broad sounds by the net of the embedded engine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from stemline_server.engines.base import AudioSource
from stemline_server.engines.embedded import voice_activity
from stemline_server.engines.embedded.array_source import ArraySource
from stemline_server.engines.embedded.net_separator import NetSeparator
from stemline_server.engines.embedded.voice_activity import VoiceDetector
from stemline_server.engines.embedded.weights import load_net, net_classes, net_digest
from stemline_server.taggers.base import Progress, SoundTag, TaggerInfo
from stemline_server.taggers.calibration import EMBEDDED, calibrations_for
from stemline_server.taggers.hearing import PIECE_SAMPLES, SAMPLE_RATE, VOICE_BEST_FRAMES, VOICE_HOP_SAMPLES, pieces
from stemline_server.taggers.spotting import Scores, Track, spot

_VERSION = 1
"""Increase this whenever the same audio gives other tags with the same weights."""
_PROMPTS = ("music", "rain", "wind", "hum", "noise", "water", "crowd", "engine", "bird", "dog")
_FRAME_SAMPLES = 30_720


class EmbeddedTagger:
    """Name speech, music and a few broad sounds without any extra."""

    def __init__(self) -> None:
        """Create the tagger without loading weights."""
        self._net: NetSeparator | None = None
        self._detector: VoiceDetector | None = None

    @property
    def info(self) -> TaggerInfo:
        """Description of the tagger."""
        return TaggerInfo(
            id="embedded",
            title="Embedded: speech, music and a few broad sounds",
            revision=f"embedded-tagger-{_VERSION}+{net_digest()}+{voice_activity.digest()}",
            sample_rate=SAMPLE_RATE,
            licence="Apache-2.0; Silero VAD MIT",
            note="Nothing to install. It names speech and music, rarely another sound; the extra `suggest` names more.",
        )

    def availability(self) -> str:
        """Return "" if there are weights of the net or of the voice detector."""
        return "" if net_classes() or voice_activity.is_installed() else "No weights are installed to hear with."

    def unload(self) -> None:
        """Free the nets."""
        self._net = self._detector = None

    def tag(self, audio: AudioSource, progress: Progress) -> tuple[SoundTag, ...]:
        """Return the sounds of the audio, the likeliest first. Raises Cancelled."""
        tracks = self.tracks(audio, progress)
        prompts = [prompt for track in tracks for prompt in track.prompts]
        return spot(tracks, calibrations_for(EMBEDDED, prompts), audio.length_samples, SAMPLE_RATE)

    def tracks(self, audio: AudioSource, progress: Progress) -> list[Track]:
        """Return the scores of all sounds over time. Raises Cancelled."""
        self._net = self._net or load_net()
        self._detector = self._detector or voice_activity.load_detector()
        scores: list[Scores] = []
        voices: list[npt.NDArray[np.float32]] = []
        with threadpool_limits(1):  # more threads wait for each other in these small nets
            for piece in pieces(audio, self._detector, None, 0, progress):
                voices.append(piece.voices)
                if self._net is not None:
                    scores.append(_shares(self._net, piece.mix))
        tracks = []
        if self._detector is not None:
            speech = np.concatenate(voices)[:, None]
            tracks.append(Track(("speech",), speech, VOICE_HOP_SAMPLES, VOICE_HOP_SAMPLES, VOICE_BEST_FRAMES))
        if scores:
            tracks.append(Track(_PROMPTS, np.concatenate(scores), _FRAME_SAMPLES, _FRAME_SAMPLES))
        return tracks


def _shares(net: NetSeparator, wave: npt.NDArray[np.float32]) -> Scores:
    """Return the share of the energy that the net passes for each sound, in frames of 0.64 seconds, [frames, sounds].

    The net's own certainty is near 1 for every broad sound, and its share is not.
    """
    return net.shares(ArraySource(wave[None]), _PROMPTS, _FRAME_SAMPLES)[: PIECE_SAMPLES // _FRAME_SAMPLES]
