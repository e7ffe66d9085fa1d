"""`stemline verify`: what a stem file says of its own making, and whether its audio still is that."""

from __future__ import annotations

import argparse

from stemline_app.cli.options import add_json


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("verify", help="what a stem file says of its making, and whether it still is that")
    parser.add_argument("files", nargs="+", metavar="FILE")
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from stemline_app.cli.verifying import verify

    return verify(args)
