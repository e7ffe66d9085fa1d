"""`stemline verify`: whether stem files are what Stemline wrote, by the record that they carry."""

from __future__ import annotations

import argparse
from pathlib import Path

import stemline
from stemline.options import REQUIRE
from stemline_app.cli.options import add_json
from stemline_app.cli.output import FileReport, report_files


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "verify",
        help="check stem files against their records",
        description="Check whether the audio of stem files is what Stemline wrote, and print their records.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a stem file; sidecars among them are skipped")
    parser.add_argument(
        "--source", metavar="MEDIA", help="the media that the files were made from: prove that they add up to it"
    )
    parser.add_argument(
        "--require", choices=REQUIRE, help="fail unless files are signed: by any key, or by a key that is trusted here"
    )
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check each file by itself. Return 1 when one did not pass, 2 when one cannot be read."""
    from stemline.workflow.sidecars import sidecar_of

    def report(file: str) -> FileReport:
        verdict = stemline.verify(file, source=args.source, require=args.require)
        fault = {"code": str(stemline.Code.OUTPUT_DAMAGED), "message": verdict.fault, "advice": ""}
        return FileReport(verdict.as_dict(), verdict.as_lines(), None if verdict.passed else fault)

    sidecars = {str(sidecar_of(Path(file))) for file in args.files if not file.endswith(".json")}
    files = [file for file in args.files if file not in sidecars]  # `stems/*` names both: they are checked together
    return report_files(files, report, as_json=args.json)
