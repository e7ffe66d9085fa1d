"""Ctrl-C, `kill` and a closed terminal while a command separates."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Stop:
    """Whether the user wants the work to stop. Outside of `gently` the first signal raises KeyboardInterrupt, within it
    the second: raised in the middle of a call of gRPC, it can leave a lock held that everybody waits for.
    """

    def __init__(self) -> None:
        self._asked = self._gentle = False

    def asked(self) -> bool:
        return self._asked

    @contextlib.contextmanager
    def gently(self) -> Iterator[None]:
        """Meanwhile somebody looks at `asked` often and ends in good order."""
        self._gentle = True
        try:
            yield
        finally:
            self._gentle = False

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """The handler of the signals."""
        if self._asked or not self._gentle:
            raise KeyboardInterrupt
        self._asked = True


@contextlib.contextmanager
def stop_by_signal() -> Iterator[Stop]:
    """Whatever ends the command ends its work in good order: jobs are cancelled, what is done stays."""
    stop = Stop()
    before = {}
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, stop.hear)  # `nohup` ignores SIGHUP, and goes on doing so
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
