"""`stemline doctor`: check this installation and say what to do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stemline_app.cli.options import add_json
from stemline_app.cli.output import write_json, write_table

if TYPE_CHECKING:
    from stemline.hosts.description import Check


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "doctor", help="check this installation", description="Check this installation and say what to do."
    )
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print every finding. Return 1 when something needed does not work."""
    from stemline.hosts.description import Status
    from stemline_app.doctor import all_checks

    checks = list(all_checks())
    if args.json:
        write_json([_facts(check) for check in checks])
    else:
        write_table(("", "what", "found", "what to do"), map(_row, checks))
    return 1 if any(check.status is Status.FAIL for check in checks) else 0


def _row(check: Check) -> tuple[str, ...]:
    return check.status, check.name, check.message, check.advice


def _facts(check: Check) -> dict[str, object]:
    return {"check": check.name, "status": check.status, "message": check.message, "advice": check.advice}
