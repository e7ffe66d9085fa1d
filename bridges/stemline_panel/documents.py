# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents: a media file, an edit, or the timeline of a host program. All calls come from one thread."""

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
from stemline.workflow.sidecars import sidecar_of
from stemline_panel.i18n import translate
from stemline_panel.model.formatting import join_names
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.request import CapturingHost, RunOutcome, with_remix_track

_MAX_NUMBER = 99


class Document(Protocol):
    """Where clips come from and stems go."""

    @property
    def key(self) -> str:
        """What identifies the document."""
        ...

    @property
    def label(self) -> str:
        """The name for people."""
        ...

    @property
    def apply_label(self) -> str:
        """What applying does, such as "Save the stems"."""
        ...

    @property
    def default_output(self) -> Path:
        """The folder for stems unless the user has chosen one."""
        ...

    @property
    def capabilities(self) -> HostCapabilities:
        """What can be written and taken back."""
        ...

    def read(self) -> ReadClips:
        """Read the clips to work on. Raises StemlineError if it cannot be read."""
        ...

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Write the stems of a finished run; files go into `folder`. Raises StemlineError."""
        ...

    def take_back(self, applied: AppliedResult) -> tuple[str, ...]:
        """Undo `apply`. Return notes on what stayed and why. Raises StemlineError."""
        ...

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        """Render the clip as it sounds in the host, effects included. Raises HostError if the host cannot."""
        ...


def open_document(path: Path) -> Document:
    """Open an edit, by the suffixes that hosts announce, and any other file as media. Raises StemlineError.

    Hosts also announce project files that they cannot read, so that the error says how to export an edit.
    """
    if host_list().is_edit(path):
        return EditDocument(path)
    return MediaDocument(path)


class _FileDocument:
    """Common parts of a media file and an edit: stems go beside them, and nothing can be rendered."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    @property
    def key(self) -> str:
        """The absolute path."""
        return str(self._path)

    @property
    def label(self) -> str:
        """The name of the file."""
        return self._path.name

    @property
    def default_output(self) -> Path:
        """The folder `NAME stems` beside the file."""
        return self._path.parent / f"{self._path.stem} stems"

    def take_back(self, applied: AppliedResult) -> tuple[str, ...]:
        """Delete the written files unless they were changed since."""
        return _delete_unchanged(applied)

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        """Raise HostError: there is no host."""
        raise HostError("Rendering needs a host program.", code=Code.HOST_UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class _NumberedNamer:
    """Adds `-NUMBER` to the names of `plain`, except for number 1."""

    plain: Namer
    number: int

    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        path = self.plain(segment, facts, stem, fingerprint)
        return path if self.number == 1 else path.with_name(f"{path.name}-{self.number}")


class MediaDocument(_FileDocument):
    """A media file. Applying writes its stems beside it under plain names."""

    def __init__(self, path: Path) -> None:
        """Open a media file. Raises MediaError."""
        super().__init__(path)
        self._source = MediaSource(str(self._path))
        self._file = PlainFile(self._source, media_facts(self._source))

    @property
    def apply_label(self) -> str:
        """The label of Apply."""
        return translate("Document", "Save the stems")

    @property
    def capabilities(self) -> HostCapabilities:
        """The capabilities of a plain file."""
        return self._file.capabilities

    def read(self) -> ReadClips:
        """Return the whole file as one clip."""
        return self._file.read_clips(Selection())

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Run the same request again under plain names.

        The server has the stems already, so that files are only written. If other stems have these names, the whole set
        gets a number.
        """
        request = outcome.request
        settings = dataclasses.replace(outcome.settings, output_dir=folder, overwrite=False)
        host = CapturingHost(self.capabilities, request.clips)
        part = request.clips[0].source_range
        ranges = {} if part == self.read().clips[0].source_range else {self._source.path: (part.start, part.end)}
        prepared = prepare(host, outcome.stems, settings)
        for number in count(1):
            namer = _NumberedNamer(FileNamer(folder, [self._source.path], ranges), number)
            try:
                result = Run(Plan(host, prepared, settings, namer), lambda found, _: found).result()
            except OutputError as error:
                if error.code is not Code.OUTPUT_EXISTS or number == _MAX_NUMBER:
                    raise
            else:
                break
        if result.failed:
            raise UsageError(result.failed[0].message, advice=result.failed[0].advice)
        paths = [Path(clip.path) for track in host.tracks for clip in track.clips]
        return AppliedResult(tuple(path.name for path in paths), str(folder), files=_states(_with_sidecars(paths)))


class EditDocument(_FileDocument):
    """An edit in a file, which is never changed. Applying writes `<edit>.stems.otio` with the new tracks."""

    def __init__(self, path: Path) -> None:
        """Open an edit. Raises EditError."""
        super().__init__(path)
        edit = self._open(self._target(self.default_output))
        self._capabilities = edit.capabilities
        self._opened: Host | None = edit
        """The opened edit until its first read, because opening a large one takes long."""

    @property
    def apply_label(self) -> str:
        """The label of Apply."""
        return translate("Document", "Write {file}").format(file=f"{self._path.stem}.stems.otio")

    @property
    def capabilities(self) -> HostCapabilities:
        """The capabilities of the edit's format."""
        return self._capabilities

    def read(self) -> ReadClips:
        """Read the clips of the edit from its file."""
        edit, self._opened = self._opened or self._open(self._target(self.default_output)), None
        return edit.read_clips(Selection())

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Write the edit with the stem tracks.

        A result of other work, or one that was changed since, is left alone, and the new one gets a number. Raises
        EditError if the edit itself was changed.
        """
        recipe = outcome.request.digest
        with OutputLedger(folder) as ledger:
            target = ledger.choose(self._path.stem, ".stems.otio", recipe, overwrite=False)
            edit = self._open(target)
            self._check_unchanged(outcome.request.clips, edit)
            outcome = with_remix_track(outcome, self.capabilities)
            written = edit.write_tracks(outcome.tracks, outcome.options)
            ledger.note(target, recipe)
        return AppliedResult(written.tracks, written.output, written.notes, written.result, _states([target]))

    def _check_unchanged(self, clips: Sequence[ClipRange], edit: Host) -> None:
        """Raise EditError if a separated clip is not where it was: an edit identifies clips by their position."""
        now = {clip.clip_id: _position_of(clip) for clip in edit.read_clips(Selection(include_disabled=True)).clips}
        moved = [clip.name for clip in clips if now.get(clip.clip_id) != _position_of(clip)]
        if moved:
            text = translate("Document", "{file} was changed since it was read: {clips} moved or changed.")
            raise EditError(
                text.format(file=self._path.name, clips=join_names(moved)),
                advice=translate("Document", "Read it again (F5) and separate again; unchanged clips are reused."),
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
    """The timeline of a host program at the other end of a pipe."""

    def __init__(self, connect: Callable[[], RemoteHost]) -> None:
        """Use the host that `connect` returns; it raises HostError when the host has gone."""
        self._connect = connect
        self._capabilities = connect().capabilities

    @property
    def key(self) -> str:
        """The name of the host, marked as such."""
        return f"host {self._capabilities.name}"

    @property
    def label(self) -> str:
        """The name of the host."""
        return self._capabilities.name

    @property
    def apply_label(self) -> str:
        """The label of Apply."""
        return translate("Document", "Apply to {host}").format(host=self._capabilities.name)

    @property
    def default_output(self) -> Path:
        """A folder of the user's, not the cache, because the project depends on these files."""
        return platformdirs.user_videos_path() / "Stemline"

    @property
    def capabilities(self) -> HostCapabilities:
        """The capabilities as of the last read."""
        return self._capabilities

    def read(self) -> ReadClips:
        """Read the selected clips from the host."""
        host = self._connect()
        self._capabilities = host.capabilities
        return host.read_clips(Selection())

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Have the host add the tracks. Raises HostError; without an answer it says that the tracks may exist."""
        outcome = with_remix_track(outcome, self.capabilities)
        try:
            written = self._connect().write_tracks(outcome.tracks, outcome.options)
        except Unanswered as error:
            names = ", ".join(track.name for track in outcome.tracks)
            text = translate("Document", "{error} The tracks {names} may exist nevertheless.")
            raise HostError(
                text.format(error=error.message, names=names),
                code=error.code,
                advice=translate("Document", "Look at the timeline before you apply again."),
            ) from error
        return AppliedResult(written.tracks, written.output, written.notes, written.result)

    def take_back(self, applied: AppliedResult) -> tuple[str, ...]:
        """Have the host remove the tracks again."""
        return self._connect().remove_result(applied.handle)

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        """Have the host render the clip into `folder`. The rendered clip has the clip's id and track."""
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


def _delete_unchanged(applied: AppliedResult) -> tuple[str, ...]:
    """Delete the written files. Return a note for each that was changed since and therefore stays."""
    notes = []
    for name, size, mtime_ns in applied.files:
        path = Path(name)
        try:
            facts = path.stat()
            if (facts.st_size, facts.st_mtime_ns) == (size, mtime_ns):
                path.unlink()
            else:
                notes.append(translate("Document", "{file} was changed since, so it stays.").format(file=path.name))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MediaError(f"{path} cannot be deleted: {error.strerror}.", code=Code.OUTPUT_UNWRITABLE) from error
    return tuple(notes)
