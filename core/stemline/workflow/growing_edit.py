"""One written edit that grows: each applied run adds its stems to it, and clips can be taken back."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from stemline.clips import ClipRange, StemClip, StemTrack
from stemline.errors import Code, EditError, OutputError
from stemline.files import output_errors, write_json
from stemline.hosts.base import Host, Selection, WriteOptions, Written
from stemline.hosts.edits import DeliveryRequest, EditFiles, EditOptions, OpenRequest
from stemline.locks import file_lock, lock_of
from stemline.paths import home_dir
from stemline.plan import safe_part
from stemline.trust.c2pa_files import sidecar_of as credentials_path
from stemline.workflow.growing_state import AppliedPart, GrowingState, read_state, state_to_json
from stemline.workflow.outputs import file_sha256
from stemline.workflow.sidecars import sidecar_of
from stemline_bridge import atomic_path, numbered

_NAME_CHARACTERS = 120
_SEQUENCES = {".xml": "xml", ".aaf": "aaf"}
"""Formats of edits in which the stems alone are written beside the `.otio`, for the program that wrote the edit."""


class GrowingEdit:
    """The written result of an edit file in one folder.

    Its state is in `home_dir()`, not in the folder. The file is written again only while it is byte for byte what
    Stemline wrote last; if another program changed it, a numbered file is started. A clip has the stems of one run:
    those of a later run replace them.

    Args:
        edit: The edit file.
        folder: Folder of the result.
        files: How the edit is opened.
        options: How the edit is read and written.
        unpacked: Folder into which the caller unpacked the media of a bundle to read its clips. The written edit has
            them in the folder of the result.

    Raises:
        EditError: The edit cannot be read.
        OutputError: A result cannot be written.
    """

    def __init__(
        self,
        edit: Path,
        folder: Path,
        files: EditFiles,
        options: EditOptions = EditOptions(),
        unpacked: Path | None = None,
    ) -> None:
        """Read the state."""
        self._unpacked = unpacked
        self._edit, self._folder, self._files, self._options = edit.absolute(), folder.absolute(), files, options
        digest = hashlib.sha256(f"{self._edit}\n{self._folder}".encode(errors="surrogateescape")).hexdigest()
        self._place = home_dir() / "edits" / f"{digest}.json"
        self._media = self._folder / f"{safe_part(self._edit.stem, _NAME_CHARACTERS)}.media"
        self._state = read_state(self._place)

    @property
    def output(self) -> Path | None:
        """Return the written edit; None if nothing is applied."""
        return Path(self._state.output) if self._state.output else None

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the runs with stems in the written edit, while that file exists."""
        return tuple(part.key for part in self._state.parts) if self.output and self.output.exists() else ()

    def clip_ids(self) -> frozenset[str]:
        """Return the ids of the clips with stems in the written edit, while that file exists."""
        parts = self._state.parts if self.keys() else ()
        return frozenset(clip_id for part in parts for clip_id in part.clip_ids)

    def stem_clips(self) -> tuple[StemClip, ...]:
        """Return the clips of all stems in the written edit, while that file exists."""
        return tuple(clip for part in self._state.parts if self.keys() for clip in _clips(part))

    def original_names(self) -> dict[str, str]:
        """Return the name of every clip of the edit by its id. Raises EditError."""
        edit = self._open(self.output or self._folder / self._edit.name)
        return {clip.clip_id: clip.name for clip in edit.read_clips(Selection(include_disabled=True)).clips}

    def tracks(self) -> tuple[StemTrack, ...]:
        """Return the stem tracks of the written edit, to which the next `add` adds; none where it starts a new file."""
        output = self.output
        usable = output is not None and output.exists() and self._is_unchanged(output)
        return tuple(_merged(self._state.parts)) if usable else ()

    def add(self, part: AppliedPart, clips: Sequence[ClipRange]) -> Written:
        """Add the stems of a run, in place of earlier stems of the same clips, and return what was written.

        Stem files outside the folder are copied into it.

        Args:
            part: The run.
            clips: Its clips as they were read. EditError is raised if one of them has moved in the edit since.
        """
        self._place.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(lock_of(self._place)):
            self._state = read_state(self._place)
            current, notes = self._usable_parts()
            before = current
            current = [old for one in current if (old := one.without(part.clip_ids)).tracks]
            target = self._target(fresh=not before)
            was_there = self._media.exists()
            edit = self._open(target)
            positions = self._positions(edit)
            moved = [clip.name for clip in clips if positions.get(clip.clip_id) != self._position(clip)]
            if moved:
                raise EditError(
                    f"{self._edit.name} was changed since it was read: {_names(moved)} moved or changed.",
                    advice="Read it again (F5) and separate again; unchanged clips are reused.",
                )
            current, left_out = self._without_moved(current, positions)
            notes += left_out
            copied, stamps = self._copy_in(part)
            if not was_there:
                stamps |= {str(file): _stamp(file) for file in self._media.rglob("*") if file.is_file()}
            self._state = dataclasses.replace(self._state, stamps={**self._state.stamps, **stamps})
            written = self._write(edit, target, [*current, copied], positions)
            self._delete_unused(before)
            return dataclasses.replace(written, notes=(*notes, *written.notes), result=part.key)

    def remove(self, *, keys: Collection[str] = (), clip_ids: Collection[str] = ()) -> tuple[str, ...]:
        """Take back runs by their keys, or the stems of clips, and return notes on what stays.

        What was written is deleted unless it was changed since. Without any stems left, the written edit goes, too.
        """
        with file_lock(lock_of(self._place)):
            self._state = read_state(self._place)
            before = list(self._state.parts)
            left = [part.without(clip_ids) for part in before if part.key not in keys]
            left = [part for part in left if part.tracks]
            output = self.output
            if output is None or left == before:
                return ()
            if output.exists() and not self._is_unchanged(output):
                return (f"{output.name} was changed since, so it stays.",)
            notes: list[str] = []
            if left and output.exists():
                edit = self._open(output)
                positions = self._positions(edit)
                left, notes = self._without_moved(left, positions)
                if left:
                    written = self._write(edit, output, left, positions)
                    self._delete_unused(before)
                    return (*notes, *written.notes)
            notes += [note for path in self._state.hashes if (note := self._delete(Path(path)))]
            self._state = GrowingState(stamps=self._state.stamps)
            self._delete_unused(before)
            for file in self._media.rglob("*"):
                self._delete_copied(file)
            self._place.unlink(missing_ok=True)
            _remove_empty(self._folder / "stems", self._media / "media", self._media, self._folder)
            return tuple(notes)

    # -- private -------------------------------------------------------------------------------------------------------

    def _usable_parts(self) -> tuple[list[AppliedPart], list[str]]:
        """Return the parts that the written edit still holds, and a note if it cannot grow any more."""
        output = self.output
        if output is None or not output.exists():
            return [], []
        if not self._is_unchanged(output):
            return [], [f"{output.name} was changed by another program, so a new file was started."]
        missing = [clip.path for part in self._state.parts for clip in _clips(part) if not Path(clip.path).is_file()]
        if missing:
            return [], [f"Stem files of {output.name} are missing, so a new file was started."]
        return list(self._state.parts), []

    def _without_moved(
        self, parts: Sequence[AppliedPart], positions: Mapping[str, str]
    ) -> tuple[list[AppliedPart], list[str]]:
        """Return the parts without the clips that have moved in the edit since they were written, and a note on them.

        Ids are positions: in a changed edit they can name other clips.
        """
        known = self._state.positions
        ids = {clip_id for part in parts for clip_id in part.clip_ids}
        moved = {clip_id for clip_id in ids if positions.get(clip_id) != known.get(clip_id, "")}
        if not moved:
            return list(parts), []
        names = [clip.name for part in parts for clip in _clips(part) if clip.clip_id in moved]
        note = (
            f"{_names(names)}: left out, because their clips moved or changed in {self._edit.name}. "
            "Separate them again; sound that was separated before is reused."
        )
        return [rest for part in parts if (rest := part.without(moved)).tracks], [note]

    def _target(self, *, fresh: bool) -> Path:
        """Return the file to write: the one that grows, or a name that no file has."""
        if not fresh and self.output is not None:
            return self.output
        base = safe_part(self._edit.stem, _NAME_CHARACTERS)
        names = (f"{name}.stems.otio" for name in numbered(base))
        return next(path for name in names if not (path := self._folder / name).exists())

    def _open(self, target: Path) -> Host:
        request = OpenRequest(self._edit, target, self._options, "", self._media)
        try:
            return self._files.open_edit(request)
        except OSError as error:
            raise EditError(f"{self._edit} cannot be read: {error.strerror}.") from error

    def _copy_in(self, part: AppliedPart) -> tuple[AppliedPart, dict[str, str]]:
        """Return the part with its stem files in the folder, and the stamps of those that were copied now."""
        places: dict[str, str] = {}
        stamps: dict[str, str] = {}
        for path in dict.fromkeys(clip.path for clip in _clips(part)):
            source = Path(path)
            place = self._folder / "stems" / source.name
            if not source.is_relative_to(self._folder):
                with output_errors(place):
                    for file, copy in zip(_files_of(source), _files_of(place), strict=True):
                        if file.is_file() and not (copy.is_file() and copy.stat().st_size == file.stat().st_size):
                            with atomic_path(copy) as part_file:
                                shutil.copy2(file, part_file)
                            stamps[str(copy)] = _stamp(copy)
                places[path] = str(place)
        tracks = tuple(
            dataclasses.replace(
                track,
                clips=tuple(dataclasses.replace(clip, path=places.get(clip.path, clip.path)) for clip in track.clips),
            )
            for track in part.tracks
        )
        return dataclasses.replace(part, tracks=tracks), stamps

    def _write(self, edit: Host, target: Path, parts: Sequence[AppliedPart], positions: Mapping[str, str]) -> Written:
        disabled = tuple(dict.fromkeys(clip_id for part in parts for clip_id in part.disabled))
        written = edit.write_tracks(_merged(parts), WriteOptions(disabled, _merged_metadata(parts)))
        exported, notes = self._export(target, written)
        hashes = {str(path): file_sha256(path) for path in (target, *exported)}
        held = {clip_id: positions[clip_id] for part in parts for clip_id in part.clip_ids}
        self._state = GrowingState(tuple(parts), str(target), hashes, self._state.stamps, held)
        write_json(self._place, state_to_json(self._state), durable=True)
        return dataclasses.replace(written, notes=(*written.notes, *notes))

    def _export(self, target: Path, written: Written) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        """Write the stems alone in the format of the edit, if programs import that one rather than OTIO."""
        kind = _SEQUENCES.get(self._edit.suffix.lower())
        if kind is None:
            return (), ()

        def choose(suffix: str, recipe: str) -> Path:
            base = target.name.removesuffix(".stems.otio")
            names = (f"{name}{suffix}" for name in numbered(base))
            paths = (self._folder / name for name in names)
            return next(path for path in paths if not path.exists() or self._is_unchanged(path))

        options = dataclasses.replace(self._options, to=(kind,))
        delivered = self._files.deliver(DeliveryRequest(target, written.tracks, options, choose, lambda path: None))
        return delivered.paths, (*delivered.notes, *(str(error) for error in delivered.failed))

    def _is_unchanged(self, path: Path) -> bool:
        return self._state.hashes.get(str(path)) == file_sha256(path)

    def _delete(self, path: Path) -> str:
        """Delete a written file unless it was changed. Return a note if it stays."""
        if not path.exists():
            return ""
        if not self._is_unchanged(path):
            return f"{path.name} was changed since, so it stays."
        try:
            path.unlink()
        except OSError as error:
            raise OutputError(f"{path} cannot be deleted: {error.strerror}.", code=Code.OUTPUT_UNWRITABLE) from error
        return ""

    def _delete_unused(self, before: Iterable[AppliedPart]) -> None:
        """Delete the copied stem files that no part uses any more, unless they were changed since."""
        used = {clip.path for part in self._state.parts for clip in _clips(part)}
        for path in {clip.path for part in before for clip in _clips(part)} - used:
            for file in _files_of(Path(path)):
                self._delete_copied(file)

    def _delete_copied(self, file: Path) -> None:
        """Delete a file that was copied into the folder, unless it was changed since."""
        if str(file) in self._state.stamps and self._state.stamps[str(file)] == _stamp(file):
            file.unlink(missing_ok=True)

    def _positions(self, edit: Host) -> dict[str, str]:
        """Return the hashed position of every clip of an edit, by its id."""
        clips = edit.read_clips(Selection(include_disabled=True)).clips
        return {clip.clip_id: self._position(clip) for clip in clips}

    def _position(self, clip: ClipRange) -> str:
        """Return a hash of the media of a clip, of its range there, and of its range on the timeline.

        Media out of a bundle is the same wherever it was unpacked.
        """
        path = Path(clip.source.path)
        folder = next((one for one in (self._media, self._unpacked) if one and path.is_relative_to(one)), None)
        source = clip.source
        if folder is not None:
            source = dataclasses.replace(source, path=path.relative_to(folder).as_posix())
        position = repr((source, clip.source_range, clip.record_range))
        return hashlib.sha256(position.encode(errors="surrogateescape")).hexdigest()


def _merged(parts: Iterable[AppliedPart]) -> list[StemTrack]:
    """Return the tracks of all parts, with the clips of equal tracks on one of them."""
    tracks: dict[tuple[object, ...], StemTrack] = {}
    for track in (track for part in parts for track in part.tracks):
        key = track.key
        clips = (*tracks[key].clips, *track.clips) if key in tracks else track.clips
        ordered = tuple(sorted(clips, key=lambda clip: clip.record_range.start))
        tracks[key] = dataclasses.replace(tracks.get(key, track), clips=ordered)
    return list(tracks.values())


def _merged_metadata(parts: Sequence[AppliedPart]) -> Mapping[str, object]:
    """Return the settings of the last run with the stems of all, as far as they have tracks; the last of a name."""
    stems: dict[str, object] = {}
    for part in parts:
        tracks = {track.stem for track in part.tracks}
        recorded = part.metadata.get("stems")
        for stem in recorded if isinstance(recorded, list) else []:
            if stem["name"] in tracks:
                stems[stem["name"]] = stem
    return {**parts[-1].metadata, "stems": list(stems.values())} if stems else parts[-1].metadata


def _clips(part: AppliedPart) -> Iterator[StemClip]:
    return (clip for track in part.tracks for clip in track.clips)


def _names(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + more


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _files_of(sound: Path) -> tuple[Path, ...]:
    """Return a stem file with its record and its Content Credentials, which need not exist."""
    return sound, sidecar_of(sound), credentials_path(sound)


def _stamp(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"
