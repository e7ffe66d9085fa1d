"""`stemline verify`: whether stem files are what Stemline wrote, by the record that they carry."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import stemline
from stemline.options import REQUIRE
from stemline_app.cli.options import add_json
from stemline_app.cli.output import print_json, say, write_line


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

    results: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    code = 0
    sidecars = {str(sidecar_of(Path(file))) for file in args.files if not file.endswith(".json")}
    for file in args.files:
        if file in sidecars:  # `stems/*` names both: the sidecar is checked with its file
            continue
        try:
            verdict = stemline.verify(file, source=args.source, require=args.require)
        except stemline.StemlineError as error:
            errors.append({"input": file, **error.to_json()})
            code = max(code, error.exit_code)
            continue
        results.append(verdict.as_dict())
        if not verdict.passed:
            code_of_file = str(stemline.Code.OUTPUT_DAMAGED)
            errors.append({"input": file, "code": code_of_file, "message": verdict.fault, "advice": ""})
            code = max(code, 1)
        if not args.json:
            for line in verdict.as_lines():
                write_line(line)
    if args.json:
        print_json(results, errors)
    for damage in errors:
        say(f"stemline: {damage['input']}: {damage['message']}")
    return code
