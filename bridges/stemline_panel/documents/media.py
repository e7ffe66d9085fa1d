# SPDX-License-Identifier: GPL-3.0-or-later
"""Media files as a document: each whole file is a clip."""

from __future__ import annotations

import dataclasses
import mimetypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path

from stemline.api.running import Plan, Run
from stemline.clips import MediaFacts, MediaSource, Skip
from stemline.errors import Code, MediaError, OutputError, StemlineError, UsageError
from stemline.hosts.base import HostCapabilities, ReadClips, Selection
from stemline.hosts.plain_files import PlainFile
from stemline.media import media_facts
from stemline.plan import StemSegment
from stemline.workflow import FileNamer, prepare
from stemline.workflow.outputs import Namer
from stemline_panel.documents.base import FileDocument, file_states, with_sidecars
from stemline_panel.model.formatting import translate
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.request import CapturingHost, RunOutcome, stable_digest

_MAX_NUMBER = 99
_MAX_FILES = 1000
_OTHER_MEDIA = (".mxf", ".mts", ".m2ts", ".flac", ".bwf", ".w64", ".rf64", ".caf", ".mkv", ".opus", ".m4a")


@dataclass(frozen=True, slots=True)
class _NumberedNamer:
    """Adds `-NUMBER` to the names of `plain`, except for number 1."""

    plain: Namer
    number: int

    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        path = self.plain(segment, facts, stem, fingerprint)
        return path if self.number == 1 else path.with_name(f"{path.name}-{self.number}")


class MediaDocument(FileDocument):
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
        return AppliedResult(tuple(path.name for path in paths), str(folder), files=file_states(with_sidecars(paths)))


def media_in(folder: Path) -> list[Path]:
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
