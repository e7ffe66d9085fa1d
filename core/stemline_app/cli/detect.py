"""`stemline detect`: what sound files prove about their origin."""

from __future__ import annotations

import argparse
from typing import Any

import stemline
from stemline_app.cli.options import add_json
from stemline_app.cli.output import print_json, say, write_line


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "detect",
        help="look for records, signatures and marks in sound files",
        description="Look for what says where sound files come from: record, signature, Content Credentials, the mark "
        "of this installation, and stems that explain them. It never says whether a model made a sound: no method can.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file with audio of any kind")
    parser.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="STEM",
        help="stem files, the residual among them: say how much of the file they explain, and at which gains",
    )
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Look at each file by itself. Return 2 when one cannot be read."""
    results: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    code = 0
    for file in args.files:
        try:
            found = stemline.detect(file, against=args.against)
        except stemline.StemlineError as error:
            errors.append({"input": file, **error.to_json()})
            code = max(code, error.exit_code)
            continue
        results.append(found.as_dict())
        if not args.json:
            for line in found.as_lines():
                write_line(line)
    if args.json:
        print_json(results, errors)
    for unreadable in errors:
        say(f"stemline: {unreadable['input']}: {unreadable['message']} {unreadable['advice']}".rstrip())
    return code
