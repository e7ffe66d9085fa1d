"""The file of the seats of a server: tokens by their hash, scopes and limits."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from stemline.errors import UsageError
from stemline.files import check_private, write_json

_log = logging.getLogger(__name__)

SCOPES = ("submit", "read", "operate")
FILE_NAME = "seats.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# The types of the fields of `Seat`.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "tuple[str, ...]": tuple,
    "float": (int, float),
    "int": int,
}
_CHECK_EVERY_S = 1.0
_LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Seat:
    """A person or program that uses a server.

    Attributes:
        name: Its name.
        scopes: What it may do: "submit" jobs and sound, "read" jobs and sound, "operate" the server.
        project: Name of the project whose seats share their jobs and sound; empty for none.
        token_sha256: SHA-256 of its token in hexadecimal digits; empty for no token.
        certificate: Name in its client certificate, as an alternative to the token; empty for none.
        expires: Day from which it is refused, as YYYY-MM-DD (UTC); empty for never.
        weight: Its share of the devices, relative to other seats.
        max_priority: Priority above which its jobs do not pass those of other seats.
        store_bytes: How much sound it may hold in the store; 0 for no limit.
        queued_s: Seconds of sound that may wait in its jobs; 0 for no limit.
        transfers: Uploads and downloads at the same time; 0 for no limit.
    """

    name: str
    scopes: tuple[str, ...]
    project: str = ""
    token_sha256: str = ""
    certificate: str = ""
    expires: str = ""
    weight: float = 1.0
    max_priority: int = 0
    store_bytes: int = 0
    queued_s: float = 0.0
    transfers: int = 0

    @property
    def is_operator(self) -> bool:
        """Return whether it sees and changes everything."""
        return "operate" in self.scopes

    @property
    def holder(self) -> str:
        """Return the name under which its sound is listed; empty for an operator, who holds everything."""
        return "" if self.is_operator else holder_of(self.name, self.project)

    def has_expired(self) -> bool:
        """Return whether its last day is over."""
        return bool(self.expires) and datetime.now(UTC).strftime("%Y-%m-%d") >= self.expires


OPERATOR = Seat(_LOCAL, SCOPES)
"""Who shows the token of the server itself."""


def holder_of(name: str, project: str) -> str:
    """Return the name under which the sound of a seat is listed; empty for the operator, who holds everything."""
    if name == _LOCAL:
        return ""
    return f"project/{project}" if project else f"seat/{name}"


class SeatFile:
    """The seats of a server. The file is read again when it has changed."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one. Raises UsageError for a damaged one."""
        self._path = path
        self._refused = ""
        self._checked_s = time.monotonic()
        self._stamp, self._seats = self._load()

    @property
    def is_used(self) -> bool:
        """Return whether the server has seats."""
        self._refresh()
        return self._stamp is not None

    def of_token(self, token: str) -> Seat | None:
        """Return the seat of a token, unless it has expired."""
        self._refresh()
        digest = token_digest(token)
        return next((seat for seat in self._live() if seat.token_sha256 == digest), None)

    def of_certificate(self, names: Iterable[str]) -> Seat | None:
        """Return the seat of a client certificate with these names, unless it has expired."""
        self._refresh()
        given = set(names)
        return next((seat for seat in self._live() if seat.certificate in given and seat.certificate), None)

    def reload(self) -> None:
        """Read the file now. One that is damaged or cannot be read is logged, and the seats stay as they were."""
        try:
            stamp, seats = self._load()
        except UsageError as error:
            if str(error) != self._refused:
                _log.error("the seats stay as they were: %s", error)
            self._refused = str(error)
        else:
            self._stamp, self._seats, self._refused = stamp, seats, ""

    def _load(self) -> tuple[tuple[int, ...] | None, tuple[Seat, ...]]:
        try:
            stamp = _stamp_of(self._path)
        except OSError as error:
            raise UsageError(f"The file of seats {self._path} cannot be read: {error.strerror}.") from error
        return stamp, read_seats(self._path)

    def _live(self) -> Iterable[Seat]:
        return (seat for seat in self._seats if not seat.has_expired())

    def _refresh(self) -> None:
        """Read the file again if it has changed, or could not be read."""
        now_s = time.monotonic()
        if now_s - self._checked_s >= _CHECK_EVERY_S:
            self._checked_s = now_s
            try:
                is_changed = _stamp_of(self._path) != self._stamp
            except OSError:
                is_changed = True
            if is_changed:
                self.reload()


def _stamp_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes with the file; None where there is no file. Raises OSError."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode


def token_digest(token: str) -> str:
    """Return the hash of a token. Tokens are random, so a plain hash tells nothing of them."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return f"stemline-{secrets.token_urlsafe(32)}"


def read_seats(path: Path) -> tuple[Seat, ...]:
    """Return the seats in a file; none where there is no file.

    Raises UsageError for a damaged one, and for one that other users can read or change.
    """
    try:
        check_private(path, "file of seats")
        listed = json.loads(path.read_text(encoding="utf-8"))["seats"]
        seats = tuple(_seat(entry) for entry in listed)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"The file of seats {path} cannot be used: {error}.", advice="Correct it, or restore a backup."
        ) from error
    names = [seat.name for seat in seats]
    if len(set(names)) != len(names):
        raise UsageError(f"The file of seats {path} names a seat twice.", advice="Remove one of the two.")
    return seats


def write_seats(path: Path, seats: Iterable[Seat]) -> None:
    """Write the file for its owner alone, whole or not at all. Raises OutputError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(path, {"seats": [asdict(seat) for seat in seats]}, durable=True, mode=0o600)


def check_seat(seat: Seat) -> Seat:
    """Return the seat. Raises ValueError for a value that it cannot have."""
    for field in fields(Seat):
        value = getattr(seat, field.name)
        if isinstance(value, bool) or not isinstance(value, _TYPES[str(field.type)]):
            raise ValueError(f"the {field.name} of a seat cannot be {value!r}")
    if not all(isinstance(scope, str) for scope in seat.scopes):
        raise ValueError(f"the scopes of {seat.name} are not texts")
    if seat.token_sha256 and not _DIGEST.fullmatch(seat.token_sha256):
        raise ValueError(f"the hash of the token of {seat.name} is not that of a token")
    for what, name in (("name", seat.name), ("project", seat.project or "none")):
        if not _NAME.fullmatch(name):
            raise ValueError(f"the {what} {name!r} is not made of small letters, digits, '.', '_' and '-'")
    if seat.name == _LOCAL:
        raise ValueError(f"{_LOCAL!r} is the name of the operator")
    if not seat.scopes or not set(seat.scopes) <= set(SCOPES):
        raise ValueError(f"the scopes of {seat.name} are not among {', '.join(SCOPES)}")
    if seat.expires and f"{datetime.strptime(seat.expires, '%Y-%m-%d').replace(tzinfo=UTC):%Y-%m-%d}" != seat.expires:
        raise ValueError(f"{seat.expires!r} is not a day as YYYY-MM-DD")
    if not 0 < seat.weight < math.inf or not 0 <= seat.queued_s < math.inf or min(seat.store_bytes, seat.transfers) < 0:
        raise ValueError(f"a limit or the weight of {seat.name} is out of range")
    return seat


def _seat(entry: object) -> Seat:
    if not isinstance(entry, dict) or not isinstance(entry.get("scopes"), list):
        raise ValueError("a seat is not an object with a list of scopes")
    known = {field.name for field in fields(Seat)}
    unknown = set(entry) - known
    if unknown:
        raise ValueError(f"unknown field {min(unknown)!r}")
    return check_seat(Seat(**{**entry, "scopes": tuple(entry["scopes"])}))
