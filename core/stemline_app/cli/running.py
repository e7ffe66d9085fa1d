"""Run a parsed command: every error becomes one sentence on stderr and an exit code."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, EditError, StemlineError
from stemline_app.cli.answers import say


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    try:
        return int(args.func(args))
    except StemlineError as error:
        return _fail(error, args)
    except KeyboardInterrupt:
        return _fail(Cancelled(), args)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the output is gone
        return 1
    except Exception as error:  # noqa: BLE001 - the outermost frame: a fault of Stemline becomes a sentence, too
        return _fail(report_crash(error), args)


def _fail(error: StemlineError, args: argparse.Namespace) -> int:
    if getattr(args, "json", False):
        from stemline_app.cli.answers import print_json

        about = str(Path(args.edit).absolute()) if isinstance(error, EditError) and hasattr(args, "edit") else ""
        print_json([], [{"input": about, **error.to_json()}])
    say(f"stemline: {error}")
    return error.exit_code
