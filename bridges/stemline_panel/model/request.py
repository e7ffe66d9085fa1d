# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as the user asks for it, and its outcome."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from stemline.api.blocks import Block
from stemline.api.running import Run, plan_host
from stemline.clips import ClipRange, StemClip, StemTrack, TimeRange
from stemline.companion.wire import to_wire
from stemline.errors import Code, UsageError
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, WriteOptions, Written
from stemline.prompts import StemRequest
from stemline.workflow import Progress, RunResult, RunSettings, Wanted
from stemline.workflow.derived_tracks import playing_names
from stemline.workflow.results import Estimate
from stemline_panel.model.formatting import join_names, translate

MIX = "mix"
_REFUSALS = (Code.PROMPT_UNKNOWN, Code.PROMPT_UNSUPPORTED)
_QUOTED_CHARACTERS = 20
"""A refusal quotes at least this much of the prompt that it is about."""
_FIRST_FIELDS = frozenset((
    "stems", "clips", "settings", "audition", "name", "prompt", "text", "plus", "minus", "start", "end", "clip_id",
    "track", "source", "path", "stream", "channels", "mono", "source_range", "record_range", "frame_rate", "carry",
    "output_dir", "selection", "tracks", "include_disabled", "plan", "handle", "context", "extent_grid_s", "server",
    "model", "seed", "quality", "sample_format", "chain", "play", "checkerboard", "disable_originals", "overwrite",
    "audition_s", "priority",
))  # fmt: skip
"""The fields of a request when the first digests were written. They are always part of it."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything that defines a run except the host.

    An `audition` is played, never applied. Its clips are parts of the clips `whole`, with whose handle in seconds it is
    planned, so that it has the samples of the full run.
    """

    stems: tuple[StemRequest, ...]
    clips: tuple[ClipRange, ...]
    settings: RunSettings
    audition: bool = False
    whole: tuple[ClipRange, ...] = ()
    whole_handle: Fraction = Fraction(0)

    @property
    def title(self) -> str:
        """The run in a few words, such as "Isolate speech in interview.mp4"."""
        text = {
            "stem": translate("RunRequest", "Isolate {stems} in {clips}"),
            "residual": translate("RunRequest", "Remove {stems} from {clips}"),
        }.get(self.settings.play, translate("RunRequest", "Split {stems} in {clips}"))
        many = translate("RunRequest", "{count} clips").format(count=len(self.clips))
        where = self.clips[0].name if len(self.clips) == 1 else many
        if self.settings.replace:
            text = translate("RunRequest", "{title}, filled").format(title=text)
        title = text.format(stems=join_names([stem.name for stem in self.stems]), clips=where)
        return translate("RunRequest", "Audition: {title}").format(title=title) if self.audition else title

    @property
    def digest(self) -> str:
        """SHA-256 of the whole request, clips included; equal only for equal requests. It names files on disk."""
        return stable_digest(self)

    def as_job(self) -> str:
        """Return the `separate` call of the host protocol for this request, as JSON."""
        job = {"stems": self.stems, "settings": self.settings, "selection": self.settings.selection}
        return json.dumps(to_wire(job), indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Listening:
    """How a run is heard while it is computed: first from `near` on, in seconds of the timeline.

    `take` gets each finished block, in a thread of its own, and returns whether it takes more.
    """

    near: Fraction
    take: Callable[[Block], bool] | None = None


@dataclass(slots=True)
class CapturingHost:
    """A host with fixed clips that stores the tracks it is given instead of writing them."""

    capabilities: HostCapabilities
    clips: tuple[ClipRange, ...]
    tracks: tuple[StemTrack, ...] = ()
    options: WriteOptions = field(default_factory=WriteOptions)

    def read_clips(self, selection: Selection) -> ReadClips:
        """Return all clips, whatever the selection."""
        return ReadClips(self.clips)

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Store the tracks and the options."""
        self.tracks, self.options = tuple(tracks), options
        return Written(())


@dataclass(frozen=True, slots=True)
class RefusedStem:
    """A stem whose prompt the model doesn't accept, and the reason in one sentence."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A finished run: the stem files, and the tracks as they would go into the host.

    `takes_on` and `takes_off` name the tracks of fills with several takes, as the user chose which plays.
    """

    request: RunRequest
    result: RunResult
    tracks: tuple[StemTrack, ...]
    options: WriteOptions
    refused: tuple[RefusedStem, ...] = ()
    takes_on: frozenset[str] = frozenset()
    takes_off: frozenset[str] = frozenset()

    @property
    def stems(self) -> tuple[StemRequest, ...]:
        """The stems that were made: all that were requested except the refused ones."""
        refused = {stem.name for stem in self.refused}
        return tuple(stem for stem in self.request.stems if stem.name not in refused)

    @property
    def settings(self) -> RunSettings:
        """The settings of the run for the stems that were made."""
        return _settings_for(self.stems, self.request.settings)

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all stem files, each once."""
        return tuple(dict.fromkeys(clip.path for track in self.tracks for clip in track.clips))

    def playing(self) -> frozenset[str]:
        """Return which tracks are enabled where there are fills or a remix."""
        names = playing_names(self.settings, [stem.name for stem in self.stems])
        return (names - self.takes_off) | self.takes_on

    def with_remix(self, amounts: Mapping[str, float]) -> RunOutcome:
        """Return the outcome with a request for a remix. `amounts` has gains in dB; without any there is no remix.

        Stems with something in their place are off unless they have an amount.
        """
        off = dict.fromkeys(self.settings.replace, -math.inf) if amounts else {}
        settings = replace(self.settings, remix={**off, **amounts})
        return replace(self, request=replace(self.request, settings=settings))

    def stem_clips(self, clip_id: str) -> dict[str, StemClip]:
        """Return the files of one clip by name, in track order: the stems, the residual, and the fills."""
        return {track.stem: clip for track in self.tracks for clip in track.clips if clip.clip_id == clip_id}


def run_separation(
    request: RunRequest,
    capabilities: HostCapabilities,
    on_progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
    listening: Listening | None = None,
) -> RunOutcome:
    """Run the workflow up to the finished tracks without writing them anywhere.

    `listening` receives the sound while it is separated.

    A stem whose prompt the model refuses is left out and listed in the outcome, as long as another stem remains.
    Raises StemlineError.
    """
    host = CapturingHost(capabilities, request.clips)
    stems, refused = request.stems, list[RefusedStem]()
    near = listening.near if listening is not None else None
    wanted = Wanted(near, request.whole, request.whole_handle if request.whole else None)
    while True:
        settings = _settings_for(stems, request.settings)
        run = plan_host(
            host,
            stems,
            settings,
            lambda result: RunOutcome(request, result, host.tracks, host.options),
            wanted=wanted,
        )
        try:
            run.follow(on_progress, cancelled)
            take = listening.take if listening is not None else None
            outcome = run.result() if take is None else _result_while_heard(run, take)
        except UsageError as error:
            stem = _refused_stem(stems, error)
            if stem is None or len(stems) == 1:
                raise
            refused.append(RefusedStem(stem.name, str(error)))
            stems = tuple(other for other in stems if other is not stem)
        else:
            return replace(outcome, refused=tuple(refused))


def estimate_run(request: RunRequest, capabilities: HostCapabilities) -> Estimate:
    """Return what a run would need. Reads all media, so that it may take long. Raises StemlineError."""
    host = CapturingHost(capabilities, request.clips)
    settings = _settings_for(request.stems, request.settings)
    with plan_host(host, request.stems, settings, lambda result: result) as run:
        return run.estimate


def _result_while_heard(run: Run[RunOutcome], take: Callable[[Block], bool]) -> RunOutcome:
    """Return the result of a run whose blocks another thread passes on until it has ended. Raises StemlineError."""
    run.start()

    def pass_on() -> None:
        with suppress(Exception):  # the run reports what stopped it, and its files have all the sound
            for block in run.blocks():
                if run.done or not take(block):
                    return

    threading.Thread(target=pass_on, name="stemline-panel-blocks", daemon=True).start()
    return run.result()


def with_remix_track(outcome: RunOutcome, capabilities: HostCapabilities) -> RunOutcome:
    """Return the outcome with the chosen takes and with the track of the remix, which is written now, if asked for.

    The stems are found again, so that nothing is computed. Raises StemlineError.
    """
    request = outcome.request
    if not request.settings.remix:
        return replace(outcome, tracks=_with_takes(outcome.tracks, outcome))
    done = {clip.clip_id for clip in outcome.result.clips}
    host = CapturingHost(capabilities, tuple(clip for clip in request.clips if clip.clip_id in done))
    failed = plan_host(host, outcome.stems, outcome.settings, lambda result: result.failed).result()
    if failed:
        raise UsageError(failed[0].message, advice=failed[0].advice)
    return replace(outcome, tracks=_with_takes(host.tracks, outcome), options=host.options)


def _with_takes(tracks: Sequence[StemTrack], outcome: RunOutcome) -> tuple[StemTrack, ...]:
    """Return the tracks with the chosen take of each fill enabled, and the others off."""
    takes = outcome.takes_on | outcome.takes_off
    return tuple(
        replace(track, enabled=track.stem in outcome.takes_on) if track.stem in takes else track for track in tracks
    )


def _settings_for(stems: Sequence[StemRequest], settings: RunSettings) -> RunSettings:
    """Return the settings without what takes the place of other stems, or is lowered under them."""
    names = {stem.name for stem in stems}
    fills = {
        name: fill if not fill.duck or fill.duck in names else replace(fill, duck="")
        for name, fill in settings.replace.items()
        if name in names
    }
    return replace(settings, replace=fills)


def _refused_stem(stems: Sequence[StemRequest], error: UsageError) -> StemRequest | None:
    """Return the stem whose prompt an error quotes; of several the one with the longest text."""
    if error.code not in _REFUSALS:
        return None
    quoted = [stem for stem in stems if stem.prompt.text and stem.prompt.text[:_QUOTED_CHARACTERS] in error.message]
    return max(quoted, key=lambda stem: len(stem.prompt.text), default=None)


def audition_range(clip: ClipRange, time: Fraction, length: Fraction) -> ClipRange:
    """Return the part of `clip` of `length` seconds around a time of the timeline, on the clip's frames."""
    length = min(length, clip.record_range.duration)
    start = min(max(time - length / 2, clip.record_range.start), clip.record_range.end - length)
    offset = start - clip.record_range.start
    grid = 1 / clip.frame_rate if clip.frame_rate else Fraction(1, 1000)
    return trim_clip(clip, offset // grid * grid, min(clip.record_range.duration, offset // grid * grid + length))


def trim_clip(clip: ClipRange, start: Fraction, end: Fraction) -> ClipRange:
    """Return the part of `clip` from `start` to `end`, in seconds from the clip's beginning."""
    source, record = clip.source_range, clip.record_range
    return replace(
        clip,
        source_range=TimeRange(source.start + start, source.start + end),
        record_range=TimeRange(record.start + start, record.start + end),
    )


def stable_digest(value: object) -> str:
    """Return the SHA-256 of a dataclass. Fields that are newer than the first digests count unless at their default."""
    return hashlib.sha256(json.dumps(_as_json(value), sort_keys=True).encode()).hexdigest()


def _as_json(value: object) -> Any:
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return to_wire(value)
    items = [(item, getattr(value, item.name)) for item in dataclasses.fields(value)]
    return {
        item.name: _as_json(content)
        for item, content in items
        if item.name in _FIRST_FIELDS or content != _default_of(item)
    }


def _default_of(item: dataclasses.Field[Any]) -> object:
    return item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
