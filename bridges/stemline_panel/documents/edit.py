# SPDX-License-Identifier: GPL-3.0-or-later
"""An edit in a file as a document, whose result grows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from stemline.clips import StemTrack
from stemline.errors import EditError, UsageError
from stemline.hosts.base import Host, HostCapabilities, ReadClips, Selection
from stemline.hosts.edits import EditOptions, OpenRequest
from stemline.hosts.registry import edit_files_for
from stemline.paths import cache_dir
from stemline.workflow.growing_edit import GrowingEdit
from stemline.workflow.growing_state import AppliedPart
from stemline.workflow.recorded_prompts import read_recorded_stems
from stemline_panel.documents.base import FileDocument
from stemline_panel.model.formatting import translate
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.request import RunOutcome, stable_digest, with_remix_track


class EditDocument(FileDocument):
    """An edit in a file, which is never changed. Applying writes `<edit>.stems.otio`, which grows with every apply."""

    grows = True

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        """Open an edit. `folder` is the folder of results unless it is the default one. Raises EditError."""
        super().__init__(path)
        self._folder = folder or self.default_output
        self._unpacked = cache_dir() / "panel" / "media" / stable_digest((str(self._path),))
        """Folder for the media of a bundle: nothing lies beside the edit before Apply."""
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

    def applied_tracks(self) -> tuple[StemTrack, ...]:
        """Return the stem tracks of the written edit."""
        return self._written.tracks()

    def read(self) -> ReadClips:
        """Read the clips of the edit from its file.

        Of an edit that Stemline wrote, read the stems that it names, and also the disabled clips: Stemline disables the
        clips that it separates.
        """
        edit, self._opened = self._opened or self._open(), None
        is_own, notes = True, tuple[str, ...]()
        try:
            self.recorded_stems = tuple(read_recorded_stems(self._path))
        except EditError:
            is_own = False
        except UsageError as error:
            notes = (error.message,)
        read = edit.read_clips(Selection(include_disabled=is_own))
        return dataclasses.replace(read, notes=(*read.notes, *notes), results=self.results())

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
        return GrowingEdit(self._path, folder, edit_files_for(self._path), unpacked=self._unpacked)

    def _open(self) -> Host:
        try:
            target = self._folder / f"{self._path.stem}.stems.otio"
            request = OpenRequest(self._path, target, EditOptions(), "", self._unpacked)
            return edit_files_for(self._path).open_edit(request)
        except OSError as error:
            raise EditError(f"{self._path} cannot be read: {error.strerror}.") from error
