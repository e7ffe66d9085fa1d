"""Runs a parsed command: every error becomes one sentence on stderr and an exit code."""

from __future__ import annotations

import argparse
import sys

from stemline.errors import Cancelled, StemlineError


def run(args: argparse.Namespace) -> int:
    try:
        return int(args.func(args))
    except StemlineError as error:
        return _fail(error, as_json=bool(getattr(args, "json", False)))
    except KeyboardInterrupt:
        return _fail(Cancelled(), as_json=bool(getattr(args, "json", False)))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output is gone: there is nobody to tell
        return 1


def _fail(error: StemlineError, *, as_json: bool) -> int:
    if as_json:
        from stemline.cli.output import print_json

        print_json([], [{"input": "", "code": str(error.code), "message": str(error)}])
    sys.stderr.write(f"stemline: {error}\n")
    return error.exit_code
