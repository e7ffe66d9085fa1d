"""What Stemline keeps on this machine to save work, and how to be rid of it without taking it from under a job."""

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
from stemline.client.run_lock import is_any_at_work
from stemline.client.values import JobState
from stemline.errors import NoServerError, StemlineError
from stemline.locks import lock_state

_OF_SERVE = "-port-"
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)


@dataclass(frozen=True, slots=True)
class CachePart:
    """One folder of the cache: a private server's stems ("server-<version>"), decoded sound ("pcm"), or what a panel
    made and nobody saved ("panel")."""

    name: str
    folder: Path
    size_bytes: int
    in_use: bool


@dataclass(frozen=True, slots=True)
class Cleared:
    """What clearing did; `kept` says in words what was left and why."""

    freed_bytes: int
    kept: tuple[str, ...]


def cache_parts() -> list[CachePart]:
    """What is there now."""
    root = paths.cache_dir()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [CachePart(folder.name, folder, _size_bytes(folder), _in_use(folder)) for folder in folders]


def clear_cache() -> Cleared:
    """Removes all that no unfinished job needs, private servers of other versions included; nothing while a run is at
    work, which needs also what is done.
    """
    if is_any_at_work():
        return Cleared(0, ("Stemline is separating: all stays until it is done.",))
    before = _total_bytes()
    own = paths.server_state_dir(__version__)
    kept = list(_clear_own(own))
    for folder in sorted(paths.cache_dir().glob("server-*")):
        if _OF_SERVE in folder.name:
            kept.append(f"{folder} is that of a `stemline serve`, whose jobs may wait for it: remove it by hand.")
        elif folder != own and not _wipe(folder):
            kept.append(f"{folder.name} is at work and stays.")
    if not any(part.in_use for part in cache_parts()):
        for name in ("pcm", "panel"):
            shutil.rmtree(paths.cache_dir() / name, ignore_errors=True)
    return Cleared(max(0, before - _total_bytes()), tuple(kept))


def _clear_own(state: Path) -> Iterator[str]:
    if not (state / "jobs.sqlite").exists():
        return
    # only a server knows whether jobs of a killed one still wait; where none can be started none can go on either
    with suppress(NoServerError), connect(PRIVATE) as client:
        unfinished = list(client.jobs(states=_UNFINISHED))
        if unfinished:
            needed = {name for job in unfinished for name in (job.request.media, *job.request.subtract)}
            _forget_ended(client, needed)
            yield f"{len(unfinished)} jobs are not done yet: what they need stays."
            return
    stop_private()
    if not _wipe(state):
        yield "A private server was started meanwhile: what it holds stays."


def _forget_ended(client: Client, needed: set[str]) -> None:
    for job in list(client.jobs()):
        if not job.ended:
            continue
        client.delete_job(job.name)
        for name in {job.request.media, job.stem.media if job.stem else ""} - needed - {""}:
            with suppress(StemlineError):  # gone already, or taken up by a new job since
                client.delete_media(name)


def _wipe(state: Path) -> bool:
    """Empties a server's folder; False where a server runs on it. The token, the log and the lock stay."""
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
        with suppress(OSError):  # removed since it was listed
            total += path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    return total
