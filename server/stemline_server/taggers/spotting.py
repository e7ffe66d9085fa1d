"""Turn scores of sounds over time into tags: rank the sounds of each section, and find where each one is heard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline_server.taggers.base import SoundTag, TaggedSpan

SECTION_S = 10.0
"""Sounds compete for the places in a section, so that a long media has as many tags as its parts need."""
MAX_SOUNDS = 3
MIN_LIKELIHOOD = 0.4
_NARROW_SHARE = 0.5
"""A broad sound gives way to a narrower one of its family that has this share of its score."""
_ON_ABOVE, _ON_SHARE = 0.25, 0.35
_MAX_GAP_S = 0.4

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound that taggers know.

    Attributes:
        prompt: Words to ask for it.
        family: Near relatives have the same family.
        classes: Names of its classes in AudioSet.
    """

    prompt: str
    family: str
    classes: tuple[str, ...]


CALIBRATION_SCORES = (0.01, 0.03, 0.07, 0.15, 0.27, 0.42, 0.57, 0.72, 0.85, 0.95)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Map a score to the probability that the sound or a near relative occurs, by linear interpolation.

    Attributes:
        likelihoods: The probability at each of `CALIBRATION_SCORES`.
    """

    likelihoods: tuple[float, ...]

    def likelihood(self, score: float) -> float:
        """Return the probability, 0..1."""
        return float(np.interp(score, CALIBRATION_SCORES, self.likelihoods))


@dataclass(frozen=True, slots=True)
class Track:
    """Scores over time.

    Attributes:
        prompts: The sounds.
        scores: 0..1, [frames, sounds].
        hop_samples: Samples between the starts of frames.
        frame_samples: Length of a frame; frames overlap if it is longer than the hop.
        best_frames: Number of frames whose mean is the evidence for a sound in a section.
    """

    prompts: tuple[str, ...]
    scores: Scores
    hop_samples: int
    frame_samples: int
    best_frames: int = 2


@cache
def known_sounds() -> dict[str, Sound]:
    """Return the sounds of `audioset_sounds.tsv` by prompt."""
    table = {}
    for line in files(__package__).joinpath("audioset_sounds.tsv").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            prompt, family, classes = line.split("\t")
            table[prompt] = Sound(prompt, family, tuple(classes.split("; ")))
    return table


def is_true(prompt: str, present: Iterable[str]) -> bool:
    """Return whether a prompt names one of the present sounds, a near relative, or all animals if one is present."""
    sounds = known_sounds()
    families = {sounds[other].family for other in present if other in sounds}
    is_animal = prompt == "animal" and not families.isdisjoint(_ANIMALS)
    return is_animal or any(are_relatives(prompt, other) for other in present)


def are_relatives(one: str, other: str) -> bool:
    """Return whether two prompts name the same sound or near relatives."""
    sounds = known_sounds()
    return one == other or (one in sounds and other in sounds and sounds[one].family == sounds[other].family)


def spot(
    tracks: Sequence[Track],
    calibrations: Mapping[str, Calibration],
    length_samples: int,
    sample_rate: int,
    *,
    strong_score: float = 1.0,
) -> tuple[SoundTag, ...]:
    """Return the sounds of the tracks, the likeliest first.

    Args:
        tracks: Scores over the same audio; each sound is in one track.
        calibrations: Maps scores to likelihoods, by prompt.
        length_samples: Length of the audio.
        sample_rate: Sample rate of the audio in Hz.
        strong_score: Score above which one more sound of a section is shown although its likelihood is low.
    """
    section_samples = round(SECTION_S * sample_rate)
    spans: dict[str, list[TaggedSpan]] = {}
    for start in range(0, max(length_samples - section_samples // 2, 1), section_samples):
        is_last = start + 1.5 * section_samples > length_samples
        section = SampleRange(start, length_samples if is_last else start + section_samples)
        for prompt, likelihood in _ranked(evidence_of(tracks, section), calibrations, strong_score):
            spans.setdefault(prompt, []).extend(_spans(tracks, prompt, section, likelihood, sample_rate))
    tags = [SoundTag(prompt, _joined(found, sample_rate)) for prompt, found in spans.items() if found]
    return tuple(sorted(tags, key=lambda tag: -tag.likelihood))


def evidence_of(tracks: Sequence[Track], section: SampleRange) -> dict[str, float]:
    """Return the score of each sound in its best frames of a section, 0..1."""
    evidence: dict[str, float] = {}
    for track in tracks:
        first, last = _frames_of(track, section)
        best = np.sort(track.scores[first:last], axis=0)[-track.best_frames :]
        if best.size:
            evidence |= dict(zip(track.prompts, map(float, best.mean(0)), strict=True))
    return evidence


def _ranked(
    evidence: Mapping[str, float], calibrations: Mapping[str, Calibration], strong_score: float
) -> list[tuple[str, float]]:
    """Return the likeliest sounds of a section with their likelihoods."""
    likely = {prompt: calibrations[prompt].likelihood(score) for prompt, score in evidence.items()}
    candidates = sorted((p for p in likely if not _gives_way(p, evidence)), key=lambda prompt: -likely[prompt])
    shown = [prompt for prompt in candidates if likely[prompt] >= MIN_LIKELIHOOD][:MAX_SOUNDS]
    strong = [
        prompt
        for prompt in candidates
        if evidence[prompt] >= strong_score and not any(are_relatives(prompt, other) for other in shown)
    ]
    if len(shown) < MAX_SOUNDS and strong:
        shown.append(max(strong, key=evidence.__getitem__))
    return [(prompt, likely[prompt]) for prompt in shown]


def _gives_way(prompt: str, evidence: Mapping[str, float]) -> bool:
    """Return whether a broad sound has a narrower one beside it."""
    sounds = known_sounds()
    if prompt not in sounds or sounds[prompt].family != prompt:
        return False
    narrower = [score for other, score in evidence.items() if other != prompt and _is_narrower(other, prompt)]
    return max(narrower, default=0.0) >= _NARROW_SHARE * evidence[prompt]


def _is_narrower(prompt: str, broad: str) -> bool:
    sound = known_sounds().get(prompt)
    return sound is not None and (sound.family == broad or (broad == "animal" and sound.family in _ANIMALS))


_ANIMALS = frozenset(("dog", "cat", "bird", "farm animal", "insect", "rodent", "whale"))


def _frames_of(track: Track, section: SampleRange) -> tuple[int, int]:
    """Return the numbers of the frames whose middle lies in a section: first and end."""
    middle = track.frame_samples // 2
    first = max(0, -(-(section.start_sample - middle) // track.hop_samples)) if section.start_sample else 0
    end = max(first + 1, -(-(section.end_sample - middle) // track.hop_samples))
    return first, min(end, len(track.scores))


def _spans(
    tracks: Sequence[Track], prompt: str, section: SampleRange, likelihood: float, sample_rate: int
) -> list[TaggedSpan]:
    """Return where in a section a sound is heard.

    The score of a moment is the mean of the frames over it. The sound is heard where that exceeds a share of its peak.
    """
    track = next(track for track in tracks if prompt in track.prompts)
    first, last = _frames_of(track, section)
    overlap = max(1, round(track.frame_samples / track.hop_samples))
    before = max(0, first - overlap + 1)
    scores = track.scores[before : min(last + overlap, len(track.scores)), track.prompts.index(prompt)]
    cover = np.convolve(np.ones(len(scores)), np.ones(overlap))
    moments = np.convolve(scores, np.ones(overlap)) / cover
    peak = float(moments.max(initial=0.0))
    on = np.flatnonzero(moments > max(min(_ON_ABOVE, peak / 2), _ON_SHARE * peak))
    ranges = [SampleRange(int(before + n) * track.hop_samples, int(before + n + 1) * track.hop_samples) for n in on]
    inside = [piece for piece in (found.intersect(section) for found in ranges) if piece.length > 0]
    return list(_joined([TaggedSpan(piece, likelihood) for piece in inside], sample_rate))


def _joined(spans: Sequence[TaggedSpan], sample_rate: int) -> tuple[TaggedSpan, ...]:
    """Return spans in order of time, with short gaps closed."""
    joined: list[TaggedSpan] = []
    for span in sorted(spans, key=lambda span: span.range):
        gap = span.range.start_sample - joined[-1].range.end_sample if joined else math.inf
        if gap < _MAX_GAP_S * sample_rate:
            last = joined.pop()
            end = max(last.range.end_sample, span.range.end_sample)
            span = TaggedSpan(  # noqa: PLW2901 - the joined span takes its place
                SampleRange(last.range.start_sample, end), max(last.likelihood, span.likelihood)
            )
        joined.append(span)
    return tuple(joined)
