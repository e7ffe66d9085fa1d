"""Show and clear what Stemline caches on this machine, without taking data from a running job."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stemline import paths
from stemline._version import __version__
from stemline.client.client import PRIVATE, Client, connect
from stemline.client.managed_server import stop_private
from stemline.client.run_lock import is_any_run_active
from stemline.client.values import JobState
from stemline.errors import NoServerError, StemlineError
from stemline.locks import lock_state

_OF_SERVE = "-port-"
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)


@dataclass(frozen=True, slots=True)
class CachePart:
    """One folder of the cache.

    Attributes:
        name: "server-<version>" for the stems of a private server, "pcm" for decoded sound, "pictures" for
            proxies and followed masks, "panel" for stems of the panel that were not saved.
        folder: The folder.
        size_bytes: Size of all files in it.
        in_use: Whether a server runs on it.
    """

    name: str
    folder: Path
    size_bytes: int
    in_use: bool


@dataclass(frozen=True, slots=True)
class Cleared:
    """Result of clearing: the bytes freed, and one sentence for each part that was not cleared."""

    freed_bytes: int
    not_cleared: tuple[str, ...]


def cache_parts() -> list[CachePart]:
    """Return the folders of the cache."""
    root = paths.cache_dir()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [CachePart(folder.name, folder, _size_bytes(folder), _in_use(folder)) for folder in folders]


def clear_cache() -> Cleared:
    """Remove everything that no unfinished job needs, including private servers of other versions.

    While a run is active nothing is removed, because the run also needs finished results.
    """
    if is_any_run_active():
        return Cleared(0, ("Stemline is separating. Clear the cache when it is done.",))
    before = _total_bytes()
    own = paths.server_state_dir(__version__)
    not_cleared = list(_clear_own(own))
    for folder in sorted(paths.cache_dir().glob("server-*")):
        if _OF_SERVE in folder.name:
            not_cleared.append(f"{folder} belongs to a `stemline serve`, whose jobs may need it. Remove it by hand.")
        elif folder != own and not _wipe(folder):
            not_cleared.append(f"{folder.name} is in use.")
    if not any(part.in_use for part in cache_parts()):
        for name in ("pcm", "panel", "pictures"):
            shutil.rmtree(paths.cache_dir() / name, ignore_errors=True)
    return Cleared(max(0, before - _total_bytes()), tuple(not_cleared))


def _clear_own(state: Path) -> Iterator[str]:
    if not (state / "jobs.sqlite").exists():
        return
    # only a server knows whether jobs of a killed one still wait; where none can start, no job can resume
    with suppress(NoServerError), connect(PRIVATE) as client:
        unfinished = list(client.jobs(states=_UNFINISHED))
        if unfinished:
            needed = {name for job in unfinished for name in (job.request.media, *job.request.subtract)}
            _forget_ended(client, needed)
            yield f"{len(unfinished)} jobs are not finished. What they need was not removed."
            return
    stop_private()
    if not _wipe(state):
        yield "A private server started in the meantime. Its data was not removed."


def _forget_ended(client: Client, needed: set[str]) -> None:
    for job in list(client.jobs()):
        if not job.ended:
            continue
        client.delete_job(job.name)
        for name in {job.request.media, job.stem.media if job.stem else ""} - needed - {""}:
            with suppress(StemlineError):  # deleted already, or used by a new job
                client.delete_media(name)


def _wipe(state: Path) -> bool:
    """Empty the folder of a server and return True; return False where a server runs on it.

    The token, the log and the lock are not removed.
    """
    with lock_state(state) as free:
        if not free:
            return False
        for entry in state.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name.startswith("jobs.sqlite"):
                entry.unlink(missing_ok=True)
    return True


def _in_use(folder: Path) -> bool:
    if not (folder / "lock").exists():
        return False
    with lock_state(folder) as free:
        return not free


def _total_bytes() -> int:
    return sum(part.size_bytes for part in cache_parts())


def _size_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # deleted since it was listed
            total += path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    return total
