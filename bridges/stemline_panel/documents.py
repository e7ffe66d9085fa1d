# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents: a media file, an edit, or the timeline of a host program. All calls come from one thread."""

from __future__ import annotations

import dataclasses
import mimetypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Protocol

import platformdirs

from stemline.api.running import Plan, Run
from stemline.clips import ClipRange, MediaFacts, MediaSource, Skip
from stemline.companion.jsonrpc import Unanswered
from stemline.companion.remote import RemoteHost
from stemline.errors import Code, EditError, HostError, MediaError, OutputError, StemlineError, UsageError
from stemline.hosts.base import Host, HostCapabilities, RangeToRender, ReadClips, Rendered, Selection
from stemline.hosts.edits import EditOptions, OpenRequest
from stemline.hosts.plain_files import PlainFile
from stemline.hosts.registry import edit_files_for, host_list
from stemline.media import media_facts
from stemline.plan import StemSegment
from stemline.workflow import FileNamer, prepare
from stemline.workflow.growing_edit import AppliedPart, GrowingEdit
from stemline.workflow.outputs import Namer
from stemline.workflow.sidecars import sidecar_of
from stemline_panel.i18n import translate
from stemline_panel.model.digest import stable_digest
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.request import CapturingHost, RunOutcome, with_remix_track

_MAX_NUMBER = 99
_MAX_FILES = 1000
_OTHER_MEDIA = (".mxf", ".mts", ".m2ts", ".flac", ".bwf", ".w64", ".rf64", ".caf", ".mkv", ".opus", ".m4a")


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
    def path(self) -> Path | None:
        """The file that is open, None for a host program."""
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

    @property
    def grows(self) -> bool:
        """Whether Apply adds to one result, in which each clip has the stems of one run."""
        ...

    def results(self) -> tuple[str, ...] | None:
        """Return the handles of the applied runs; None if only reading the document tells."""
        ...

    def applied_clips(self) -> frozenset[str] | None:
        """Return the ids of the clips with applied stems; None if that is not known."""
        ...

    def take_back_clips(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        """Take back the stems of some clips. Return notes on what stayed. Raises HostError if it cannot."""
        ...

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        """Render the clip as it sounds in the host, effects included. Raises HostError if the host cannot."""
        ...


def open_document(paths: Sequence[Path], folder: Path | None = None) -> Document:
    """Open an edit, by the suffixes that hosts announce, and any other files as media. Raises StemlineError.

    `folder` is the folder of results unless it is the default one. Of a dropped folder, the media in it are
    opened. Hosts also announce project files that they cannot read, so that the error says how to export an edit.
    """
    edit = next((path for path in paths if host_list().is_edit(path)), None)
    if edit is not None:
        return EditDocument(edit, folder)
    if len(paths) == 1 and not paths[0].is_dir():
        return MediaDocument(paths)
    return MediaDocument([file for path in paths for file in (_media_in(path) if path.is_dir() else [path])])


class _WholeRuns:
    """Common parts of documents in which whole runs are applied and taken back."""

    grows = False

    def results(self) -> tuple[str, ...] | None:
        """Return None: only reading the document tells."""
        return None

    def applied_clips(self) -> frozenset[str] | None:
        """Return None: it is not known."""
        return None

    def take_back_clips(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        """Raise HostError."""
        raise HostError(translate("Document", "Here only whole results can be taken back."), code=Code.HOST_UNSUPPORTED)


class _FileDocument(_WholeRuns):
    """Common parts of media files and an edit: stems go beside them, and nothing can be rendered."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    @property
    def path(self) -> Path | None:
        """The file, or the first of several."""
        return self._path

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
    """One or more media files. Applying writes their stems beside the first under plain names."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open media files. Raises MediaError if none of them has sound; the others are skipped."""
        if not paths:
            raise MediaError(
                translate("Document", "There are no sound or video files in this folder."),
                code=Code.MEDIA_NO_AUDIO,
                advice=translate("Document", "Drop another folder, or files."),
            )
        super().__init__(paths[0])
        self._files: dict[str, PlainFile] = {}
        self._skipped: list[Skip] = []
        for path in dict.fromkeys(path.absolute() for path in paths):
            try:
                source = MediaSource(str(path))
                self._files[str(path)] = PlainFile(source, media_facts(source))
            except StemlineError as error:
                if len(paths) == 1:
                    raise
                self._skipped.append(Skip(path.name, path.parent.name, Fraction(0), error.code, str(error)))
        if not self._files:
            raise MediaError(self._skipped[0].reason, code=self._skipped[0].code)

    @property
    def key(self) -> str:
        """The absolute path, or the number of files and a digest of their paths."""
        if len(self._files) == 1:
            return super().key
        return f"{len(self._files)} files {stable_digest(tuple(self._files))}"

    @property
    def label(self) -> str:
        """The name of the file, or of the folder of the first of several."""
        return self._path.name if len(self._files) == 1 else self._path.parent.name

    @property
    def default_output(self) -> Path:
        """The folder `NAME stems` beside the file, or one folder for several files."""
        if len(self._files) == 1:
            return super().default_output
        return self._path.parent / f"{self._path.parent.name} stems"

    @property
    def apply_label(self) -> str:
        """The label of Apply."""
        return translate("Document", "Save the stems")

    @property
    def capabilities(self) -> HostCapabilities:
        """The capabilities of a plain file."""
        return next(iter(self._files.values())).capabilities

    def read(self) -> ReadClips:
        """Return each whole file as one clip."""
        clips = [clip for file in self._files.values() for clip in file.read_clips(Selection()).clips]
        if len(clips) > 1:
            clips = [
                dataclasses.replace(clip, clip_id=f"file {clip.source.path}", track=Path(clip.source.path).parent.name)
                for clip in clips
            ]
        return ReadClips(tuple(clips), tuple(self._skipped))

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Run the same request again under plain names.

        The server has the stems already, so that files are only written. If other stems have these names, the whole set
        gets a number.
        """
        request = outcome.request
        settings = dataclasses.replace(outcome.settings, output_dir=folder, overwrite=False)
        host = CapturingHost(self.capabilities, request.clips)
        media = list(dict.fromkeys(clip.source.path for clip in request.clips))
        ranges = {
            clip.source.path: (clip.source_range.start, clip.source_range.end)
            for clip in request.clips
            if clip.source_range != self._files[clip.source.path].played
        }
        prepared = prepare(host, outcome.stems, settings)
        for number in count(1):
            namer = _NumberedNamer(FileNamer(folder, media, ranges), number)
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
    """An edit in a file, which is never changed. Applying writes `<edit>.stems.otio`, which grows with every apply."""

    grows = True

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        """Open an edit. `folder` is the folder of results unless it is the default one. Raises EditError."""
        super().__init__(path)
        self._folder = folder or self.default_output
        edit = self._open()
        self._capabilities = dataclasses.replace(edit.capabilities, removes_results=True)
        self._opened: Host | None = edit
        """The opened edit until its first read, because opening a large one takes long."""
        self._written = self._growing(self._folder)

    @property
    def apply_label(self) -> str:
        """The label of Apply."""
        return translate("Document", "Write {file}").format(file=f"{self._path.stem}.stems.otio")

    @property
    def capabilities(self) -> HostCapabilities:
        """The capabilities of the edit's format."""
        return self._capabilities

    def results(self) -> tuple[str, ...] | None:
        """Return the runs with stems in the written edit."""
        return self._written.keys()

    def applied_clips(self) -> frozenset[str] | None:
        """Return the clips with stems in the written edit."""
        return self._written.clip_ids()

    def read(self) -> ReadClips:
        """Read the clips of the edit from its file."""
        edit, self._opened = self._opened or self._open(), None
        return dataclasses.replace(edit.read_clips(Selection()), results=self.results())

    def apply(self, outcome: RunOutcome, folder: Path) -> AppliedResult:
        """Add the stems to the written edit, in place of earlier stems of the same clips.

        Raises EditError if the edit itself was changed.
        """
        key = outcome.request.digest
        self._written = self._growing(folder)
        outcome = with_remix_track(outcome, self.capabilities)
        part = AppliedPart(key, outcome.tracks, outcome.options.disable_clips, outcome.options.metadata)
        written = self._written.add(part, outcome.request.clips)
        names = {track.stem for track in outcome.tracks}
        tracks = tuple(name for name in written.tracks if name.split(" ")[0] in names) or written.tracks
        return AppliedResult(tracks, written.output, written.notes, written.result)

    def take_back(self, applied: AppliedResult) -> tuple[str, ...]:
        """Take the stems of a run out of the written edit again."""
        return self._written.remove(keys=(applied.handle,))

    def take_back_clips(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        """Take the stems of some clips out of the written edit again."""
        return self._written.remove(clip_ids=clip_ids)

    def _growing(self, folder: Path) -> GrowingEdit:
        return GrowingEdit(self._path, folder, edit_files_for(self._path))

    def _open(self) -> Host:
        try:
            unpack_to = self._path.parent / f"{self._path.name}.media"
            target = self._folder / f"{self._path.stem}.stems.otio"
            request = OpenRequest(self._path, target, EditOptions(), "", unpack_to)
            return edit_files_for(self._path).open_edit(request)
        except OSError as error:
            raise EditError(f"{self._path} cannot be read: {error.strerror}.") from error


class HostDocument(_WholeRuns):
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
    def path(self) -> Path | None:
        """None: the host holds its timeline."""
        return None

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


def _media_in(folder: Path) -> list[Path]:
    """Return the sound and video files in a folder and its subfolders, by their suffixes and sorted by name."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(names) if _is_media(name)]
        if len(found) >= _MAX_FILES:
            break
    return found[:_MAX_FILES]


def _is_media(name: str) -> bool:
    kind = mimetypes.guess_type(name)[0] or ""
    suffix = Path(name).suffix.lower()
    return not name.startswith(".") and (kind.startswith(("audio/", "video/")) or suffix in _OTHER_MEDIA)


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
