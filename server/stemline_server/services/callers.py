"""Callers: whether they are on this machine, what they may see, and how many calls they may have running."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol
from urllib.parse import unquote

from stemline.errors import Code, MediaError, SeparationError, StemlineError
from stemline.v1 import separation_pb2
from stemline_server.jobs.board import JobBoard
from stemline_server.jobs.record import JobRecord
from stemline_server.seats.access import caller, may_see
from stemline_server.store.database import result_of
from stemline_server.store.media_store import MediaStore

_QUOTED = re.compile(r"""(['"])((?:[A-Za-z]:[\\/]|\\\\|/)[^'"]*)\1""")
_BARE = re.compile(r"(?<![\w/\\.:'\"<-])(?:[A-Za-z]:[\\/]|\\\\|/)[^\s'\";,()]+")

_PEER = re.compile(r"^ipv[46]:\[?([^\]]+?)\]?:\d+$")


class HasPeer(Protocol):
    """The context of a call, as far as it names the other end."""

    def peer(self) -> str:
        """Return the address of the other end, as gRPC spells it."""
        ...


class CallLimit:
    """Bounds the concurrent calls of each address, so that one cannot take all of the server's. For the event loop."""

    def __init__(self, most: int) -> None:
        """Allow `most` calls at a time from one address."""
        self._most = most
        self._running: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, context: HasPeer) -> Iterator[None]:
        """Count one call for as long as the block runs. Raises SeparationError (QUEUE_FULL) above the limit."""
        address = _address_of(context)
        if self._running[address] >= self._most:
            raise SeparationError(
                f"{self._most} calls from this address are running, which is the limit.",
                code=Code.QUEUE_FULL,
                advice="Try again when one of them has ended.",
            )
        self._running[address] += 1
        try:
            yield
        finally:
            self._running[address] -= 1
            if not self._running[address]:
                del self._running[address]


def is_this_machine(context: HasPeer) -> bool:
    """Return whether the other end is a loopback address or a Unix socket."""
    address = _address_of(context)
    try:
        return address.startswith("unix:") or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _address_of(context: HasPeer) -> str:
    """Return the address of the other end without its port; as gRPC spells it where it is no IP address."""
    peer = unquote(context.peer())
    match = _PEER.match(peer)
    return match[1] if match else peer


def shown(context: HasPeer, text: str) -> str:
    """Return a message as its caller may read it: without the server's folders where it is on another machine."""
    return text if is_this_machine(context) else without_folders(text)


def shown_error(context: HasPeer, error: StemlineError) -> StemlineError:
    """Return an error as its caller may read it."""
    return StemlineError(shown(context, error.message), code=error.code, advice=shown(context, error.advice))


def shown_job(context: HasPeer, job: separation_pb2.Job) -> separation_pb2.Job:
    """Return a job as its caller may read it; changes the message."""
    if not is_this_machine(context):
        if job.HasField("error"):
            job.error.message = without_folders(job.error.message)
            job.error.advice = without_folders(job.error.advice)
        for warning in job.stem.warnings:
            warning.message = without_folders(warning.message)
    return job


def without_folders(text: str) -> str:
    """Return `text` with every absolute path cut to its last part, in quotation marks as it was."""
    text = _QUOTED.sub(lambda found: f"{found[1]}{_last_part(found[2])}{found[1]}", text)
    return _BARE.sub(lambda found: _last_part(found[0]), text)


def _last_part(path: str) -> str:
    stripped = path.rstrip("/\\.:")
    ending = path[len(stripped) :].strip("/\\")
    return re.split(r"[/\\]", stripped)[-1] + ending


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
