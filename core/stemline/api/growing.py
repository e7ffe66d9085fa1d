"""One written edit that grows: the host that adds a run to it, and taking clips back."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from stemline.api.files import PathText
from stemline.clips import ClipRange, StemTrack
from stemline.errors import Code, EditError
from stemline.hosts.base import Host, HostCapabilities, ReadClips, Selection, WriteOptions, Written
from stemline.hosts.edits import EditOptions
from stemline.hosts.registry import edit_files_for
from stemline.workflow.growing_edit import GrowingEdit
from stemline.workflow.growing_state import AppliedPart


class ChosenClips:
    """An edit of which only the clips of some names are separated. `growing` gets the tracks, if there is one."""

    def __init__(self, edit: Host, names: Collection[str], growing: GrowingEdit | None = None, key: str = "") -> None:
        """Read from `edit`; without `names`, every clip. `key` identifies the run in the growing edit."""
        self._edit, self._names, self._growing, self._key = edit, names, growing, key
        self._clips: tuple[ClipRange, ...] = ()

    @property
    def capabilities(self) -> HostCapabilities:
        """Return what the edit can hold."""
        return self._edit.capabilities

    def read_clips(self, selection: Selection) -> ReadClips:
        """Return the chosen clips. Raises EditError if no clip has one of the names."""
        read = self._edit.read_clips(selection)
        if self._names:
            known = {clip.name for clip in read.clips} | {skip.clip for skip in read.skipped}
            if unknown := sorted(set(self._names) - known):
                raise EditError(
                    f"The edit has no clip {', '.join(unknown)}.",
                    code=Code.EDIT_NO_CLIPS,
                    advice="Names of clips are listed by --dry-run and in the report.",
                )
            clips = tuple(clip for clip in read.clips if clip.name in self._names)
            skipped = tuple(skip for skip in read.skipped if skip.clip in self._names)
            read = dataclasses.replace(read, clips=clips, skipped=skipped)
        self._clips = read.clips
        return read

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Write the tracks into the edit, or add them to the growing one."""
        if self._growing is None:
            return self._edit.write_tracks(tracks, options)
        part = AppliedPart(self._key, tuple(tracks), options.disable_clips, options.metadata)
        return self._growing.add(part, [clip for clip in self._clips if clip.clip_id in part.clip_ids])


def take_back(
    edit: PathText, *, output: PathText, clips: Sequence[str] = (), options: EditOptions = EditOptions()
) -> tuple[str, ...]:
    """Take the stems of clips out of an edit that `separate_edit(..., extend=True)` or the panel wrote.

    Without any stems left, the written edit is deleted, too. What another program changed since stays. Stem files that
    a run wrote into the folder stay for the next run; those that the panel copied there are deleted.

    Args:
        edit: Path of the edit that was separated.
        output: Folder of the results.
        clips: Names of clips; empty for all.
        options: How the edit is read.

    Returns:
        Sentences on what stays and why.

    Raises:
        EditError: The edit cannot be read, or no clip of that name has stems.
        OutputError: A result cannot be written or deleted.

    Examples:
        >>> import stemline
        >>> result = stemline.separate_edit("edit.otio", {"dialogue": "speech"}, output="grown", extend=True)
        >>> stemline.take_back("edit.otio", output="grown", clips=["interview"])
        ()
    """
    path = Path(edit).absolute()
    growing = GrowingEdit(path, Path(output).absolute(), edit_files_for(path), options)
    named = {clip.clip_id: clip.name for clip in growing.stem_clips()}
    if not named:
        raise EditError(
            f"Stemline has written no growing edit of {path.name} into {Path(output).absolute()}.",
            advice="Name the folder that was given with --output.",
        )
    if not clips:
        return growing.remove(keys=growing.keys())
    originals = growing.original_names()
    wanted = {clip_id for clip_id in named if originals.get(clip_id) in clips}
    if unknown := sorted(set(clips) - {originals[clip_id] for clip_id in wanted}):
        raise EditError(f"No clip named {', '.join(unknown)} has stems in {path.name}.", code=Code.EDIT_NO_CLIPS)
    return growing.remove(clip_ids=wanted)
