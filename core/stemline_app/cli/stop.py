"""`stemline stop`: stop the private server."""

from __future__ import annotations

import argparse

from stemline_app.cli.options import add_json
from stemline_app.cli.output import write_json, write_line


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "stop",
        help="stop the private server",
        description="Stop the private server. Its jobs go on when the next one starts.",
    )
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Stop the server if it runs."""
    from stemline.client import stop_private

    stopped = stop_private()
    if args.json:
        write_json([{"stopped": stopped}])
    else:
        write_line("The private server is stopped." if stopped else "No private server is running.")
    return 0
