"""Runs a parsed command: every error becomes one sentence on stderr and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from stemline.cli.answers import say
from stemline.errors import Cancelled, EditError, StemlineError
from stemline.faults import unforeseen


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


@contextlib.contextmanager
def hanging_up_stops() -> Iterator[None]:
    """Meanwhile a closed terminal and `kill` stop the work as Ctrl-C does: jobs are cancelled, what is done stays."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {}
    for name in ("SIGHUP", "SIGTERM"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores it
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(error: StemlineError, args: argparse.Namespace) -> int:
    if getattr(args, "json", False):
        from stemline.cli.answers import print_json

        about = str(Path(args.edit).absolute()) if isinstance(error, EditError) and hasattr(args, "edit") else ""
        print_json([], [{"input": about, "code": str(error.code), "message": str(error)}])
    say(f"stemline: {error}")
    return error.exit_code
