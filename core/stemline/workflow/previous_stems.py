"""Stem files that earlier runs wrote: found by their sidecars, reused, and claimed before they are written again."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from stemline.clips import RESIDUAL, MediaFacts, MediaSource, SampleRange
from stemline.errors import Code, OutputError
from stemline.files import write_json
from stemline.locks import file_lock, is_alive, lock_of
from stemline.plan import Finished
from stemline.workflow.record import sidecar_path
from stemline.workflow.results import Null
from stemline_bridge.atomic import PART_NAME

_States = tuple[tuple[str, int, int, int], ...]
_PARTS = {"file": dict, "null": dict, "found": bool, "warnings": list, "waveform": list, "mix_waveform": list}


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A stem file that stands on disk as its sidecar says. `record` is the whole sidecar."""

    path: Path
    record: Mapping[str, Any]


def find_finished(paths: Mapping[str, Path], fingerprints: Mapping[str, str]) -> dict[str, FinishedFile] | None:
    """The files of a whole set if every one is there, of the right work, and of the size it was written with."""
    found: dict[str, FinishedFile] = {}
    for name, path in paths.items():
        record = _read(sidecar_path(path))
        if record.get("work") != fingerprints[name] or not _is_complete(record):
            return None
        audio = path.with_name(str(record["file"].get("name")))
        try:
            if audio.stat().st_size != record["file"].get("bytes"):
                return None
        except OSError:
            return None
        found[name] = FinishedFile(audio, record)
    return found


def _is_complete(record: Mapping[str, Any]) -> bool:
    """Whether a sidecar has what a finished file's has: others write into this folder too."""
    return all(isinstance(record.get(key), kind) for key, kind in _PARTS.items())


def null_of(files: Mapping[str, FinishedFile]) -> Null:
    """The null that was measured when the set was written."""
    null = next(iter(files.values())).record["null"]
    return Null(float(null["peak"]), float(null["dbfs"]))


def check_free(paths: Mapping[str, Path], fingerprints: Mapping[str, str]) -> None:
    """Raises OutputError (OUTPUT_EXISTS) where a file stands, or is being written, that is not this work's own."""
    for name, path in paths.items():
        record = _read(sidecar_path(path))
        if record.get("work") == fingerprints[name]:
            continue
        if _is_at_work(record.get("process")):
            raise OutputError(
                f"{path} is being written by another run.",
                code=Code.OUTPUT_EXISTS,
                advice="Wait for that run and give --overwrite, or another folder with -o.",
            )
        for audio in _audio_of(path):
            if audio.exists():
                raise OutputError(
                    f"{audio} is there already.",
                    code=Code.OUTPUT_EXISTS,
                    advice="Give --overwrite to replace it, or another folder with -o.",
                )


def sweep(folder: Path) -> None:
    """Removes the half files that killed runs left in a folder under their temporary names."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # the folder may not be there yet
        for entry in entries:
            owner = PART_NAME.fullmatch(entry.name)
            if owner and not is_alive(int(owner["pid"])):
                Path(entry.path).unlink(missing_ok=True)


@contextlib.contextmanager
def claim(paths: Mapping[str, Path], fingerprints: Mapping[str, str], *, overwrite: bool) -> Iterator[None]:
    """Marks the places of a set as being written by this work.

    After a kill the marks say that what stands there is our own unfinished work and may be written anew. After an error
    they are taken back, with what was there before, save where new sound has its place already. Raises OutputError as
    `check_free` does, unless `overwrite`.
    """
    mark = {"state": "writing", "process": os.getpid()}
    sidecars = {name: sidecar_path(path) for name, path in paths.items()}
    with file_lock(lock_of(next(iter(paths.values())).parent)):
        if not overwrite:
            check_free(paths, fingerprints)
        before = {name: (_audio_states(path), _read(sidecars[name])) for name, path in paths.items()}
        for name, sidecar in sidecars.items():
            write_json(sidecar, {"work": fingerprints[name], **mark})
    try:
        yield
    except BaseException:
        for name, (states, record) in before.items():
            with contextlib.suppress(OSError, OutputError):
                _take_back(paths[name], states, record)
        raise


def _take_back(path: Path, states: _States, record: Mapping[str, Any]) -> None:
    now = _audio_states(path)
    if now and now == states and "file" in record:
        write_json(sidecar_path(path), record)
    elif not now or now == states:
        sidecar_path(path).unlink(missing_ok=True)


def _audio_states(path: Path) -> _States:
    """What tells the sound that stands there from any other, without reading it."""
    found = []
    for audio in _audio_of(path):
        with contextlib.suppress(OSError):
            facts = audio.stat()
            found.append((audio.name, facts.st_ino, facts.st_mtime_ns, facts.st_size))
    return tuple(found)


def _audio_of(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in (".wav", ".flac"))


def _is_at_work(process: object) -> bool:
    return isinstance(process, int) and process != os.getpid() and is_alive(process)


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


_Key = tuple[str, int, tuple[int, ...], bool, int]


def finished_sets(folder: Path, facts: Mapping[MediaSource, MediaFacts]) -> dict[MediaSource, tuple[Finished, ...]]:
    """The ranges of stem sets in `folder`, for each source whose name and channels they were made from.

    Media is matched by file name, because folders move between versions of an edit; the hash of its sound decides
    later. Sidecars that cannot be read are passed over.
    """
    found: dict[_Key, set[Finished]] = defaultdict(set)
    for record in _records(folder):
        key = _key_of_record(record)
        held = _finished(record) if key is not None else None
        if key is not None and held is not None:
            found[key].add(held)
    return {
        source: tuple(sorted(sets, key=lambda f: (f.range, f.extent)))
        for source, media in facts.items()
        if (sets := found.get(_key_of_source(source, media)))
    }


def _records(folder: Path) -> Iterable[dict[str, Any]]:
    for path in sorted(folder.glob(f"{RESIDUAL}_*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            yield record


def _key_of_record(record: Mapping[str, Any]) -> _Key | None:
    source, settings = record.get("source"), record.get("settings")
    if not (isinstance(source, dict) and isinstance(settings, dict) and isinstance(source.get("channels"), list)):
        return None
    media, stream, rate = source.get("media"), source.get("stream"), source.get("sample_rate")
    channels = tuple(channel for channel in source["channels"] if isinstance(channel, int))
    if not (isinstance(media, str) and isinstance(stream, int) and isinstance(rate, int)):
        return None
    name = PurePosixPath(unquote(media.rpartition("/")[2])).name
    return name, stream, channels, settings.get("channels") == "mono", rate


def _key_of_source(source: MediaSource, media: MediaFacts) -> _Key:
    return Path(source.path).name, source.stream, media.channels_of(source), source.mono, media.sample_rate


def _finished(record: Mapping[str, Any]) -> Finished | None:
    source, extent = record["source"], record.get("extent")
    bounds = [source.get("start_sample"), source.get("end_sample"), *(extent if isinstance(extent, list) else ())]
    if len(bounds) != 4 or not all(isinstance(bound, int) for bound in bounds):
        return None
    held, taken = SampleRange(bounds[0], bounds[1]), SampleRange(bounds[2], bounds[3])
    return Finished(held, taken) if held.length > 0 and taken.length > 0 else None
