"""Watch a folder and separate what appears in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any

from stemline.api.files import PathText
from stemline.api.results import EditResult
from stemline.api.starting import start
from stemline.api.stems import Stem, Stems, stem_list
from stemline.clips import MediaSource
from stemline.errors import Cancelled, Code, NoServerError, StemlineError, UsageError, WarningCode
from stemline.files import output_errors, printable, write_json, write_text
from stemline.hosts.edits import EditOptions
from stemline.hosts.registry import host_list
from stemline.locks import lock_of, try_lock
from stemline.media import media_facts
from stemline.plan import plain_part
from stemline.workflow import Progress, Settings
from stemline.workflow.results import Notice
from stemline_bridge import numbered, read_json_object

OUTPUT_FOLDER = "Stemline"
_JOURNAL, _FAILED = "watch.json", "failed"
_MEDIA = (
    *(
        ".wav",
        ".bwf",
        ".rf64",
        ".w64",
        ".aif",
        ".aiff",
        ".caf",
        ".flac",
        ".mp3",
        ".m4a",
        ".aac",
        ".ogg",
        ".opus",
        ".wv",
    ),
    *(".mp4", ".mov", ".m4v", ".mxf", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv"),
)
_OWN_SUFFIX = ".stems.otio"
_LATER = (Code.DISK_FULL, Code.DISK_QUOTA, Code.OUTPUT_UNWRITABLE)  # no fault of the file
_ARRIVING = (Code.MEDIA_UNREADABLE, Code.MEDIA_EMPTY, Code.EDIT_UNREADABLE)
_POLL_S = 0.5
_PATIENCE_S = 60.0
_RETRY_S = 15.0


class WatchState(StrEnum):
    """The state of a file in a watched folder.

    Examples:
        >>> import stemline
        >>> stemline.WatchState.DONE == "done"
        True
    """

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A change of the state of a file in a watched folder.

    Attributes:
        path: The file that appeared.
        state: Its new state.
        message: Why it waits or failed, which part of it failed, or that its media is cut short; else empty.
        output: For a finished edit the new edit, for finished media the folder of its stems; else empty.

    Examples:
        >>> import stemline
        >>> events = stemline.watch(".", {"dialogue": "speech"}, once=True, settle_s=0)
        >>> [(event.path.name, event.state.value) for event in events]
        [('edit.otio', 'working'), ('edit.otio', 'done'), ('interview.wav', 'working'), ('interview.wav', 'done')]
    """

    path: Path
    state: WatchState
    message: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class _Request:
    """What to make of each file."""

    stems: tuple[Stem, ...]
    settings: Settings
    options: EditOptions
    settle_s: float
    once: bool
    progress: Callable[[Progress], None] | None
    stopped: Callable[[], bool]


def watch(
    folder: PathText,
    stems: Stems,
    *,
    output: PathText | None = None,
    settings: Settings = Settings(),
    options: EditOptions = EditOptions(),
    once: bool = False,
    retry_failed: bool = False,
    settle_s: float = 3.0,
    progress: Callable[[Progress], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[WatchEvent]:
    """Separate every edit and media file that appears in a folder, and yield each change of a file's state.

    Files in subfolders are not taken. A file is taken once it has not changed for `settle_s`; one that looks cut short
    waits for a minute, as its copy may go on. The files themselves are never changed or moved. Results of `name.otio`
    are in the folder `name` of `output`, the reason of a failure is in `failed/name.otio.txt`, and `watch.json` holds
    the state of every file: after a stop, the next watch resumes. A replaced file is separated again.

    Args:
        folder: Folder to watch.
        stems: Stems to make from every file.
        output: Folder for the results; None for "Stemline" in `folder`.
        settings: How to separate.
        options: How edits are read, and what is written.
        once: Whether to end when every file that is there is done or failed, instead of waiting for more.
        retry_failed: Whether to try files that failed before again.
        settle_s: Seconds without a change after which a file counts as complete.
        progress: Called with a `Progress` while a file is separated, from several threads.
        stopped: Asked often; the watch ends when it returns true. Finished files stay.

    Yields:
        The new state of a file.

    Raises:
        UsageError: There is no such folder, it is watched by another process, or a stem or setting is not accepted.
        NoServerError: No server can be reached, with `once`; without it, the watch tries again, as for a full disk.
        OutputError: A result folder cannot be written.

    Examples:
        >>> import stemline
        >>> for event in stemline.watch(".", {"dialogue": "speech"}, once=True, settle_s=0):
        ...     if event.state == "done":
        ...         print(event.path.name)
        edit.otio
        interview.wav
    """
    place = Path(folder).absolute()
    if not place.is_dir():
        raise UsageError(f"{printable(place)} is not a folder.", advice="Name the folder to watch.")
    results = Path(output).absolute() if output is not None else place / OUTPUT_FOLDER
    request = _Request(stem_list(stems), settings, options, settle_s, once, progress, stopped)
    with output_errors(results):
        results.mkdir(parents=True, exist_ok=True)
    with lock_of(results).open("ab") as lock:
        if not try_lock(lock):
            raise UsageError(f"{printable(results)} belongs to another watch that is running.", advice="Stop it first.")
        watcher = _Watcher(place, request, _Journal(results, retry_failed=retry_failed))
        while not stopped():
            yield from watcher.poll()
            if once and not watcher.waits:
                return
            time.sleep(_POLL_S)


@dataclass(slots=True)
class _Arrival:
    """A file that is not separated yet."""

    mark: tuple[int, int]
    since_s: float
    told: str = ""


class _Watcher:
    """The files of one folder, taken one after another in the order of their names."""

    def __init__(self, folder: Path, request: _Request, journal: _Journal) -> None:
        self._folder, self._request, self._journal = folder, request, journal
        self._arrivals: dict[str, _Arrival] = {}
        self._retry_at_s = 0.0
        self._suffixes = {*host_list().read_suffixes, *_MEDIA}

    @property
    def waits(self) -> bool:
        """Whether a file is still to be separated."""
        return bool(self._arrivals)

    def poll(self) -> Iterator[WatchEvent]:
        """Look at the folder once, and separate what is ready."""
        now_s = time.monotonic()
        try:
            found = dict(self._new_files())
        except OSError:  # the folder is on a disk that is away for now
            return
        self._arrivals = {name: each for name, each in self._arrivals.items() if name in found}
        for name, mark in sorted(found.items()):
            arrival = self._arrivals.get(name)
            if arrival is None or arrival.mark != mark:
                self._arrivals[name] = _Arrival(mark, now_s)
        for name, arrival in sorted(self._arrivals.items()):
            age_s = time.monotonic() - arrival.since_s
            if self._request.stopped() or time.monotonic() < self._retry_at_s:
                return
            if arrival.mark[0] and age_s >= self._request.settle_s:
                yield from self._take(self._folder / name, arrival, patient=age_s < _PATIENCE_S)

    def _new_files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield name and (size, time of the last change) of every file that is not done."""
        for path in self._folder.iterdir():
            if path.name.startswith((".", "~")) or path.name.endswith(_OWN_SUFFIX):
                continue
            if path.suffix.lower() not in self._suffixes or not path.is_file():
                continue
            try:
                state = path.stat()
            except OSError:  # it was moved or deleted in this moment
                continue
            mark = state.st_size, state.st_mtime_ns
            if not self._journal.knows(path.name, mark):
                yield path.name, mark

    def _take(self, path: Path, arrival: _Arrival, *, patient: bool) -> Iterator[WatchEvent]:
        """Separate one file, or let it wait while it may still arrive."""
        is_edit = host_list().is_edit(path)
        try:
            if patient and not is_edit and _is_cut_short(path):
                yield from self._wait(path, arrival, "It looks cut short; its copy may go on.")
                return
            yield WatchEvent(path, WatchState.WORKING)
            message, output = self._separate(path, arrival, is_edit=is_edit)
        except Cancelled:
            return
        except StemlineError as error:
            if isinstance(error, NoServerError) or error.code in _LATER:
                if self._request.once:
                    raise
                self._retry_at_s = time.monotonic() + _RETRY_S
                yield from self._wait(path, arrival, str(error))
                return
            if patient and error.code in _ARRIVING:
                yield from self._wait(path, arrival, str(error))
                return
            self._end(path, arrival, WatchState.FAILED, message=str(error))
            yield WatchEvent(path, WatchState.FAILED, str(error))
        else:
            self._end(path, arrival, WatchState.DONE, message=message, output=output)
            yield WatchEvent(path, WatchState.DONE, message, output)

    def _separate(self, path: Path, arrival: _Arrival, *, is_edit: bool) -> tuple[str, str]:
        """Return what failed in part or is cut short, and the path of the result. Raises StemlineError."""
        request, folder = self._request, self._journal.folder_of(path.name, arrival.mark)
        options = request.options if is_edit else None
        with start(
            path,
            request.stems,
            output=folder,
            settings=request.settings,
            options=options,
            progress=request.progress,
        ) as run:
            while not run.done:
                if request.stopped():
                    run.cancel()
                time.sleep(_POLL_S / 10)
            result = run.result()
        if not isinstance(result, EditResult):
            return " ".join(cut.message for cut in _cuts(result.notices)[:1]), str(folder)
        remarks = [f"{len(result.failed)} clips failed; the report has the reasons."] if result.failed else []
        cut_clips = list(dict.fromkeys(cut.clip for cut in _cuts(result.notices)))
        if cut_clips:
            named = (
                f"{printable(cut_clips[0])} and {len(cut_clips) - 1} more" if cut_clips[1:] else printable(cut_clips[0])
            )
            remarks.append(f"Media is cut short ({named}); the report has the details.")
        return " ".join(remarks), result.output or str(folder)

    def _wait(self, path: Path, arrival: _Arrival, reason: str) -> Iterator[WatchEvent]:
        if arrival.told != reason:
            arrival.told = reason
            yield WatchEvent(path, WatchState.WAITING, reason)

    def _end(self, path: Path, arrival: _Arrival, state: WatchState, *, message: str = "", output: str = "") -> None:
        del self._arrivals[path.name]
        self._journal.note(path.name, arrival.mark, {"state": state, "message": message, "output": output})


def _is_cut_short(path: Path) -> bool:
    """Return whether media ends before its own header says, or cannot be read at all."""
    try:
        return media_facts(MediaSource(str(path))).cut_short
    except StemlineError as error:
        return error.code in _ARRIVING


def _cuts(notices: Iterable[Notice]) -> list[Notice]:
    return [notice for notice in notices if notice.code == WarningCode.MEDIA_CUT_SHORT]


class _Journal:
    """The state of every file that was separated, in `watch.json` of the folder of results."""

    def __init__(self, folder: Path, *, retry_failed: bool) -> None:
        self._folder, self._path = folder, folder / _JOURNAL
        held = (read_json_object(self._path) or {}).get("files")  # without it, results are found by their own records
        entries = held.items() if isinstance(held, dict) else ()
        self._files: dict[str, dict[str, Any]] = {name: entry for name, entry in entries if isinstance(entry, dict)}
        if retry_failed:
            failed = [name for name, entry in self._files.items() if entry.get("state") == WatchState.FAILED]
            for name in failed:
                self._files[name]["mark"] = None

    def knows(self, name: str, mark: tuple[int, int]) -> bool:
        """Return whether the file with this size and time is done or failed."""
        return name in self._files and self._files[name].get("mark") == list(mark)

    def folder_of(self, name: str, mark: tuple[int, int]) -> Path:
        """Return the folder for the results of a file. A file that replaces a finished one gets a new folder."""
        entry = self._files.setdefault(name, {})
        known, is_new = entry.get("folder"), entry.get("state") == WatchState.DONE and entry.get("mark") != list(mark)
        if not isinstance(known, str) or known != plain_part(known) or is_new:
            known = self._free_folder(name)
            entry.update(folder=known, state="")
        return self._folder / known

    def _free_folder(self, name: str) -> str:
        taken = {str(entry.get("folder", "")).casefold() for entry in self._files.values()} | {_FAILED}
        bases = [plain_part(Path(name).stem), plain_part(name.replace(".", "-"))]
        return next(base for base in chain(bases[:1], numbered(bases[1])) if base.casefold() not in taken)

    def note(self, name: str, mark: tuple[int, int], entry: dict[str, str]) -> None:
        """Record that a file is done or failed. Raises OutputError."""
        self._files[name] = {**self._files.get(name, {}), "mark": list(mark), **entry}
        reason = self._folder / _FAILED / f"{name}.txt"
        if entry["state"] == WatchState.FAILED:
            write_text(reason, entry["message"] + "\n")
        else:
            with output_errors(reason):
                reason.unlink(missing_ok=True)
        write_json(self._path, {"version": 1, "files": self._files}, durable=True)
