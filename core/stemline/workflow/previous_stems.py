"""Find the stem files of earlier runs by their sidecars, and claim files before they are written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stemline.clips import RESIDUAL, MediaFacts, MediaSource
from stemline.errors import Code, OutputError
from stemline.files import write_json
from stemline.locks import file_lock, is_alive, lock_of
from stemline.plan import Finished
from stemline.trust.c2pa_files import sidecar_of as credentials_path
from stemline.workflow.record import RecordedFile, StemRecord
from stemline.workflow.results import Null
from stemline.workflow.settings import Settings
from stemline.workflow.sidecars import WritingMark, read_sidecar, sidecar_path
from stemline_bridge.files import PART_NAME

_States = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A stem file that is on disk as its sidecar says."""

    path: Path
    record: StemRecord

    @property
    def facts(self) -> RecordedFile:
        """The part of the record that a sidecar alone holds."""
        if self.record.file is None:
            raise ValueError("The record of a finished file has no file.")
        return self.record.file


def find_finished(paths: Mapping[str, Path], fingerprints: Mapping[str, str]) -> dict[str, FinishedFile] | None:
    """Return the files of a set by stem name, or None.

    Every file must be there, have the expected fingerprint, and have the size that it was written with.

    Args:
        paths: The path of each file without suffix, by stem name.
        fingerprints: The fingerprint of each file, by stem name.
    """
    found: dict[str, FinishedFile] = {}
    for name, path in paths.items():
        record = read_sidecar(sidecar_path(path))
        if not isinstance(record, StemRecord) or record.file is None:
            return None
        if record.kind == "stem" and record.null is None:
            return None
        audio = path.with_name(record.file.name)
        try:
            if record.file.fingerprint != fingerprints[name] or audio.stat().st_size != record.file.size_bytes:
                return None
        except OSError:
            return None
        found[name] = FinishedFile(audio, record)
    return found


def is_enough(files: Mapping[str, FinishedFile], settings: Settings) -> bool:
    """Return whether finished files are signed as `sign` and `c2pa` require. Others are written again."""
    if settings.sign == "require" and not all(file.record.signature is not None for file in files.values()):
        return False
    return settings.c2pa != "require" or all(file.facts.credentials for file in files.values())


def null_of(files: Mapping[str, FinishedFile]) -> Null:
    """Return the null that was measured when the set was written."""
    null = next(iter(files.values())).record.null
    return Null(null.peak, null.dbfs) if null else Null.of(0.0)


def check_free(paths: Mapping[str, Path], fingerprints: Mapping[str, str]) -> None:
    """Check that no other file, and no other run, is in the way.

    Args:
        paths: The path of each file without suffix, by stem name.
        fingerprints: The fingerprint of each file, by stem name. A file with it may be written again.

    Raises:
        OutputError: OUTPUT_EXISTS.
    """
    for name, path in paths.items():
        there = read_sidecar(sidecar_path(path))
        if _fingerprint(there) == fingerprints[name]:
            continue
        if isinstance(there, WritingMark) and _is_running(there.process):
            raise OutputError(
                f"Another run is writing {path}.",
                code=Code.OUTPUT_EXISTS,
                advice="Wait for that run and give --overwrite, or choose another folder with -o.",
            )
        others = [credentials_path(path.with_name(f"{path.name}.wav"))] if there is None else []
        for file in (*_audio_of(path), *others):
            if file.exists():
                raise OutputError(
                    f"{file} already exists.",
                    code=Code.OUTPUT_EXISTS,
                    advice="Give --overwrite to replace it, or choose another folder with -o.",
                )


def sweep(folder: Path) -> None:
    """Delete the temporary files and folders that killed runs left in a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # the folder may not exist yet
        for entry in entries:
            owner = PART_NAME.fullmatch(entry.name)
            if owner and not is_alive(int(owner["pid"])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)


@contextlib.contextmanager
def claim(
    paths: Mapping[str, Path], fingerprints: Mapping[str, str], *, overwrite: bool, in_cells: bool = False
) -> Iterator[None]:
    """Mark the files of a set as being written for as long as the block runs.

    Another run that writes the same set waits, so that no file gets the sidecar of another run.
    After a kill, the marks show that the files are unfinished work and may be written again. After an error, the marks
    are removed and the previous sidecars restored, except where a new file is already in place.

    Args:
        paths: The path of each file without suffix, by stem name.
        fingerprints: The fingerprint of each file, by stem name.
        overwrite: Whether other files may be replaced.
        in_cells: Whether the stems are joined from cells.

    Raises:
        OutputError: As `check_free` does, unless `overwrite`.
    """
    sidecars = {name: sidecar_path(path) for name, path in paths.items()}
    first = next(iter(paths.values()))
    with file_lock(lock_of(first)):
        with file_lock(lock_of(first.parent)):
            if not overwrite:
                check_free(paths, fingerprints)
            before = {name: (_audio_states(path), read_sidecar(sidecars[name])) for name, path in paths.items()}
            for name, sidecar in sidecars.items():
                write_json(sidecar, WritingMark(fingerprints[name], os.getpid(), in_cells).to_json())
        with contextlib.ExitStack() as undo:
            for name, (states, record) in before.items():
                undo.callback(_restore, paths[name], states, record)
            yield
            undo.pop_all()


def _restore(path: Path, states: _States, record: StemRecord | WritingMark | None) -> None:
    """Put the previous sidecar back, unless a new file is in place. A failure leaves the mark."""
    with contextlib.suppress(OSError, OutputError):
        now = _audio_states(path)
        if now and now == states and isinstance(record, StemRecord):
            write_json(sidecar_path(path), record.to_json())
        elif not now or now == states:
            sidecar_path(path).unlink(missing_ok=True)


def _audio_states(path: Path) -> _States:
    """Return what identifies the audio files at `path` without reading them."""
    found = []
    for audio in _audio_of(path):
        with contextlib.suppress(OSError):
            facts = audio.stat()
            found.append((audio.name, facts.st_ino, facts.st_mtime_ns, facts.st_size))
    return tuple(found)


def _audio_of(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in (".wav", ".flac"))


def _fingerprint(record: StemRecord | WritingMark | None) -> str:
    if isinstance(record, WritingMark):
        return record.fingerprint
    return record.file.fingerprint if record and record.file else ""


def _is_running(process: int) -> bool:
    return process != os.getpid() and is_alive(process)


_Key = tuple[str, int, tuple[int, ...], bool, int]


def finished_sets(folder: Path, facts: Mapping[MediaSource, MediaFacts]) -> dict[MediaSource, tuple[Finished, ...]]:
    """Return the ranges of the stem sets in `folder` for each source that they may be of.

    Media is matched by file name, stream, channels and rate, because folders move between versions of an edit; the hash
    of its sound decides later. Sidecars that cannot be read are ignored.

    Args:
        folder: The folder of the stem files of an edit.
        facts: The sources of the run.
    """
    found: dict[_Key, set[Finished]] = defaultdict(set)
    for path in sorted(folder.glob(f"{RESIDUAL}_*.json")):
        record = read_sidecar(path)
        if isinstance(record, StemRecord) and record.file is not None:
            held, extent = record.source.range, record.file.extent
            if held.length > 0 and extent.length > 0:
                in_cells = record.file.cell_samples > 0
                found[_key_of_record(record)].add(Finished(held, extent, in_cells))
    return {
        source: tuple(sorted(sets, key=lambda f: (f.range, f.extent, f.in_cells)))
        for source, media in facts.items()
        if (sets := found.get(_key_of_source(source, media)))
    }


def _key_of_record(record: StemRecord) -> _Key:
    source = record.source
    return source.name, source.stream, source.channels, record.settings.channels == "mono", source.sample_rate


def _key_of_source(source: MediaSource, media: MediaFacts) -> _Key:
    return Path(source.path).name, source.stream, media.channels_of(source), source.mono, media.sample_rate
