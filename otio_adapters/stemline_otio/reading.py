"""The clips of an edit as clip ranges; everything that is left out, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import opentimelineio as otio

from stemline.clips import ClipRange, MediaSource, Skip
from stemline.errors import Code, EditError, MediaError, UsageError
from stemline.hosts.base import ReadClips, Selection
from stemline_otio.exact_time import Span, Ticks, frame_ticks, to_seconds
from stemline_otio.messages import list_names, printable_name
from stemline_otio.sources import Clock, Sound, SoundFinder
from stemline_otio.walk import Speed, Use, Walk, sounding, speed_of

STEMLINE = "stemline"


@dataclass(frozen=True, slots=True)
class SourceTrack:
    """A track that clips are read from. `name` is unique in the edit; `label` counts them (A1, A2 ...)."""

    index: int
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Placed:
    """What the placing of stems needs to know of an original clip."""

    use: Use
    source: MediaSource
    clock: Clock
    speed: Speed
    media_length: Ticks


@dataclass(slots=True)
class Reading:
    """The result of a reading: the public part, and `placed` by clip id for writing."""

    clips: list[ClipRange] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    assumed: dict[str, list[str]] = field(default_factory=dict)
    placed: dict[str, Placed] = field(default_factory=dict)

    def public(self) -> ReadClips:
        """Return the part that every host returns."""
        notes = [*self.notes, *(f"{list_names(clips)}: {what}." for what, clips in self.assumed.items())]
        return ReadClips(tuple(self.clips), tuple(self.skipped), tuple(notes))


def source_tracks(timeline: otio.schema.Timeline) -> list[SourceTrack]:
    """Return the tracks that hold the edit's sound: its audio tracks, or the video tracks where it has none.

    Tracks of stems from an earlier run are results, not sources.
    """
    children = list(timeline.tracks)
    found: list[SourceTrack] = []
    taken: set[str] = set()
    for number, index in enumerate(sounding(children), 1):
        child = children[index]
        is_audio = isinstance(child, otio.schema.Track) and child.kind == otio.schema.TrackKind.Audio
        label = f"{'A' if is_audio else 'V'}{number}"
        name = printable_name(child.name) or label
        name = name if name not in taken else f"{name} ({label})"
        taken.add(name)
        if STEMLINE not in child.metadata:
            found.append(SourceTrack(index, name, label))
    return found


def read_timeline_clips(
    timeline: otio.schema.Timeline, selection: Selection, sounds: SoundFinder, *, transitions: bool = True
) -> Reading:
    """Return the clips of the selected tracks. Without `transitions` they meet at hard cuts.

    Raises:
        UsageError: A track does not exist.
        EditError: No clip of the edit has times that can be read.
    """
    tracks = _selected(source_tracks(timeline), selection.tracks)
    names = {track.index: track.name for track in tracks}
    reading = Reading()
    children = timeline.tracks
    if tracks and not _is_audio(children[tracks[0].index]):
        reading.notes.append("The edit has no audio tracks: the sound of its video clips is used.")
    walk = Walk(timeline, sounds.length_of, transitions=transitions)
    for use in walk.uses([track.index for track in tracks]):
        _read_use(use, names[use.track], selection, sounds, reading)
    reading.notes += walk.notes
    _refuse_bad_times(reading)
    return reading


def _refuse_bad_times(reading: Reading) -> None:
    """Raise EditError where no clip of the edit has times that can be read."""
    bad = [skip for skip in reading.skipped if skip.code is Code.CLIP_TIME_AMBIGUOUS and "holds a" in skip.reason]
    if bad and len(bad) == len(reading.skipped) and not reading.clips:
        raise EditError(bad[0].reason, advice="Export it again.")


def _read_use(use: Use, track: str, selection: Selection, sounds: SoundFinder, reading: Reading) -> None:
    name = printable_name(use.clip.name) or f"clip {use.path[-1] + 1}"

    def skip(code: Code, reason: str) -> None:
        reading.skipped.append(Skip(name, track, to_seconds(use.record.start), code, reason))

    blocked = use.blocked
    if blocked is not None and not (blocked.code is Code.CLIP_DISABLED and selection.include_disabled):
        skip(blocked.code, blocked.reason)
        return
    speed = speed_of(use.clip)
    if speed is None:
        skip(Code.CLIP_RETIMED, "Its speed is reversed, frozen or changes along the clip.")
        return
    try:
        sound = sounds.sound_of(use.clip, speed)
    except MediaError as error:
        missing = error.code is Code.MEDIA_MISSING and error.advice
        skip(error.code, f"{error.message} {error.advice}" if missing else error.message)
        return
    if use.record.duration <= 0:
        skip(Code.CLIP_EMPTY, "Nothing of it shows on the timeline.")
        return
    if sound.note:
        reading.assumed.setdefault(sound.note, []).append(name)
    if use.lost:
        reading.notes.append(f"{track}: {name}: {use.lost} shows only in part and is not carried to the stems.")
    for clip, placed in _ranges(use, name, track, sound, speed):
        reading.clips.append(clip)
        reading.placed[clip.clip_id] = placed


def _ranges(use: Use, name: str, track: str, sound: Sound, speed: Speed) -> Iterator[tuple[ClipRange, Placed]]:
    """Yield a clip range for each source of the sound."""
    visible = _on_media(use, sound, speed)
    media = Span(*(sound.start + (time - use.origin) * speed for time in visible)).seconds()
    record = visible.seconds()
    for source in sound.sources:
        clip_id = ".".join(map(str, use.path))
        if len(sound.sources) > 1:
            clip_id += f"#{source.stream}"
        clip = ClipRange(
            clip_id=clip_id,
            name=name,
            track=track,
            source=source,
            source_range=media,
            record_range=record,
            frame_rate=sound.clock.frame_rate,
            carry=_carry(use, speed),
        )
        yield clip, Placed(use, source, sound.clock, speed, sound.length)


def _on_media(use: Use, sound: Sound, speed: Speed) -> Span:
    """Return the visible range, with transition overlaps limited to frames that have any media behind them."""
    if use.visible == use.record:
        return use.record
    frame = frame_ticks(sound.clock.rate)
    before = use.record.start - use.origin + Fraction(sound.start) / speed
    after = Fraction(sound.length - sound.start) / speed - (use.record.end - use.origin)
    start = use.record.start - max(0, -(-before // frame) * frame)
    end = use.record.end + max(0, -(-after // frame) * frame)
    return Span(max(use.visible.start, start), min(use.visible.end, end))


def _carry(use: Use, speed: Speed) -> dict[str, object]:
    """Return what stems get of the original beside its sound, for reports; the writing copies from the timeline."""
    carry: dict[str, object] = {}
    if speed != 1:
        carry["speed"] = str(speed)
    blends = [blend.transition.name or "transition" for blend in (use.head, use.tail) if blend is not None]
    if blends:
        carry["transitions"] = blends
    return carry


def _selected(tracks: Sequence[SourceTrack], wanted: Sequence[str]) -> list[SourceTrack]:
    if not wanted:
        return list(tracks)
    chosen = []
    for name in wanted:
        key = name.strip().casefold()
        matches = [track for track in tracks if key in (track.name.casefold(), track.label.casefold())]
        if not matches:
            known = ", ".join(track.name for track in tracks) or "none"
            raise UsageError(f"The edit has no track {printable_name(name)!r}.", advice=f"It has: {known}.")
        chosen += [track for track in matches if track not in chosen]
    return sorted(chosen, key=lambda track: track.index)


def _is_audio(child: otio.core.Composable) -> bool:
    return isinstance(child, otio.schema.Track) and child.kind == otio.schema.TrackKind.Audio
