"""Place finished stems on new tracks, at the record positions of their clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from stemline.clips import RESIDUAL, ClipRange, MediaFacts, SampleRange, StemClip, StemTrack
from stemline_bridge.timeline import pack_lanes

PLAY_ALL = "all"
PLAY_RESIDUAL = "residual"


@dataclass(frozen=True, slots=True)
class PlacedStem:
    """A finished file of one stem for one clip. `range` is the range of the media that it holds."""

    clip_id: str
    stem: str
    path: str
    range: SampleRange
    metadata: Mapping[str, object] = field(default_factory=dict, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """How stems are placed.

    Attributes:
        play: Which of the new tracks are enabled: "all", "stem" or "residual".
        checkerboard: Put neighbours on different tracks.
        playing: Names of the stems whose tracks are enabled, instead of `play`; for runs with a remix or a fill.
    """

    play: str = PLAY_ALL
    checkerboard: bool = False
    playing: frozenset[str] | None = None


def place_stems(
    clips: Sequence[ClipRange],
    placed: Sequence[PlacedStem],
    facts: Mapping[str, MediaFacts],
    options: TrackOptions,
) -> tuple[StemTrack, ...]:
    """Return the new tracks: one for each stem, source track and channel count.

    Tracks are in the order in which stems first appear, the residual last. Clips of one source track that overlap in
    record time, such as those of nested sequences, go to further lanes. Clips without a stem leave a gap.

    Args:
        clips: The clips.
        placed: The finished files.
        facts: The facts of each clip's media, by clip id.
        options: How the stems are placed.
    """
    groups = _grouped(clips, placed, facts)
    stem_order = {name: i for i, name in enumerate(dict.fromkeys(stem.stem for stem in placed))}
    track_order = {name: i for i, name in enumerate(dict.fromkeys(clip.track for clip in clips))}
    first_format = {(stem, track): channels for stem, track, channels in reversed(groups)}
    tracks: list[StemTrack] = []
    for stem, track, channels in sorted(groups, key=lambda group: (stem_order[group[0]], track_order[group[1]])):
        suffix = "" if first_format[stem, track] == channels else f" {channels}ch"
        lanes = pack_lanes(groups[stem, track, channels], _record, checkerboard=options.checkerboard)
        tracks += [
            StemTrack(
                name=f"{stem} {track}{suffix}{_lane_suffix(lane)}",
                stem=stem,
                source_track=track,
                lane=lane,
                channels=channels,
                enabled=_plays(stem, options.play) if options.playing is None else stem in options.playing,
                clips=tuple(members),
            )
            for lane, members in enumerate(lanes)
        ]
    return tuple(tracks)


def _grouped(
    clips: Sequence[ClipRange], placed: Sequence[PlacedStem], facts: Mapping[str, MediaFacts]
) -> dict[tuple[str, str, int], list[StemClip]]:
    """Return the stem clips of each stem, source track and channel count."""
    by_id = {clip.clip_id: clip for clip in clips}
    groups: dict[tuple[str, str, int], list[StemClip]] = defaultdict(list)
    for stem in placed:
        clip, media = by_id[stem.clip_id], facts[stem.clip_id]
        groups[stem.stem, clip.track, media.channels].append(_stem_clip(clip, stem, media))
    return groups


def _lane_suffix(lane: int) -> str:
    """Return nothing for the first lane, then " b", " c" and so on, then numbers."""
    if lane == 0:
        return ""
    return f" {chr(ord('a') + lane)}" if lane < 26 else f" {lane}"


def _plays(stem: str, play: str) -> bool:
    return play == PLAY_ALL or (play == PLAY_RESIDUAL) == (stem == RESIDUAL)


def _stem_clip(clip: ClipRange, stem: PlacedStem, media: MediaFacts) -> StemClip:
    return StemClip(
        clip_id=clip.clip_id,
        name=f"{clip.name} {stem.stem}",
        path=stem.path,
        record_range=clip.record_range,
        file_start=clip.source_range.start - Fraction(stem.range.start_sample, media.sample_rate),
        file_range=stem.range,
        sample_rate=media.sample_rate,
        metadata=stem.metadata,
    )


def _record(clip: StemClip) -> tuple[Fraction, Fraction]:
    return clip.record_range.start, clip.record_range.end
