"""Run a parsed command: errors become one sentence and an exit code, signals stop it in good order."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, EditError, StemlineError
from stemline_app.cli.output import print_json, say

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


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
        about = str(Path(args.edit).absolute()) if isinstance(error, EditError) and hasattr(args, "edit") else ""
        print_json([], [{"input": about, **error.to_json()}])
    say(f"stemline: {error}")
    return error.exit_code


class Stop:
    """A request to stop, made by a signal.

    Outside `gently` the first signal raises KeyboardInterrupt, inside it the second one does: raised in the middle of a
    gRPC call, it can leave a lock held for ever.
    """

    def __init__(self) -> None:
        """Start without a request."""
        self._asked = self._gentle = False

    def asked(self) -> bool:
        """Return whether the work should stop."""
        return self._asked

    @contextlib.contextmanager
    def gently(self) -> Iterator[None]:
        """Let the block poll `asked` and stop in good order."""
        self._gentle = True
        try:
            yield
        finally:
            self._gentle = False

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._asked or not self._gentle:
            raise KeyboardInterrupt
        self._asked = True


@contextlib.contextmanager
def stop_by_signal() -> Iterator[Stop]:
    """Turn Ctrl-C, `kill` and a closed terminal into a `Stop`: jobs are cancelled, finished files stay."""
    stop = Stop()
    before = {}
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, stop.hear)  # `nohup` ignores SIGHUP; that stays so
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
