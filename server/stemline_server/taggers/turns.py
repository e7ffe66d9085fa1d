"""Find the turns of voices: where the voice speaks that is marked in one or several places.

Windows of 1.6 seconds are compared with the marked voices. Each voice's centroid is refined with the windows that are
nearest to it, as in k-means (Lloyd, 1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from stemline.clips import SampleRange
from stemline.errors import Code, SeparationError, UsageError
from stemline_server.engines.base import AudioSource
from stemline_server.engines.embedded import voice_activity
from stemline_server.engines.embedded.voice_activity import VoiceDetector, decimated
from stemline_server.taggers import voice_encoder
from stemline_server.taggers.base import Progress
from stemline_server.taggers.hearing import PIECE_SAMPLES, SAMPLE_RATE, VOICE_HOP_SAMPLES, pieces
from stemline_server.taggers.voice_encoder import Embeddings, VoiceEncoder

_DECIMATION = SAMPLE_RATE // voice_encoder.SAMPLE_RATE
_HOP_SAMPLES = 19_200
"""0.4 seconds; a piece is a multiple of it."""
_WINDOW_SAMPLES = voice_encoder.WINDOW_SAMPLES * _DECIMATION
_MIN_VOICED_SHARE = 0.4
_MIN_SIMILARITY = 0.6
"""Cosine of a window and the centroid of its voice. Measured: 0.75 to 0.95 for one voice, 0.45 to 0.65 for others."""
_REFINEMENTS = 4
_MAX_OTHERS, _MIN_WINDOWS_OF_OTHER = 4, 3
_MAX_SIMILARITY_OF_TWO, _MAX_SIMILARITY_OF_MORE = 0.87, 0.72
"""Centroids nearer than this belong to one voice. Beside a single mark, another voice is likely; a third one is not."""
_MAX_GAP_S, _MIN_TURN_S = 0.6, 0.3
_MIN_MARKED_SHARE = 0.5
_OVERLAP_MARGIN_SAMPLES = 2 * SAMPLE_RATE
_MIN_OVERLAP, _MIN_OVERLAP_S = 0.7, 0.3
"""Probability of two voices in a window, of which the middle half counts; and the shortest overlap that is reported."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of one voice.

    Attributes:
        name: Name of the voice.
        centroid: Its embedding, to find it in other media.
        spans: Where it speaks, in samples of the audio.
    """

    name: str
    centroid: tuple[float, ...]
    spans: tuple[SampleRange, ...]


@dataclass(frozen=True, slots=True)
class FoundTurns:
    """The turns of all voices, and where two voices speak at once within them, in samples of the audio."""

    voices: tuple[Turns, ...]
    overlaps: tuple[SampleRange, ...]


@dataclass(frozen=True, slots=True)
class MarkedVoice:
    """A voice to find, by spans of the same audio in which it alone speaks, or by an embedding.

    Attributes:
        name: Name of the voice.
        spans: Spans in samples of the audio.
        centroid: Embedding; empty to use the spans.
    """

    name: str
    spans: tuple[SampleRange, ...] = ()
    centroid: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Heard:
    """Windows with a voice: their numbers, embeddings and probabilities of two voices; and that of a voice by frame."""

    numbers: npt.NDArray[np.int64]
    embeddings: Embeddings
    overlaps: npt.NDArray[np.float32]
    voices: npt.NDArray[np.float32]


class TurnFinder:
    """Find the turns of marked voices."""

    def __init__(self) -> None:
        """Create the finder without loading weights."""
        self._encoder: VoiceEncoder | None = None
        self._detector: VoiceDetector | None = None

    def availability(self) -> str:
        """Return "" if both nets are installed, else one sentence that says how to get them."""
        if not voice_activity.is_installed():
            return "Speaker turns need the package silero-vad 6.2.3; install it again."
        return voice_encoder.availability()

    def find(self, audio: AudioSource, voices: Sequence[MarkedVoice], progress: Progress) -> FoundTurns:
        """Return the turns of each voice. Where two people speak at once, the turn is that of the louder one.

        Args:
            audio: The mix, one channel at 48 kHz.
            voices: The voices, at least one.
            progress: Called for every piece of the audio.

        Raises:
            SeparationError: Weights are missing (MODEL_UNAVAILABLE).
            UsageError: A marked span has too little speech to know the voice by.
            Cancelled: Raised by `progress`.
        """
        if obstacle := self.availability():
            raise SeparationError(obstacle, code=Code.MODEL_UNAVAILABLE)
        self._encoder = self._encoder or voice_encoder.load_encoder()
        self._detector = self._detector or voice_activity.load_detector()
        with threadpool_limits(1):
            heard = self._hear(audio, self._encoder, progress)
        centroids = _with_others(np.stack([_reference(voice, heard) for voice in voices]), heard.embeddings)
        similar = _over_frames(heard.embeddings @ centroids.T, heard)
        spans = _speakers(similar, heard.voices, audio.length_samples)
        turns = tuple(
            Turns(voice.name, tuple(map(float, centroid)), spans.get(number, ()))
            for number, (voice, centroid) in enumerate(zip(voices, centroids, strict=False))
        )
        return FoundTurns(turns, _overlaps(heard, turns, audio.length_samples))

    def _hear(self, audio: AudioSource, encoder: VoiceEncoder, progress: Progress) -> _Heard:
        numbers, found, overlaps, voices = [], [], [], []
        for piece in pieces(audio, self._detector, None, _WINDOW_SAMPLES - _HOP_SAMPLES, progress):
            voices.append(piece.voices)
            wave = decimated(piece.mix[None])[0]
            starts = range(0, min(PIECE_SAMPLES, piece.mix.size), _HOP_SAMPLES)
            chosen = []
            for start in starts:
                frames = piece.voices[start // VOICE_HOP_SAMPLES : (start + _WINDOW_SAMPLES) // VOICE_HOP_SAMPLES]
                window = wave[start // _DECIMATION :][: voice_encoder.WINDOW_SAMPLES]
                if frames.size and (frames > 0.5).mean() >= _MIN_VOICED_SHARE and window.size:
                    chosen.append(np.pad(window, (0, voice_encoder.WINDOW_SAMPLES - window.size)))
                    numbers.append((piece.start_sample + start) // _HOP_SAMPLES)
            if chosen:
                windows = encoder.hear(np.stack(chosen))
                found.append(windows.embeddings)
                overlaps.append(windows.overlaps)
        embeddings = np.concatenate(found) if found else np.zeros((0, voice_encoder.EMBEDDING_WIDTH), np.float32)
        both = np.concatenate(overlaps) if overlaps else np.zeros(0, np.float32)
        return _Heard(np.array(numbers, np.int64), embeddings, both, np.concatenate(voices))


def _reference(voice: MarkedVoice, heard: _Heard) -> npt.NDArray[np.float32]:
    """Return the first centroid of a voice. Raises UsageError if its spans have too little speech."""
    if voice.centroid:
        return np.asarray(voice.centroid, np.float32)
    starts = heard.numbers * _HOP_SAMPLES
    covered = np.zeros(len(starts))
    for span in voice.spans:
        common = np.minimum(starts + _WINDOW_SAMPLES, span.end_sample) - np.maximum(starts, span.start_sample)
        covered += np.maximum(common, 0)
    inside = covered >= _MIN_MARKED_SHARE * _WINDOW_SAMPLES
    if not inside.any():
        raise UsageError(
            f"The mark of the voice {voice.name!r} has too little speech to recognise it.",
            advice="Mark two seconds or more in which that voice alone speaks.",
        )
    return _unit(heard.embeddings[inside].sum(0))


def _with_others(marked: npt.NDArray[np.float32], embeddings: Embeddings) -> npt.NDArray[np.float32]:
    """Return the refined centroids of the marked voices, then those of other voices that are heard."""
    centroids = marked
    for _ in range(_MAX_OTHERS):
        if not len(embeddings):
            return centroids
        stranger = embeddings[(embeddings @ centroids.T).max(1).argmin()]
        more = _refined(np.vstack([centroids, stranger]), embeddings, marked)
        nearest = (embeddings @ more.T).argmax(1)
        is_voice = (nearest == len(more) - 1).sum() >= _MIN_WINDOWS_OF_OTHER
        limit = _MAX_SIMILARITY_OF_TWO if len(centroids) == 1 else _MAX_SIMILARITY_OF_MORE
        if not is_voice or float((more[:-1] @ more[-1]).max()) > limit:
            break
        centroids = more
    return _refined(centroids, embeddings, marked)


def _refined(
    centroids: npt.NDArray[np.float32], embeddings: Embeddings, marked: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the centroids of the windows nearest to each. Marks weigh as much as all windows of their voice."""
    for _ in range(_REFINEMENTS):
        nearest = (embeddings @ centroids.T).argmax(1)
        means = [_unit(embeddings[nearest == n].sum(0)) if (nearest == n).any() else c for n, c in enumerate(centroids)]
        anchored = [_unit(mean + marked[n]) if n < len(marked) else mean for n, mean in enumerate(means)]
        centroids = np.stack(anchored)
    return centroids


def _unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-9), np.float32)


def _over_frames(similar: npt.NDArray[np.float32], heard: _Heard) -> npt.NDArray[np.float64]:
    """Return the mean similarity of the windows over each frame of 32 ms, [frames, voices]; 0 without a window.

    The middle of a window counts most.
    """
    frames = len(heard.voices)
    total = np.zeros((frames, similar.shape[1]))
    weight = np.zeros((frames, 1))
    shape = np.hanning(_WINDOW_SAMPLES // VOICE_HOP_SAMPLES + 2)[1:-1, None]
    for number, values in zip(heard.numbers, similar, strict=True):
        first = int(number) * _HOP_SAMPLES // VOICE_HOP_SAMPLES
        count = min(len(shape), frames - first)
        total[first : first + count] += shape[:count] * values
        weight[first : first + count] += shape[:count]
    return np.asarray(total / np.maximum(weight, 1e-9))


def _speakers(
    similar: npt.NDArray[np.float64], voices: npt.NDArray[np.float32], length_samples: int
) -> Mapping[int, tuple[SampleRange, ...]]:
    """Return the turns of each voice by number."""
    best = np.where(similar.max(1, initial=0) >= _MIN_SIMILARITY, similar.argmax(1), -1)
    return {
        number: _ranges((best == number) & (voices > 0.5), _MAX_GAP_S, _MIN_TURN_S, length_samples)
        for number in range(similar.shape[1])
    }


def _overlaps(heard: _Heard, turns: Sequence[Turns], length_samples: int) -> tuple[SampleRange, ...]:
    """Return where two voices speak at once, in turns and near them."""
    starts = np.arange(len(heard.voices)) * VOICE_HOP_SAMPLES
    on, inside = np.zeros(len(starts), bool), np.zeros(len(starts), bool)
    for first in heard.numbers[heard.overlaps > _MIN_OVERLAP] * _HOP_SAMPLES + _WINDOW_SAMPLES // 4:
        on |= (starts >= first) & (starts < first + _WINDOW_SAMPLES // 2)
    for span in (span for each in turns for span in each.spans):
        near = _OVERLAP_MARGIN_SAMPLES  # two voices together sound like neither, so the turns may end there
        inside |= (starts >= span.start_sample - near) & (starts < span.end_sample + near)
    on &= (heard.voices > 0.5) & inside
    return _ranges(on, _MAX_GAP_S, _MIN_OVERLAP_S, length_samples)


def _ranges(
    on: npt.NDArray[np.bool_], max_gap_s: float, min_length_s: float, length_samples: int
) -> tuple[SampleRange, ...]:
    joined: list[list[int]] = []
    for frame in np.flatnonzero(on).tolist():
        start, end = frame * VOICE_HOP_SAMPLES, (frame + 1) * VOICE_HOP_SAMPLES
        if joined and start - joined[-1][1] <= max_gap_s * SAMPLE_RATE:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return tuple(
        SampleRange(start, min(end, length_samples))
        for start, end in joined
        if end - start >= min_length_s * SAMPLE_RATE
    )
