"""The work of `stemline verify`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stemline.errors import Code, StemlineError
from stemline.workflow.record import sidecar_of
from stemline.workflow.verify import verify_file
from stemline_app.cli.answers import print_json, say, write_line


def verify(args: argparse.Namespace) -> int:
    """Checks each file by itself; 1 when one is not what it was, 2 when one cannot be read."""
    results: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    code = 0
    records = {str(sidecar_of(Path(file))) for file in args.files if not file.endswith(".json")}
    for file in args.files:
        if file in records:  # `stems/*`: the record of a sound that is checked with it
            continue
        try:
            checked = verify_file(file)
        except StemlineError as error:
            errors.append({"input": file, "code": str(error.code), "message": str(error)})
            code = max(code, error.exit_code)
            continue
        results.append(checked.as_dict())
        if not checked.intact:
            errors.append({"input": file, "code": str(Code.OUTPUT_DAMAGED), "message": checked.sentence})
            code = max(code, 1)
        if not args.json:
            for line in checked.as_lines():
                write_line(line)
    if args.json:
        print_json(results, errors)
    for damage in errors:
        say(f"stemline: {damage['input']}: {damage['message']}")
    return code
