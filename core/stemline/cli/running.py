"""Runs a parsed command: every error becomes one sentence on stderr and an exit code."""

from __future__ import annotations

import argparse
import sys
import traceback
import uuid
from pathlib import Path

from stemline.cli.answers import say
from stemline.errors import Cancelled, EditError, StemlineError
from stemline.paths import cache_dir


def run(args: argparse.Namespace) -> int:
    try:
        return int(args.func(args))
    except StemlineError as error:
        return _fail(error, args)
    except KeyboardInterrupt:
        return _fail(Cancelled(), args)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output is gone: there is nobody to tell
        return 1
    except Exception as error:  # noqa: BLE001 - the outermost frame: a fault of ours is told in a sentence too
        return _fail(unforeseen(error), args)


def _fail(error: StemlineError, args: argparse.Namespace) -> int:
    if getattr(args, "json", False):
        from stemline.cli.output import print_json

        about = str(Path(args.edit).absolute()) if isinstance(error, EditError) and hasattr(args, "edit") else ""
        print_json([], [{"input": about, "code": str(error.code), "message": str(error)}])
    say(f"stemline: {error}")
    return error.exit_code


def unforeseen(error: Exception) -> StemlineError:
    """A fault of Stemline's own, its traceback kept in a file that the message names."""
    details = "".join(traceback.format_exception(error))
    path = cache_dir() / "faults" / f"{uuid.uuid4().hex[:8]}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(details, encoding="utf-8", errors="backslashreplace")
    except OSError:
        sys.stderr.write(details)
        advice = "Report it with the lines above."
    else:
        advice = f"Report it with the file {path}."
    return StemlineError(f"Stemline failed in a way that was not foreseen ({type(error).__name__}).", advice=advice)
