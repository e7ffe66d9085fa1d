"""Where marks are, and from where to learn what they mark: ranges of samples only, no sound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange

_SECOND = 48_000
_JOINED_WITHIN = 15 * _SECOND
_LONGEST_SCENE = 60 * _SECOND
_LEARNED_MARKS = 30 * _SECOND
_CONTEXT_EACH_SIDE = 10 * _SECOND
_LEARNED_FROM = 20 * _SECOND
_FADE_SAMPLES = 480

Ranges = tuple[SampleRange, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """Marks near each other that are taken for one sound.

    It is learned from `marked` against `without`, sound nearby that is taken to lack it, and looked for in `heard`.
    """

    marked: Ranges
    without: Ranges
    heard: Ranges


def scenes_of(plus: Iterable[SampleRange], minus: Iterable[SampleRange], length_samples: int) -> tuple[Scene, ...]:
    """Scenes in order of time.

    With `plus` alone the sound is nowhere else. With `minus` too, that is where the background is learned, and the
    sound is looked for wherever nothing is marked.
    """
    excluded = merged(minus)
    marked = common(merged(plus), gaps(excluded, length_samples))
    groups = _grouped(marked)
    without = excluded or gaps(marked, length_samples)
    scenes = []
    for number, group in enumerate(groups):
        heard: Ranges = group
        if excluded:
            first = _between(groups[number - 1], group) if number else 0
            last = _between(group, groups[number + 1]) if number + 1 < len(groups) else length_samples
            heard = common((SampleRange(first, last),), gaps(excluded, length_samples))
        scenes.append(Scene(_thinned(group), _nearest(group, without, anywhere=bool(excluded)), heard))
    return tuple(scenes)


def merged(spans: Iterable[SampleRange]) -> Ranges:
    """Sorted, without overlaps and without empty ranges."""
    ranges: list[SampleRange] = []
    for span in sorted(spans):
        if span.length <= 0:
            continue
        if ranges and span.start_sample <= ranges[-1].end_sample:
            ranges[-1] = SampleRange(ranges[-1].start_sample, max(ranges[-1].end_sample, span.end_sample))
        else:
            ranges.append(span)
    return tuple(ranges)


def gaps(spans: Ranges, length_samples: int) -> Ranges:
    """What merged `spans` leave of [0, length)."""
    edges = [0, *(edge for span in spans for edge in (span.start_sample, span.end_sample)), length_samples]
    return tuple(SampleRange(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)


def common(some: Ranges, others: Ranges) -> Ranges:
    """What merged ranges share."""
    return merged(span.intersect(other) for span in some for other in others)


def presence(spans: Ranges, start_sample: int, samples: int) -> npt.NDArray[np.float32]:
    """[n]: 1 within the spans, with short fades inside their edges; 0 elsewhere."""
    inside = np.zeros(samples, np.float32)
    at = start_sample + np.arange(samples)
    for span in spans:
        if span.start_sample < start_sample + samples and span.end_sample > start_sample:
            edge = np.minimum(at - span.start_sample + 1, span.end_sample - at) / _FADE_SAMPLES
            np.maximum(inside, np.clip(edge, 0, 1), out=inside)
    return inside


def _grouped(marked: Ranges) -> tuple[Ranges, ...]:
    groups: list[list[SampleRange]] = []
    for span in marked:
        near = groups and span.start_sample - groups[-1][-1].end_sample < _JOINED_WITHIN
        if near and span.end_sample - groups[-1][0].start_sample <= _LONGEST_SCENE:
            groups[-1].append(span)
        else:
            groups.append([span])
    return tuple(map(tuple, groups))


def _between(group: Ranges, following: Ranges) -> int:
    return (group[-1].end_sample + following[0].start_sample) // 2


def _thinned(ranges: Ranges) -> Ranges:
    """At most `_LEARNED_MARKS` of `ranges`, in pieces of a second spread over all of them."""
    total = sum(span.length for span in ranges)
    if total <= _LEARNED_MARKS:
        return ranges
    pieces = [
        SampleRange(start, min(start + _SECOND, span.end_sample))
        for span in ranges
        for start in range(span.start_sample, span.end_sample, _SECOND)
    ]
    wanted = _LEARNED_MARKS // _SECOND
    return tuple(pieces[number * len(pieces) // wanted] for number in range(wanted))


def _nearest(group: Ranges, elsewhere: Ranges, *, anywhere: bool) -> Ranges:
    """Of `elsewhere` the nearest up to the time that is learned from; `anywhere` lifts the limit of how far it is."""
    start, end = group[0].start_sample, group[-1].end_sample
    reach = SampleRange(start - _CONTEXT_EACH_SIDE, end + _CONTEXT_EACH_SIDE)
    near = [span if anywhere else span.intersect(reach) for span in elsewhere]
    near.sort(key=lambda span: max(start - span.end_sample, span.start_sample - end, 0))
    chosen: list[SampleRange] = []
    left = _LEARNED_FROM
    for span in near:
        if span.length <= 0 or left <= 0:
            continue
        before = span.end_sample <= start
        first = max(span.start_sample, span.end_sample - left) if before else span.start_sample
        chosen.append(SampleRange(first, min(span.end_sample, first + left)))
        left -= chosen[-1].length
    return merged(chosen)
