"""`stemline audit`: check the log of a server."""

from __future__ import annotations

import argparse
from pathlib import Path

from stemline_app.cli.options import add_json
from stemline_app.cli.output import say, write_json, write_line


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "audit",
        help="check the audit log of a server",
        description="Check that no line of a server's audit log was changed or is missing. A cut-off end is not found: "
        "compare the last hash with one that you noted.",
    )
    parser.add_argument("action", choices=("check",))
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of the log, or its path as the policy names it")
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check the log. Return 1 when it is not whole."""
    from stemline.trust.audit_log import check_log

    report = check_log([Path(file) for file in args.files])
    if args.json:
        write_json([report.to_json()])
    else:
        write_line(f"{report.lines} lines, {report.first or 'no time'} to {report.last or 'no time'}")
        if report.starts_after:
            write_line(f"  starts after  {report.starts_after} (older files were deleted)")
        write_line(f"  last hash     {report.last_hash or 'none'}")
        write_line("  whole" if not report.faults else f"  NOT WHOLE: {len(report.faults)} faults")
    for fault in report.faults:
        say(f"stemline: {fault}")
    return 1 if report.faults else 0
