# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of documents, and the common parts of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stemline.clips import ClipRange, StemTrack
from stemline.errors import Code, HostError, MediaError
from stemline.hosts.base import HostCapabilities, ReadClips, Rendered
from stemline.prompts import StemRequest
from stemline.workflow.sidecars import sidecar_of
from stemline_panel.model.formatting import translate
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.request import RunOutcome


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

    @property
    def recorded_stems(self) -> tuple[StemRequest, ...]:
        """The stems that the document names, once it is read: those of the run that wrote it; else none."""
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

    def applied_tracks(self) -> tuple[StemTrack, ...]:
        """Return the stem tracks to which the next Apply adds."""
        ...

    def take_back_clips(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        """Take back the stems of some clips. Return notes on what stayed. Raises HostError if it cannot."""
        ...

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        """Render the clip as it sounds in the host, effects included. Raises HostError if the host cannot."""
        ...


class WholeRuns:
    """Common parts of documents in which whole runs are applied and taken back."""

    grows = False
    recorded_stems: tuple[StemRequest, ...] = ()

    def results(self) -> tuple[str, ...] | None:
        """Return None: only reading the document tells."""
        return None

    def applied_clips(self) -> frozenset[str] | None:
        """Return None: it is not known."""
        return None

    def applied_tracks(self) -> tuple[StemTrack, ...]:
        """Return none: every Apply adds tracks or files."""
        return ()

    def take_back_clips(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        """Raise HostError."""
        raise HostError(translate("Document", "Here only whole results can be taken back."), code=Code.HOST_UNSUPPORTED)


class FileDocument(WholeRuns):
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
        return delete_unchanged(applied)

    def render(self, clip: ClipRange, folder: Path) -> Rendered:
        """Raise HostError: there is no host."""
        raise HostError("Rendering needs a host program.", code=Code.HOST_UNSUPPORTED)


def with_sidecars(paths: list[Path]) -> list[Path]:
    """Return the files and their sidecars, as far as they exist."""
    return [file for path in paths for file in (path, sidecar_of(path)) if file.is_file()]


def file_states(paths: list[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return path, size and modification time of each file, which tell later whether it was changed."""
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)


def delete_unchanged(applied: AppliedResult) -> tuple[str, ...]:
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
