"""`stemline detect`: what sound files prove about their origin."""

from __future__ import annotations

import argparse

import stemline
from stemline_app.cli.options import add_json
from stemline_app.cli.output import FileReport, report_files


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "detect",
        help="look for records, signatures and marks in sound files",
        description="Look for evidence of where sound files come from: record, signature, Content Credentials, the "
        "mark of this installation, and stems that explain them. It never says whether a model made a sound: no "
        "method can.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file with audio of any kind")
    parser.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="STEM",
        help="stem files, including the residual: report how much of the file they explain, and at which gains",
    )
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Look at each file by itself. Return 2 when one cannot be read."""

    def report(file: str) -> FileReport:
        found = stemline.detect(file, against=args.against)
        return FileReport(found.as_dict(), found.as_lines())

    return report_files(args.files, report, as_json=args.json)
