"""What the caller of the current call may do."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar

from stemline.errors import Code, SeparationError, StemlineError
from stemline_server.seats.seat_file import OPERATOR, Seat

_CALLER: ContextVar[Seat] = ContextVar("caller", default=OPERATOR)
_CLIENT: ContextVar[str] = ContextVar("client", default="")
_READING = ("Get", "List", "Wait", "Watch", "Download", "ServerReflection")
_OPEN = ("GetServerInfo", "ListModels", "GetModel", "ListGenerators", "ListTaggers", "ListSounds", "CheckPrompts")
_OPERATING = ("LoadModel", "UnloadModel")
_TEST_MODEL = "noop"
_SAID = {"submit": "submit jobs", "read": "read jobs and sound", "operate": "operate the server"}


def caller() -> Seat:
    """Return the seat of the caller: the operator where no call is running."""
    return _CALLER.get()


def client_address() -> str:
    """Return the address of the client of the current call, as gRPC spells it; empty where no call is running."""
    return _CLIENT.get()


def set_caller(seat: Seat, address: str = "") -> None:
    """Note whose call runs, and from which address, for the rest of the current task."""
    _CALLER.set(seat)
    _CLIENT.set(address)


def scope_of(method: str) -> str:
    """Return the scope that a method needs ("/package.Service/Method"); empty for none: clients begin with those."""
    name = method.rpartition("/")[2]
    if name in _OPEN:
        return ""
    if name in _OPERATING:
        return "operate"
    return "read" if name.startswith(_READING) else "submit"


def check_scope(seat: Seat, method: str) -> None:
    """Raise StemlineError (NOT_PERMITTED) where the seat lacks the scope of a method."""
    scope = scope_of(method)
    if scope and scope not in seat.scopes and not seat.is_operator:
        raise not_permitted(f"The seat {seat.name} may not {_SAID[scope]}.")


def check_model(seat: Seat, model: str) -> None:
    """Raise StemlineError (NOT_PERMITTED) where the seat may not use a model: the test model can occupy a device."""
    if model == _TEST_MODEL and not seat.is_operator:
        raise not_permitted(f"The model {model} is for operators of this server.")


def may_see(seat: Seat, owned_by: str, project: str) -> bool:
    """Return whether a seat may see a job: its own, one of its project, or any for an operator."""
    return seat.is_operator or owned_by == seat.name or (project != "" and project == seat.project)


def not_permitted(message: str) -> StemlineError:
    """Return the error of a call that a seat may not make."""
    return StemlineError(message, code=Code.NOT_PERMITTED, advice="Ask the operator of the server.")


class Transfers:
    """Counts the uploads and downloads of each seat. For the event loop."""

    def __init__(self) -> None:
        """Count from zero."""
        self._running: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, seat: Seat) -> Iterator[None]:
        """Count one transfer for as long as the block runs. Raises SeparationError (QUEUE_FULL) above the limit."""
        if seat.transfers and self._running[seat.name] >= seat.transfers:
            raise SeparationError(
                f"The seat {seat.name} has {seat.transfers} transfers running, which is its limit.",
                code=Code.QUEUE_FULL,
                advice="Try again when one of them has ended.",
            )
        self._running[seat.name] += 1
        try:
            yield
        finally:
            self._running[seat.name] -= 1
