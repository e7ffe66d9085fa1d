# SPDX-License-Identifier: GPL-3.0-or-later
"""Where clips come from and stems go: a media file, an edit, or a host program. All calls come from one thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

import platformdirs

from stemline.api.running import Plan, Run
from stemline.clips import ClipRange, MediaFacts, MediaSource, TimeRange
from stemline.companion.jsonrpc import Unanswered
from stemline.companion.remote import RemoteHost
from stemline.errors import Code, EditError, HostError, MediaError, OutputError, UsageError
from stemline.hosts.base import Host, HostCapabilities, RangeToRender, ReadClips, Rendered, Selection
from stemline.hosts.edits import EditOptions, OpenRequest
from stemline.hosts.plain_files import PlainFile
from stemline.hosts.registry import edit_files_for, host_list
from stemline.media import media_facts
from stemline.plan import StemSegment
from stemline.workflow import FileNamer, prepare
from stemline.workflow.outputs import Namer, OutputLedger
from stemline.workflow.record import sidecar_of
from stemline_panel.model.formatting import join_names
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.request import CapturingHost, RunOutcome

_MOST_NUMBERS = 99


class Document(Protocol):
    """`key` tells it from others; `label` names it for people, `apply_label` say what applying does; `default_output`
    is where stems go unless the user has chosen a folder."""

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def apply_label(self) -> str: ...

    @property
    def default_output(self) -> Path: ...

    @property
    def capabilities(self) -> HostCapabilities: ...

    def read(self) -> ReadClips:
        """The clips to work on. Raises StemlineError when there is nothing that can be read."""
        ...

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Puts a finished run where it belongs; `folder` is the user's folder for what is written."""
        ...

    def take_back(self, applied: AppliedResult) -> tuple[str, ...]:
        """Takes back what `apply` put there. Notes say what stayed and why."""
        ...

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        """The clip as it sounds in the host, effects included. Raises HostError where it cannot render."""
        ...


def open_document(path: Path) -> Document:
    """Open an edit, by the suffixes that hosts announce, and any other file as media. Raises StemlineError."""
    if host_list().is_edit(path):
        return EditDocument(path)
    return MediaDocument(path)


class _OnDisk:
    """What a media file and an edit have in common: stems go beside them, and nothing can be rendered."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    @property
    def key(self) -> str:
        return str(self._path)

    @property
    def label(self) -> str:
        return self._path.name

    @property
    def default_output(self) -> Path:
        return self._path.parent / f"{self._path.stem} stems"

    def take_back(self, applied: AppliedResult) -> tuple[str, ...]:
        return _delete_untouched(applied)

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        raise HostError("Only a host program can render what it plays.", code=Code.HOST_UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """The names of a set that is not the first under its plain names."""

    plain: Namer
    number: int

    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        path = self.plain(segment, facts, stem, fingerprint)
        return path if self.number == 1 else path.with_name(f"{path.name}-{self.number}")


class MediaDocument(_OnDisk):
    """A media file. Applying writes its stems beside it under plain names."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._source = MediaSource(str(self._path))
        self._file = PlainFile(self._source, media_facts(self._source))

    @property
    def apply_label(self) -> str:
        return "Save the stems"

    @property
    def capabilities(self) -> HostCapabilities:
        return self._file.capabilities

    def read(self) -> ReadClips:
        return self._file.read_clips(Selection())

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Runs the same once more under the plain names: the server has it done, so that only files are written. Where
        those are taken by other work, the whole set gets a number.
        """
        request = outcome.request
        settings = dataclasses.replace(request.settings, output_dir=folder, overwrite=False)
        held = CapturingHost(self.capabilities, request.clips)
        part = request.clips[0].source_range
        ranges = {} if part == self.read().clips[0].source_range else {self._source.path: (part.start, part.end)}
        prepared = prepare(held, request.stems, settings)
        for number in count(1):
            namer = _Numbered(FileNamer(folder, [self._source.path], ranges), number)
            try:
                result = Run(Plan(held, prepared, settings, namer), lambda found: found).result()
            except OutputError as error:
                if error.code is not Code.OUTPUT_EXISTS or number == _MOST_NUMBERS:
                    raise
            else:
                break
        if result.failed:
            raise UsageError(result.failed[0].message, advice=result.failed[0].advice)
        paths = [Path(clip.path) for track in held.tracks for clip in track.clips]
        return AppliedResult(tuple(path.name for path in paths), str(folder), files=_states(_with_sidecars(paths)))


class EditDocument(_OnDisk):
    """An edit in a file, which stays as it is. Applying writes `<edit>.stems.otio` with the new tracks."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        edit = self._open(self._target(self.default_output))
        self._capabilities = edit.capabilities
        self._opened: Host | None = edit
        """The edit as it is, until it has been read: a large one takes long to open."""

    @property
    def apply_label(self) -> str:
        return f"Write {self._path.stem}.stems.otio"

    @property
    def capabilities(self) -> HostCapabilities:
        return self._capabilities

    def read(self) -> ReadClips:
        edit, self._opened = self._opened or self._open(self._target(self.default_output)), None
        return edit.read_clips(Selection())

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """A result that somebody changed since is left alone: the new one gets a number. Raises EditError where the
        edit itself was changed.
        """
        recipe = outcome.request.digest
        with OutputLedger(folder) as ledger:
            target = ledger.choose(self._path.stem, ".stems.otio", recipe, overwrite=False)
            edit = self._open(target)
            self._check_same(outcome.request.clips, edit)
            written = edit.write_tracks(outcome.tracks, outcome.options)
            ledger.note(target, recipe)
        return AppliedResult(written.tracks, written.output, written.notes, written.result, _states([target]))

    def _check_same(self, clips: Sequence[ClipRange], edit: Host) -> None:
        """The edit's file tells clips apart by where they stand alone: they must still be those that were separated."""
        now = {clip.clip_id: _position_of(clip) for clip in edit.read_clips(Selection(include_disabled=True)).clips}
        moved = [clip.name for clip in clips if now.get(clip.clip_id) != _position_of(clip)]
        if moved:
            raise EditError(
                f"{self._path.name} was changed since it was read: {join_names(moved)} no longer stands where it "
                "stood.",
                advice="Read it again (F5) and separate again: what is the same is kept.",
            )

    def _target(self, folder: Path) -> Path:
        return folder / f"{self._path.stem}.stems.otio"

    def _open(self, target: Path) -> Host:
        try:
            unpack_to = self._path.parent / f"{self._path.name}.media"
            request = OpenRequest(self._path, target, EditOptions(), "", unpack_to)
            return edit_files_for(self._path).open_edit(request)
        except OSError as error:
            raise EditError(f"{self._path} cannot be read: {error.strerror}.") from error


class HostDocument:
    """A host program at the other end of a pipe. `connect` gives it as it is now; raises HostError when it is gone."""

    def __init__(self, connect: Callable[[], RemoteHost]) -> None:
        self._connect = connect
        self._capabilities = connect().capabilities

    @property
    def key(self) -> str:
        return f"host {self._capabilities.name}"

    @property
    def label(self) -> str:
        return self._capabilities.name

    @property
    def apply_label(self) -> str:
        return f"Apply to {self._capabilities.name}"

    @property
    def default_output(self) -> Path:
        """Tracks in a project live on these files, so that they lie with the user's own, not in a cache."""
        return platformdirs.user_videos_path() / "Stemline"

    @property
    def capabilities(self) -> HostCapabilities:
        return self._capabilities

    def read(self) -> ReadClips:
        host = self._connect()
        self._capabilities = host.capabilities
        return host.read_clips(Selection())

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        try:
            written = self._connect().write_tracks(outcome.tracks, outcome.options)
        except Unanswered as error:  # a host that answers says itself what it did
            names = ", ".join(track.name for track in outcome.tracks)
            raise HostError(
                f"{error.message} The tracks {names} may be there all the same.",
                code=error.code,
                advice="Look at the timeline before you apply again.",
            ) from error
        return AppliedResult(written.tracks, written.output, written.notes, written.result)

    def take_back(self, applied: AppliedResult) -> tuple[str, ...]:
        return self._connect().remove_result(applied.handle)

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        folder.mkdir(parents=True, exist_ok=True)
        rendered = self._connect().render_range(
            RangeToRender(clip.record_range, str(folder), clip.clip_id, (clip.track,))
        )
        own = dataclasses.replace(rendered.clip, clip_id=clip.clip_id, track=clip.track)
        return Rendered(own, rendered.notes)


def _position_of(clip: ClipRange) -> tuple[MediaSource, TimeRange, TimeRange]:
    return clip.source, clip.source_range, clip.record_range


def _with_sidecars(paths: list[Path]) -> list[Path]:
    return [file for path in paths for file in (path, sidecar_of(path)) if file.is_file()]


def _states(paths: list[Path]) -> tuple[tuple[str, int, int], ...]:
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)


def _delete_untouched(applied: AppliedResult) -> tuple[str, ...]:
    """Deletes what we wrote and nobody changed since; says what was kept."""
    notes = []
    for name, size, mtime_ns in applied.files:
        path = Path(name)
        try:
            facts = path.stat()
            if (facts.st_size, facts.st_mtime_ns) == (size, mtime_ns):
                path.unlink()
            else:
                notes.append(f"{path.name} was changed since and is kept.")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MediaError(f"{path} cannot be deleted: {error.strerror}.", code=Code.OUTPUT_UNWRITABLE) from error
    return tuple(notes)
