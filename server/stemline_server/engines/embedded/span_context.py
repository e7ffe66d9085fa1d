"""Decide from which samples to learn marked sounds and their background. Works on sample ranges, not on audio."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange, merge_spans

_SECOND = 48_000
_MAX_GAP_SAMPLES = 15 * _SECOND
_MAX_GROUP_SAMPLES = 60 * _SECOND
_MAX_TARGET_SAMPLES = 30 * _SECOND
_CONTEXT_EACH_SIDE = 10 * _SECOND
_MAX_BACKGROUND_SAMPLES = 20 * _SECOND
_FADE_SAMPLES = 480

Ranges = tuple[SampleRange, ...]


@dataclass(frozen=True, slots=True)
class SpanContext:
    """Describe a group of nearby spans that are treated as one sound.

    Attributes:
        target: Ranges from which the sound is learned.
        background: Ranges nearby from which the background is learned; they are assumed not to contain the sound.
        search: Ranges in which the sound is looked for.
    """

    target: Ranges
    background: Ranges
    search: Ranges


def span_contexts(
    plus: Iterable[SampleRange], minus: Iterable[SampleRange], length_samples: int
) -> tuple[SpanContext, ...]:
    """Group spans and choose the background of each group.

    With `plus` alone, the sound is assumed to occur in these spans only. With `minus` as well, the background is
    learned in those spans, and the sound is looked for in all unmarked audio.

    Args:
        plus: Spans that contain the sound.
        minus: Spans that do not contain it.
        length_samples: Length of the audio.

    Returns:
        Contexts in order of time; empty if `plus` is empty.
    """
    excluded = merged(minus)
    target = common(merged(plus), gaps(excluded, length_samples))
    groups = _grouped(target)
    background = excluded or gaps(target, length_samples)
    contexts = []
    for number, group in enumerate(groups):
        search: Ranges = group
        if excluded:
            first = _midpoint(groups[number - 1], group) if number else 0
            last = _midpoint(group, groups[number + 1]) if number + 1 < len(groups) else length_samples
            search = common((SampleRange(first, last),), gaps(excluded, length_samples))
        contexts.append(SpanContext(_thinned(group), _nearest(group, background, anywhere=bool(excluded)), search))
    return tuple(contexts)


def merged(spans: Iterable[SampleRange]) -> Ranges:
    """Return the union of spans, sorted, without overlaps and empty ranges."""
    return merge_spans(span for span in spans if span.length > 0)


def gaps(spans: Ranges, length_samples: int) -> Ranges:
    """Return the parts of [0, length_samples) outside of `merged` spans."""
    edges = [0, *(edge for span in spans for edge in (span.start_sample, span.end_sample)), length_samples]
    return tuple(SampleRange(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)


def common(some: Ranges, others: Ranges) -> Ranges:
    """Return the intersection of two `merged` lists of spans."""
    return merged(span.intersect(other) for span in some for other in others)


def span_envelope(spans: Ranges, start_sample: int, samples: int) -> npt.NDArray[np.float32]:
    """Return an envelope [samples]: 1 within the spans, 0 elsewhere, with short fades inside their edges.

    Args:
        spans: The spans.
        start_sample: Position of the envelope's first sample.
        samples: Length of the envelope.
    """
    envelope = np.zeros(samples, np.float32)
    at = start_sample + np.arange(samples)
    for span in spans:
        if span.start_sample < start_sample + samples and span.end_sample > start_sample:
            edge = np.minimum(at - span.start_sample + 1, span.end_sample - at) / _FADE_SAMPLES
            np.maximum(envelope, np.clip(edge, 0, 1), out=envelope)
    return envelope


def _grouped(spans: Ranges) -> tuple[Ranges, ...]:
    groups: list[list[SampleRange]] = []
    for span in spans:
        is_near = groups and span.start_sample - groups[-1][-1].end_sample < _MAX_GAP_SAMPLES
        if is_near and span.end_sample - groups[-1][0].start_sample <= _MAX_GROUP_SAMPLES:
            groups[-1].append(span)
        else:
            groups.append([span])
    return tuple(map(tuple, groups))


def _midpoint(group: Ranges, following: Ranges) -> int:
    return (group[-1].end_sample + following[0].start_sample) // 2


def _thinned(ranges: Ranges) -> Ranges:
    """Return at most `_MAX_TARGET_SAMPLES` of `ranges`, in pieces of one second spread over all of them."""
    total = sum(span.length for span in ranges)
    if total <= _MAX_TARGET_SAMPLES:
        return ranges
    pieces = [
        SampleRange(start, min(start + _SECOND, span.end_sample))
        for span in ranges
        for start in range(span.start_sample, span.end_sample, _SECOND)
    ]
    wanted = _MAX_TARGET_SAMPLES // _SECOND
    return tuple(pieces[number * len(pieces) // wanted] for number in range(wanted))


def _nearest(group: Ranges, background: Ranges, *, anywhere: bool) -> Ranges:
    """Return the background nearest to a group, up to `_MAX_BACKGROUND_SAMPLES`.

    Args:
        group: Spans of the target.
        background: All ranges without the target.
        anywhere: Whether background farther away than `_CONTEXT_EACH_SIDE` may be used.
    """
    start, end = group[0].start_sample, group[-1].end_sample
    reach = SampleRange(start - _CONTEXT_EACH_SIDE, end + _CONTEXT_EACH_SIDE)
    near = [span if anywhere else span.intersect(reach) for span in background]
    near.sort(key=lambda span: max(start - span.end_sample, span.start_sample - end, 0))
    chosen: list[SampleRange] = []
    remaining = _MAX_BACKGROUND_SAMPLES
    for span in near:
        if span.length <= 0 or remaining <= 0:
            continue
        is_before = span.end_sample <= start
        first = max(span.start_sample, span.end_sample - remaining) if is_before else span.start_sample
        chosen.append(SampleRange(first, min(span.end_sample, first + remaining)))
        remaining -= chosen[-1].length
    return merged(chosen)
