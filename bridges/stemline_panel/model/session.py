# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything the panel knows, and the one button that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from stemline.clips import ClipRange, TimeRange
from stemline.errors import Code, UsageError
from stemline.hosts.base import HostCapabilities, ReadClips
from stemline.paths import cache_dir
from stemline.plan import PlanSettings
from stemline.workflow import RunSettings
from stemline_panel.model.formatting import join_names
from stemline_panel.model.queue import QueueItem, RunQueue
from stemline_panel.model.request import RunRequest, audition_range, cut
from stemline_panel.model.settings import PanelSettings
from stemline_panel.model.stems import StemList

NO_HOST = HostCapabilities("none", "", writes_tracks=False)


class Verb(StrEnum):
    """Which of the new tracks are heard. The values are the core's own."""

    ISOLATE = "stem"
    REMOVE = "residual"
    SPLIT = "all"

    @property
    def word(self) -> str:
        return {Verb.ISOLATE: "Isolate", Verb.REMOVE: "Remove", Verb.SPLIT: "Split"}[self]


class Action(StrEnum):
    """What the big button does."""

    OPEN = "open"
    CONNECT = "connect"
    NOTHING = "nothing"
    SEPARATE = "separate"
    STOP = "stop"
    APPLY = "apply"


@dataclass(frozen=True, slots=True)
class PrimaryAction:
    action: Action
    label: str
    hint: str = ""


@dataclass(slots=True)
class Session:
    """The state behind one window. `server` is an address, or None for the private server; `part` the only part of a
    file that is meant; `output_now` the folder of this session alone, which is not kept.

    `apply_label` is what Apply does where the clips come from: "Apply to DaVinci Resolve", "Save the stems". Nothing
    can be put there while that place is `lost` with its program, or `busy`.
    """

    settings: PanelSettings
    default_output: Path = field(default_factory=Path.cwd)
    server: str | None = None
    output_now: Path | None = None
    host: HostCapabilities = NO_HOST
    read: ReadClips = field(default_factory=lambda: ReadClips(()))
    clip_index: int = 0
    all_clips: bool = False
    part: TimeRange | None = None
    verb: Verb = Verb.ISOLATE
    stems: StemList = field(default_factory=StemList)
    queue: RunQueue = field(default_factory=RunQueue)
    server_ready: bool = False
    apply_label: str = "Apply"
    document_key: str = ""
    lost: bool = False
    busy: bool = False

    @property
    def clips(self) -> tuple[ClipRange, ...]:
        return self.read.clips

    @property
    def clip(self) -> ClipRange | None:
        """The clip that is shown and heard."""
        return self.clips[self.clip_index] if self.clip_index < len(self.clips) else None

    @property
    def output_dir(self) -> Path:
        if self.output_now is not None:
            return self.output_now
        return Path(self.settings.output_dir) if self.settings.output_dir else self.default_output

    def show(self, read: ReadClips) -> None:
        """New clips; the one that was shown stays shown where it is still there."""
        shown = self.clip.clip_id if self.clip else None
        self.read = read
        ids = [clip.clip_id for clip in read.clips]
        self.clip_index = ids.index(shown) if shown in ids else 0

    def replace_clip(self, clip: ClipRange) -> None:
        """Another sound for the shown clip: what the host rendered."""
        clips = [clip if old.clip_id == clip.clip_id else old for old in self.clips]
        self.read = replace(self.read, clips=tuple(clips))

    def request(self) -> RunRequest:
        """What the button would ask for now. Raises UsageError where nothing can be asked for yet."""
        if self.clip is None:
            raise UsageError("There is no clip.", code=Code.EDIT_NO_CLIPS, advice="Open a file or select a clip.")
        if not self.stems.has_request:
            raise UsageError("Nothing is asked for yet.", advice="Type what it is, or mark where it sounds.")
        stems = self.stems.requests()
        timeline = self.host.writes_tracks
        clips = self.clips if self.all_clips else (self.clip if timeline else self._chosen_part(self.clip),)
        folder = self.output_dir if timeline else cache_dir() / "panel" / "results"  # until the user saves them
        return RunRequest(stems, clips, self._run_settings(folder, handles=timeline))

    def _chosen_part(self, clip: ClipRange) -> ClipRange:
        """A file can be separated in part. A clip of a timeline cannot: its rest would have no sound any more."""
        record = clip.record_range
        if self.part is None or not self.part.overlaps(record):
            return clip
        start, end = max(self.part.start, record.start), min(self.part.end, record.end)
        return cut(clip, start - record.start, end - record.start)

    def audition(self, playhead: Fraction) -> RunRequest:
        """The same for a few seconds of the shown clip around the playhead, kept out of the user's folders."""
        asked = self.request()
        clip = audition_range(self.clip or asked.clips[0], playhead, Fraction(self.settings.audition_s))
        settings = self._run_settings(cache_dir() / "panel" / "audition", handles=False)
        return replace(asked, clips=(clip,), settings=settings, audition=True)

    def _run_settings(self, folder: Path, *, handles: bool) -> RunSettings:
        chosen = self.settings
        return RunSettings(
            output_dir=folder,
            plan=PlanSettings() if handles else PlanSettings(handle=Fraction(0)),
            server=self.server,
            model=chosen.model,
            quality=chosen.quality,
            channels=chosen.channels,
            sample_format=chosen.sample_format or None,
            chain=chosen.chain,
            play=str(self.verb),
            disable_originals=chosen.disable_originals and self.host.disables_clips,
            priority=10,
        )

    def finished(self) -> QueueItem | None:
        """The result of exactly what is asked for now, if there is one."""
        try:
            return self.queue.result_of(self.request())
        except UsageError:
            return None

    def primary_action(self) -> PrimaryAction:
        running = self.queue.running
        if running is not None and not running.request.audition:
            return PrimaryAction(Action.STOP, "Stop", running.request.title)
        if self.clip is None:
            return PrimaryAction(Action.OPEN, "Open a file or an edit", "Or select clips in your editor.")
        if not self.server_ready:
            return PrimaryAction(Action.CONNECT, "Connect to the server", "Nothing can be separated without it.")
        try:
            request = self.request()
        except UsageError as error:
            return PrimaryAction(Action.NOTHING, self.verb.word, str(error))
        result = self.queue.result_of(request)
        if result is None:
            return PrimaryAction(Action.SEPARATE, _verb_label(self.verb, request), self._separate_hint())
        return self._apply_action(result)

    def _apply_action(self, result: QueueItem) -> PrimaryAction:
        if result.applied is not None:
            return PrimaryAction(Action.NOTHING, "Applied", "Take it back with Remove in the results.")
        if self.lost:
            again = f"{self.host.name} has ended. Start it and choose Stemline from its menu again: the stems are kept."
            return PrimaryAction(Action.NOTHING, self.apply_label, again)
        if self.busy:
            return PrimaryAction(Action.NOTHING, self.apply_label, "Something is being read or written just now.")
        return PrimaryAction(Action.APPLY, self.apply_label, describe_apply(result.request, self.host, self.output_dir))

    def _separate_hint(self) -> str:
        return "Nothing is written to the timeline before you apply it." if self.host.writes_tracks else ""


def _verb_label(verb: Verb, request: RunRequest) -> str:
    names = [stem.name for stem in request.stems]
    what = names[0] if len(names) == 1 else f"{len(names)} stems"
    if verb is Verb.SPLIT:
        return f"Split into {what} and the rest"
    return f"{verb.word} {what}"


def describe_apply(request: RunRequest, host: HostCapabilities, folder: Path) -> str:
    """In words, what Apply puts where."""
    tracks = list(dict.fromkeys(clip.track for clip in request.clips))
    names = [*(stem.name for stem in request.stems), "residual"]
    if not host.writes_tracks:
        return f"Writes {len(names)} files ({join_names(names)}) into {folder}."
    count = len(names) * len(tracks)
    clips = "1 clip" if len(request.clips) == 1 else f"{len(request.clips)} clips"
    originals = "The original clip" if len(request.clips) == 1 else "The originals"
    disabled = f" {originals} will be disabled." if request.settings.disable_originals else ""
    heard = {"stem": "Only the stems play.", "residual": "Only the residual plays."}.get(request.settings.play, "")
    return f"Adds {count} tracks ({join_names(names, 2)}) with {clips}. {heard}{disabled}".replace("  ", " ")
