"""`stemline take-back`: take stems out of an edit again."""

from __future__ import annotations

import argparse

import stemline
from stemline_app.cli.options import add_json


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "take-back",
        help="take stems out of an edit again",
        description="Take the stems of clips out of the edit that `stemline batch --extend` or the panel wrote. "
        "Changes by other programs stay.",
    )
    parser.add_argument("edit", metavar="EDIT", help="the edit that was separated")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder of the results")
    parser.add_argument(
        "--clip",
        action="append",
        default=[],
        metavar="NAME",
        help="a clip whose stems to take back (default: all); may be repeated",
    )
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Take the stems back, and print what stays."""
    from stemline_app.cli.output import print_json, say

    notes = stemline.take_back(args.edit, output=args.output, clips=args.clip)
    if args.json:
        print_json([{"note": note} for note in notes], [])
        return 0
    for note in notes or ("The stems were taken back.",):
        say(note)
    return 0
