"""`stemline seats`: the people and programs that share a server."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stemline.errors import NoServerError, UsageError
from stemline_app.cli.options import add_json
from stemline_app.cli.output import say, write_json, write_line, write_table

if TYPE_CHECKING:
    from stemline_server.seats.seat_file import Seat

_GIB = 1 << 30


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "seats",
        help="create, list and revoke the seats of a server",
        description="Create, list and revoke the seats of a server. A running server reads the change within a second.",
    )
    parser.add_argument("action", nargs="?", choices=("create", "list", "revoke"), default="list")
    parser.add_argument("name", nargs="?", help="for create and revoke: the name of the seat")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="the --state folder of the server")
    parser.add_argument(
        "--scope",
        action="append",
        choices=("submit", "read", "operate"),
        help="for create: what the seat may do (repeatable; default: submit and read)",
    )
    parser.add_argument("--project", default="", help="for create: share jobs and sound with the seats of a project")
    parser.add_argument("--expires", default="", metavar="DAY", help="for create: the day on which the seat expires")
    parser.add_argument(
        "--certificate",
        default="",
        metavar="NAME",
        help="for create: the name in a client certificate, in place of a token",
    )
    parser.add_argument("--weight", type=float, default=1.0, help="for create: share of the devices (default 1)")
    parser.add_argument(
        "--max-priority", type=int, default=0, metavar="N", help="for create: highest priority over other seats"
    )
    parser.add_argument("--store", type=float, default=0.0, metavar="GIB", help="for create: sound in the store")
    parser.add_argument("--queue", type=float, default=0.0, metavar="HOURS", help="for create: sound in waiting jobs")
    parser.add_argument("--transfers", type=int, default=0, metavar="N", help="for create: transfers at a time")
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Do the action. Raises UsageError, OutputError."""
    try:
        from stemline_server.seats import seat_file
    except ModuleNotFoundError as error:
        raise NoServerError(
            "The separation server is not installed here.", advice="Install the extra `server`."
        ) from error
    path = args.state / seat_file.FILE_NAME
    seats = list(seat_file.read_seats(path))
    if (args.name is None) != (args.action == "list"):
        raise UsageError("`seats create` and `seats revoke` take the name of a seat, `seats list` none.")
    if args.action == "list":
        _list(seats, as_json=args.json)
        return 0
    there = [seat for seat in seats if seat.name == args.name]
    if args.action == "revoke":
        if not there:
            raise UsageError(f"There is no seat {args.name!r}.", advice="See `stemline seats list`.")
        seat_file.write_seats(path, [seat for seat in seats if seat.name != args.name])
        write_line(f"The seat {args.name} is revoked.")
        return 0
    if there:
        raise UsageError(f"The seat {args.name!r} already exists.", advice="Revoke it first, or choose another name.")
    token = "" if args.certificate else seat_file.new_token()
    try:
        seat = seat_file.check_seat(replace(_seat(args), token_sha256=token and seat_file.token_digest(token)))
    except ValueError as error:
        raise UsageError(f"The seat cannot be created: {error}.") from error
    seat_file.write_seats(path, [*seats, seat])
    _show_token(seat, token, as_json=args.json)
    return 0


def _seat(args: argparse.Namespace) -> Seat:
    from stemline_server.seats.seat_file import Seat

    return Seat(
        name=args.name,
        scopes=tuple(args.scope or ("submit", "read")),
        project=args.project,
        certificate=args.certificate,
        expires=args.expires,
        weight=args.weight,
        max_priority=args.max_priority,
        store_bytes=int(args.store * _GIB),
        queued_s=args.queue * 3600,
        transfers=args.transfers,
    )


def _show_token(seat: Seat, token: str, *, as_json: bool) -> None:
    if as_json:
        write_json([{"name": seat.name, "token": token}])
    elif token:
        write_line(token)
        say(f"This is the token of {seat.name}. It is shown once.")
    else:
        write_line(f"The seat {seat.name} uses the client certificate {seat.certificate}.")


def _list(seats: list[Seat], *, as_json: bool) -> None:
    if as_json:
        write_json([{**_facts(seat), "expired": seat.has_expired()} for seat in seats])
        return
    rows = [
        (
            seat.name,
            "+".join(seat.scopes),
            seat.project or "-",
            (seat.expires or "never") + (" (expired)" if seat.has_expired() else ""),
            f"{seat.weight:g}",
        )
        for seat in seats
    ]
    write_table(("seat", "scopes", "project", "expires", "weight"), rows)


def _facts(seat: Seat) -> dict[str, object]:
    from dataclasses import asdict

    facts = asdict(seat)
    del facts["token_sha256"]
    return facts
