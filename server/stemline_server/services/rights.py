"""What the caller of a call may use: its own jobs and sound, and those of its project."""

from __future__ import annotations

from collections.abc import Iterable

from stemline.errors import Code, MediaError, SeparationError
from stemline_server._futures import result_of
from stemline_server.jobs.board import JobBoard
from stemline_server.jobs.record import JobRecord
from stemline_server.seats.access import caller, may_see
from stemline_server.store.media_store import MediaStore


async def visible_job(board: JobBoard, name: str) -> JobRecord:
    """Return a job that the caller may see. Raises SeparationError (JOB_UNKNOWN), as for a job that does not exist."""
    job = await result_of(board.jobs.get(name))
    if not may_see(caller(), job.owned_by, job.project):
        raise SeparationError(
            "There is no such job.",
            code=Code.JOB_UNKNOWN,
            advice="It may have been deleted; create it again.",
        )
    return job


async def may_use(store: MediaStore, name: str) -> bool:
    """Return whether the caller holds a sound: that it knows the name of one proves nothing."""
    holder = caller().holder
    return not holder or name in await result_of(store.granted([name], holder))


async def check_media(store: MediaStore, names: Iterable[str]) -> None:
    """Raise MediaError (MEDIA_UNKNOWN) for a sound that the caller does not hold, as for one that does not exist."""
    holder, wanted = caller().holder, set(names)
    if not holder:
        return
    held = await result_of(store.granted(wanted, holder))
    missing = wanted - held
    if missing:
        raise MediaError(
            f"The server does not hold {min(missing)}.", code=Code.MEDIA_UNKNOWN, advice="Register or upload it first."
        )
