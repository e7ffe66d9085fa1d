# SPDX-License-Identifier: GPL-3.0-or-later
"""What one press of the button asks for, and what comes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from stemline.api.running import plan_host
from stemline.clips import ClipRange, StemClip, StemRequest, StemTrack, TimeRange
from stemline.companion.wire import to_wire
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, WriteOptions, Written
from stemline.workflow import Progress, RunResult, RunSettings
from stemline_panel.model.formatting import join_names

MIX = "mix"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything but the host. An `audition` is heard, never put into the timeline."""

    stems: tuple[StemRequest, ...]
    clips: tuple[ClipRange, ...]
    settings: RunSettings
    audition: bool = False

    @property
    def title(self) -> str:
        """In words: "Isolate speech in interview.mp4"."""
        verb = {"stem": "Isolate", "residual": "Remove"}.get(self.settings.play, "Split")
        names = join_names([stem.name for stem in self.stems])
        where = self.clips[0].name if len(self.clips) == 1 else f"{len(self.clips)} clips"
        return f"{'Try: ' if self.audition else ''}{verb} {names} in {where}"

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, the clips included: equal for equal requests alone."""
        return hashlib.sha256(json.dumps(to_wire(self), sort_keys=True).encode()).hexdigest()

    def as_job(self) -> str:
        """The `separate` call of the host protocol that asks for the same, as JSON for people."""
        job = {"stems": self.stems, "settings": self.settings, "selection": self.settings.selection}
        return json.dumps(to_wire(job), indent=2, ensure_ascii=False)


@dataclass(slots=True)
class CapturingHost:
    """A host that gives the clips it was made with and keeps the tracks that it is handed: nothing is written."""

    capabilities: HostCapabilities
    clips: tuple[ClipRange, ...]
    tracks: tuple[StemTrack, ...] = ()
    options: WriteOptions = field(default_factory=WriteOptions)

    def read_clips(self, selection: Selection) -> ReadClips:
        return ReadClips(self.clips)

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        self.tracks, self.options = tuple(tracks), options
        return Written(())


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A finished run: the files, and the tracks as they would go into the host."""

    request: RunRequest
    result: RunResult
    tracks: tuple[StemTrack, ...]
    options: WriteOptions

    def stem_clips(self, clip_id: str) -> dict[str, StemClip]:
        """The stem files of one clip by stem name, in the order of the tracks, the residual last."""
        return {track.stem: clip for track in self.tracks for clip in track.clips if clip.clip_id == clip_id}

    @property
    def files(self) -> tuple[str, ...]:
        """Every stem file once."""
        return tuple(dict.fromkeys(clip.path for track in self.tracks for clip in track.clips))


def separate(
    request: RunRequest,
    capabilities: HostCapabilities,
    on_progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> RunOutcome:
    """Runs the workflow of the core up to the tracks, which are kept. Raises StemlineError."""
    host = CapturingHost(capabilities, request.clips)
    run = plan_host(
        host,
        request.stems,
        request.settings,
        lambda result: RunOutcome(request, result, host.tracks, host.options),
    )
    return run.follow(on_progress, cancelled).result()


def audition_range(clip: ClipRange, time: Fraction, length: Fraction) -> ClipRange:
    """The part of `clip` that lies around a time of the timeline, on the clip's own frames."""
    length = min(length, clip.record_range.duration)
    start = min(max(time - length / 2, clip.record_range.start), clip.record_range.end - length)
    offset = start - clip.record_range.start
    grid = 1 / clip.frame_rate if clip.frame_rate else Fraction(1, 1000)
    return cut(clip, offset // grid * grid, min(clip.record_range.duration, offset // grid * grid + length))


def cut(clip: ClipRange, start: Fraction, end: Fraction) -> ClipRange:
    """The part of `clip` from `start` to `end`, in seconds from the clip's beginning."""
    source, record = clip.source_range, clip.record_range
    return replace(
        clip,
        source_range=TimeRange(source.start + start, source.start + end),
        record_range=TimeRange(record.start + start, record.start + end),
    )
