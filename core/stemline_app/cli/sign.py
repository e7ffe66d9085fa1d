"""`stemline sign`: sign finished files with Content Credentials."""

from __future__ import annotations

import argparse

import stemline
from stemline_app.cli.options import add_json
from stemline_app.cli.output import FileReport, report_files


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "sign",
        help="sign a finished mix or film with Content Credentials",
        description="Copy finished files to a folder and sign the copies with Content Credentials (C2PA) that name the "
        "stems in them. Stems themselves are signed when they are written.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a finished file; it stays as it is")
    parser.add_argument(
        "--made-from", nargs="+", default=[], metavar="STEM", help="files that went into it, such as stems"
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder of the signed copies")
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Sign each file by itself. Return the worst exit code."""

    def report(file: str) -> FileReport:
        signed = stemline.sign(file, output=args.output, made_from=args.made_from)
        return FileReport({"file": file, "signed": str(signed)}, [f"{file}: signed as {signed}"])

    return report_files(args.files, report, as_json=args.json)
