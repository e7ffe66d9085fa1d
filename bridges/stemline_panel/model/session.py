# SPDX-License-Identifier: GPL-3.0-or-later
"""The state behind the window, and the main button that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from stemline.clips import RESIDUAL, ClipRange, StemTrack, TimeRange
from stemline.errors import Code, UsageError
from stemline.hosts.base import HostCapabilities, ReadClips
from stemline.paths import cache_dir
from stemline.plan import PlanSettings
from stemline.workflow import RunSettings
from stemline.workflow.derived_tracks import derived_names, playing_names
from stemline_panel.model.formatting import join_names, translate
from stemline_panel.model.queue import QueueItem, RunQueue
from stemline_panel.model.request import RunOutcome, RunRequest, audition_range, trim_clip
from stemline_panel.model.settings import PanelSettings
from stemline_panel.model.stems import StemList

NO_HOST = HostCapabilities("none", "", writes_tracks=False)
_INTERACTIVE_PRIORITY = 10


class Verb(StrEnum):
    """Which of the new tracks play. The values are those of the core's `play` setting."""

    ISOLATE = "stem"
    REMOVE = "residual"
    SPLIT = "all"

    @property
    def label(self) -> str:
        """The verb in the user's language."""
        return {
            Verb.ISOLATE: translate("Verb", "Isolate"),
            Verb.REMOVE: translate("Verb", "Remove"),
            Verb.SPLIT: translate("Verb", "Split"),
        }[self]


class Action(StrEnum):
    """What the main button does."""

    OPEN = "open"
    CONNECT = "connect"
    NOTHING = "nothing"
    SEPARATE = "separate"
    APPLY = "apply"


@dataclass(frozen=True, slots=True)
class PrimaryAction:
    """The main button: its action, label and hint."""

    action: Action
    label: str
    hint: str = ""


@dataclass(slots=True)
class Session:
    """The state behind one window.

    `amounts` has the gain in dB of each sound that the results of the next runs start with. `server` is an address, or
    None for the private server; `server_at_start` is that of the command line. `part` is the only part of a file to
    separate, and `chosen_ids` are the clips to separate together; empty for the shown one. A document `grows` if Apply
    adds to one result, in which `applied_clips` have stems; None if that is not known. `applied_tracks` are its tracks.
    `output_now` is the folder of this session, which is not saved. `apply_label` names what Apply does to the open
    document, such as "Apply to DaVinci Resolve" or "Save the stems". Nothing can be applied while the document's host
    is `lost` or the document is `busy`.
    """

    settings: PanelSettings
    default_output: Path = field(default_factory=Path.cwd)
    server: str | None = None
    server_at_start: str | None = None
    output_now: Path | None = None
    host: HostCapabilities = NO_HOST
    read: ReadClips = field(default_factory=lambda: ReadClips(()))
    clip_index: int = 0
    all_clips: bool = False
    chosen_ids: tuple[str, ...] = ()
    amounts: dict[str, float] = field(default_factory=dict)
    grows: bool = False
    applied_clips: frozenset[str] | None = None
    applied_tracks: tuple[StemTrack, ...] = ()
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
        """The clips of the open document."""
        return self.read.clips

    @property
    def clip(self) -> ClipRange | None:
        """The clip that is shown and heard, or None."""
        return self.clips[self.clip_index] if self.clip_index < len(self.clips) else None

    @property
    def chosen_clips(self) -> tuple[ClipRange, ...]:
        """The clips of the next run if it is about several: all of them, or those selected in the table."""
        if self.all_clips:
            return self.clips
        return tuple(clip for clip in self.clips if clip.clip_id in self.chosen_ids)

    @property
    def chosen_output(self) -> Path | None:
        """The folder that the user chose for stems, None for the document's default."""
        if self.output_now is not None:
            return self.output_now
        return Path(self.settings.output_dir) if self.settings.output_dir else None

    @property
    def output_dir(self) -> Path:
        """The folder for stems: of this session, of the settings, or beside the document."""
        return self.chosen_output or self.default_output

    def show(self, read: ReadClips) -> None:
        """Replace the clips. The shown clip stays the same if it still exists."""
        shown = self.clip.clip_id if self.clip else None
        self.read = read
        ids = [clip.clip_id for clip in read.clips]
        self.clip_index = ids.index(shown) if shown in ids else 0

    def replace_clip(self, clip: ClipRange) -> None:
        """Replace the clip with the same id, for example by what the host rendered."""
        clips = [clip if old.clip_id == clip.clip_id else old for old in self.clips]
        self.read = replace(self.read, clips=tuple(clips))

    def request(self) -> RunRequest:
        """Return the request of the main button. Raises UsageError if something is missing."""
        if self.clip is None:
            raise UsageError(
                translate("Session", "No clip is open."),
                code=Code.EDIT_NO_CLIPS,
                advice=translate("Session", "Open a file or select a clip."),
            )
        if not self.stems.has_request:
            raise UsageError(
                translate("Session", "Name a sound or mark it."),
                advice=translate("Session", "Type words such as 'dog barking', or select a sound and mark it."),
            )
        stems = self.stems.requests()
        timeline = self.host.writes_tracks
        clips = self.chosen_clips or (self.clip if timeline else self._selected_part(self.clip),)
        in_place = timeline and not self.grows
        folder = self.output_dir if in_place else cache_dir() / "panel" / "results"  # until the user applies them
        return RunRequest(stems, clips, self._run_settings(folder, handles=timeline))

    def audition(self, playhead: Fraction) -> RunRequest:
        """Return the request for a few seconds around the playhead, with its files in the cache."""
        asked = self.request()
        clip = audition_range(self.clip or asked.clips[0], playhead, Fraction(self.settings.audition_s))
        settings = self._run_settings(cache_dir() / "panel" / "audition", handles=False)
        handle = asked.settings.plan.handle
        return replace(asked, clips=(clip,), settings=settings, audition=True, whole=asked.clips, whole_handle=handle)

    def finished(self) -> QueueItem | None:
        """Return the result of exactly the current request, or None."""
        try:
            return self.queue.result_of(self.request())
        except UsageError:
            return None

    def primary_action(self) -> PrimaryAction:
        """Return what the main button does now."""
        if self.clip is None:
            hint = translate("Session", "Or select clips in your editor.")
            return PrimaryAction(Action.OPEN, translate("Session", "Open a file or an edit"), hint)
        if not self.server_ready:
            hint = translate("Session", "Separating needs the server.")
            return PrimaryAction(Action.CONNECT, translate("Session", "Connect to the server"), hint)
        try:
            request = self.request()
        except UsageError as error:
            return PrimaryAction(Action.NOTHING, self.verb.label, str(error))
        result = self.queue.result_of(request)
        if result is not None:
            return self._apply_action(result)
        label = _separate_label(self.verb, request)
        pending = self.queue.pending(request)
        if pending is not None:
            return PrimaryAction(Action.NOTHING, label, translate("Session", "This request is already in the queue."))
        if self.queue.running is not None:
            text = translate("Session", "Adds it to the queue, behind what runs now.")
            return PrimaryAction(Action.SEPARATE, label, f"{text} {self._separate_hint()}".rstrip())
        return PrimaryAction(Action.SEPARATE, label, self._separate_hint())

    def _selected_part(self, clip: ClipRange) -> ClipRange:
        """Return the selected part of a file.

        A clip of a timeline is always separated whole, because its original is disabled when the stems are applied.
        """
        record = clip.record_range
        if self.part is None or not self.part.overlaps(record):
            return clip
        start, end = max(self.part.start, record.start), min(self.part.end, record.end)
        return trim_clip(clip, start - record.start, end - record.start)

    def _run_settings(self, folder: Path, *, handles: bool) -> RunSettings:
        chosen = self.settings
        return RunSettings(
            output_dir=folder,
            plan=PlanSettings() if handles else PlanSettings(handle=Fraction(0)),
            server=self.server,
            model=chosen.model,
            seed=chosen.seed,
            quality=chosen.quality,
            channels=chosen.channels,
            sample_format=chosen.sample_format or None,
            chain=chosen.chain,
            play=str(self.verb),
            disable_originals=chosen.disable_originals and self.host.disables_clips,
            sign="auto" if chosen.sign else "never",
            record_paths=chosen.record_paths,
            record_words=chosen.record_words,
            mark="auto" if chosen.mark else "never",
            tracker=chosen.tracker,
            priority=_INTERACTIVE_PRIORITY,
            replace=self.stems.fills(),
        )

    def _apply_action(self, result: QueueItem) -> PrimaryAction:
        if result.applied is not None:
            hint = translate("Session", "Press Take back in the results to undo it.")
            return PrimaryAction(Action.NOTHING, translate("Session", "Applied"), hint)
        if self.lost:
            hint = translate("Session", "{host} has quit. Start it and choose Stemline from its menu to apply.")
            return PrimaryAction(Action.NOTHING, self.apply_label, hint.format(host=self.host.name))
        if self.busy:
            hint = translate("Session", "Wait until reading or writing ends.")
            return PrimaryAction(Action.NOTHING, self.apply_label, hint)
        hint = describe_apply(result, self.host, self.output_dir, self.applied_tracks)
        return PrimaryAction(Action.APPLY, self.apply_label, hint)

    def _separate_hint(self) -> str:
        if not self.host.writes_tracks:
            return ""
        return translate("Session", "The timeline doesn't change until you apply the result.")


def _separate_label(verb: Verb, request: RunRequest) -> str:
    names = [stem.name for stem in request.stems]
    many = translate("Session", "{count} stems").format(count=len(names))
    text = {
        Verb.ISOLATE: translate("Session", "Isolate {stems}"),
        Verb.REMOVE: translate("Session", "Remove {stems}"),
        Verb.SPLIT: translate("Session", "Split into {stems} and the rest"),
    }[verb]
    label = text.format(stems=names[0] if len(names) == 1 else many)
    if len(request.clips) > 1:
        label = translate("Session", "{label} in {count} clips").format(label=label, count=len(request.clips))
    return label


def describe_apply(item: QueueItem, host: HostCapabilities, folder: Path, applied: Sequence[StemTrack] = ()) -> str:
    """Return in words what Apply writes for a run, where the edit has the stem tracks `applied`."""
    outcome = item.outcome_to_apply
    request, stems = (outcome.request, outcome.stems) if outcome else (item.request, item.request.stems)
    settings = outcome.settings if outcome else request.settings
    names = [*(stem.name for stem in stems), RESIDUAL, *derived_names(settings)]
    if not host.writes_tracks:
        text = translate("Session", "Writes {count} files ({names}) into {folder}.")
        return text.format(count=len(names), names=join_names(names), folder=folder)
    single = len(request.clips) == 1
    clips = _count_clips(len(request.clips))
    places = [(name, track) for name in names for track in dict.fromkeys(clip.track for clip in request.clips)]
    shared = _shared_places(outcome, settings, applied)
    existing, new = [at for at in places if at in shared], [at for at in places if at not in shared]
    if not existing:
        text = translate("Session", "Adds {count} tracks ({names}) with {clips}.")
    elif new:
        text = translate("Session", "Adds {clips} to {existing} and {new}.")
    else:
        text = translate("Session", "Adds {clips} to {existing}.")
    parts = {"existing": _tracks_text(existing, exist=True), "new": _tracks_text(new, exist=False)}
    sentences = [text.format(count=len(places), names=join_names(names, 2), clips=clips, **parts)]
    wanted = {clip.clip_id for clip in request.clips}
    replaced = wanted & {clip.clip_id for track in applied for clip in track.clips}
    if replaced:
        text = translate("Session", "Replaces the earlier stems of {clips}.")
        sentences.append(text.format(clips=_count_clips(len(replaced))))
    sentences += _playing_sentences(outcome, settings, names)
    if request.settings.disable_originals:
        one = translate("Session", "The original clip will be disabled.")
        sentences.append(one if single else translate("Session", "The originals will be disabled."))
    return " ".join(sentences)


def _shared_places(
    outcome: RunOutcome | None, settings: RunSettings, applied: Sequence[StemTrack]
) -> set[tuple[str, str]]:
    """Return the names of stem and source track of the tracks whose clips go on tracks that exist."""
    if outcome is None or not applied:
        return set()
    tracks = outcome.tracks
    if derived_names(settings):  # amounts decide which tracks play, and the remix is made by Apply
        playing = outcome.playing()
        tracks = tuple(replace(track, enabled=track.stem in playing) for track in tracks)
    known = {track.key for track in applied}
    new = {(track.stem, track.source_track) for track in tracks if track.key not in known}
    return {(track.stem, track.source_track) for track in tracks} - new


def _tracks_text(places: Sequence[tuple[str, str]], *, exist: bool) -> str:
    single = translate("Session", "1 existing track") if exist else translate("Session", "1 new track")
    many = translate("Session", "{count} existing tracks") if exist else translate("Session", "{count} new tracks")
    text = single if len(places) == 1 else many.format(count=len(places))
    return f"{text} ({join_names(list(dict.fromkeys(name for name, _ in places)), 2)})"


def _count_clips(count: int) -> str:
    return translate("Session", "1 clip") if count == 1 else translate("Session", "{count} clips").format(count=count)


def _playing_sentences(outcome: RunOutcome | None, settings: RunSettings, names: Sequence[str]) -> list[str]:
    if derived_names(settings):
        stems = [name for name in names if name != RESIDUAL]
        playing = outcome.playing() if outcome is not None else playing_names(settings, stems)
        text = translate("Session", "Enabled: {tracks}.")
        return [text.format(tracks=join_names([name for name in names if name in playing]))]
    return {
        "stem": [translate("Session", "Only the stems play.")],
        "residual": [translate("Session", "Only the residual plays.")],
    }.get(settings.play, [])
