"""Choose where the room tone of a fill is learnt: in a range that the user marks, in the clip, or in a neighbour."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from stemline.clips import ClipRange, MediaFacts, MediaSource, SampleRange, merge_spans
from stemline.errors import Code, UsageError
from stemline.fill import LEAST_S, ActivityMeter
from stemline.fill.texture import read_blocks
from stemline.media import open_audio
from stemline.timebase import round_half_up
from stemline.workflow.replacing import Replace

MOST_MARKED_S = 600.0
"""Seconds of a marked range that are used at most."""


@dataclass(frozen=True, slots=True)
class ToneSource:
    """A sound to learn room tone from.

    Attributes:
        sound: The sound: a residual, or the media itself where the user marked a range.
        pieces: Where the room alone is heard in it.
        sha256: Identifies the sound in records.
        follows_place: Whether it is the residual of the clip itself, so that long room tone follows its level.
    """

    sound: MediaSource
    pieces: tuple[SampleRange, ...]
    sha256: str
    follows_place: bool = False


def marked_rooms(
    replace: Mapping[str, Replace], clips: Sequence[ClipRange], facts: Mapping[MediaSource, MediaFacts]
) -> dict[tuple[str, MediaSource], ToneSource]:
    """Return the room tone of each marked range, by stem and media.

    Args:
        replace: What takes the place of each stem.
        clips: The clips of the run.
        facts: The facts of their media.

    Raises:
        UsageError: No clip plays in a range (MEDIA_OUT_OF_RANGE), or no room is heard there (ROOM_TONE_MISSING).
        MediaError: The media cannot be read.
    """
    found: dict[tuple[str, MediaSource], ToneSource] = {}
    for stem, fill in replace.items():
        if fill.room_from is None:
            continue
        start, end = fill.room_from
        ranges = _media_ranges(fill.room_from, clips, facts)
        tones = {source: _learnt(source, held, facts[source].sample_rate) for source, held in ranges.items()}
        if not tones:
            raise UsageError(
                f"The room tone for {stem!r} is marked from {float(start):g} to {float(end):g} s, where no clip plays.",
                code=Code.MEDIA_OUT_OF_RANGE,
                advice="Mark a range of the file, or of a clip that is separated, in which the room alone is heard.",
            )
        usable = {source: tone for source, tone in tones.items() if tone is not None}
        if not usable:
            raise UsageError(
                f"There is no room tone from {float(start):g} to {float(end):g} s for {stem!r}: it needs {LEAST_S:g} s "
                "or more of a room that is not silent.",
                code=Code.ROOM_TONE_MISSING,
                advice="Where is the room heard alone? Mark two seconds of it with --room-from START..END.",
            )
        found |= {(stem, source): tone for source, tone in usable.items()}
    return found


def _media_ranges(
    marked: tuple[Fraction, Fraction], clips: Sequence[ClipRange], facts: Mapping[MediaSource, MediaFacts]
) -> dict[MediaSource, tuple[SampleRange, ...]]:
    """Return which samples of each media a range of the timeline plays.

    A media file as such is its own timeline: there, the range may lie outside the part that is separated.
    """
    start, end = marked
    played: dict[MediaSource, list[SampleRange]] = {}
    for clip in clips:
        first, last = max(start, clip.record_range.start), min(end, clip.record_range.end)
        if first < last:
            played.setdefault(clip.source, []).append(_samples(clip, first, last, facts))
    if not played:
        for clip in clips:
            if clip.record_range == clip.source_range:
                held = _samples(clip, start, end, facts)
                whole = SampleRange(0, facts[clip.source].length_samples)
                if held.start_sample < whole.end_sample:
                    played.setdefault(clip.source, []).append(held.intersect(whole))
    return {source: merge_spans(sorted(ranges)) for source, ranges in played.items()}


def _samples(clip: ClipRange, start: Fraction, end: Fraction, facts: Mapping[MediaSource, MediaFacts]) -> SampleRange:
    speed = clip.source_range.duration / clip.record_range.duration
    rate = facts[clip.source].sample_rate
    first, last = (
        round_half_up((clip.source_range.start + (time - clip.record_range.start) * speed) * rate)
        for time in (start, end)
    )
    return SampleRange(first, max(first, last))


def _learnt(source: MediaSource, ranges: Sequence[SampleRange], rate: int) -> ToneSource | None:
    """Return the undisturbed room in ranges of media; None where there is less than can be used."""
    pieces: list[SampleRange] = []
    heard = hashlib.sha256()
    left = round(MOST_MARKED_S * rate)
    with open_audio(source) as sound:
        for marked in ranges:
            span = SampleRange(marked.start_sample, min(marked.end_sample, marked.start_sample + left))
            left -= span.length
            meter = ActivityMeter(rate)
            for block in read_blocks(sound, span):
                heard.update(block.tobytes())
                meter.feed(np.zeros_like(block), block)
            pieces += [
                SampleRange(span.start_sample + piece.start_sample, span.start_sample + piece.end_sample)
                for piece in meter.quiet_pieces()
            ]
    if sum(piece.length for piece in pieces) < LEAST_S * rate:
        return None
    return ToneSource(source, tuple(pieces), heard.hexdigest())
