"""Signals that stop a command while it separates."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


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
