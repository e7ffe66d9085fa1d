"""What a script gets hold of: objects whose every call is refereed.

Quirk 1: `hasattr` is true for whatever name. Quirk 14: a paid call in the free edition opens a dialog, and then every
call answers False. Quirk 15: two calls at once, or a call on a connection that hangs, are faults.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .signatures import Signatures


class Referee:
    """Sees every call. `faults` are what no script may do; `hooks` make something happen at the n-th call of a
    method."""

    def __init__(self, signatures: Signatures, is_free: bool) -> None:
        self.signatures = signatures
        self.is_free = is_free
        self.faults: list[str] = []
        self.dialog_is_open = False
        self.has_quit = False
        self.session = 0
        self.hung: set[int] = set()
        self.deaf: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.hooks: dict[tuple[str, int], Callable[[], Any]] = {}
        self._busy = threading.Lock()

    def hang(self) -> None:
        """The connection in use never answers again."""
        self.hung.add(self.session)

    def call(self, handle: Handle, name: str, arguments: tuple[Any, ...]) -> Any:
        if handle.session in self.hung:
            self.faults.append(f"{handle.KIND}.{name} on a connection that hangs")
        if not self._busy.acquire(blocking=False):
            self.faults.append(f"{handle.KIND}.{name} while another call is open")
            return None
        try:
            answer = self._answer(handle, name, arguments)
        finally:
            self._busy.release()
        if handle.session in self.hung:
            threading.Event().wait()
        return answer

    def _answer(self, handle: Handle, name: str, arguments: tuple[Any, ...]) -> Any:
        full = f"{handle.KIND}.{name}"
        self.counts[full] = self.counts.get(full, 0) + 1
        event = self.hooks.get((full, self.counts[full]))
        if event is not None:
            event()
        if self.has_quit:
            return None
        fault = self.signatures.fault(handle.KIND, name, arguments)
        if fault:
            self.faults.append(fault)
            return None
        if self.is_free and self.signatures.paid(handle.KIND, name):
            self.dialog_is_open = True
        if self.dialog_is_open:
            return False
        if self.deaf.get(full, 0) > 0:  # quirk 13
            self.deaf[full] -= 1
            return True
        method = getattr(handle.model, name, None)
        if method is None:
            self.faults.append(f"{full} is documented, but the fake does not have it")
            return None
        return self.wrapped(method(*map(_bare, arguments)))

    def wrapped(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self.wrapped(one) for one in value]
        return Handle(self, value) if hasattr(type(value), "KIND") else value


class Handle:
    """One object as a script sees it."""

    def __init__(self, referee: Referee, model: Any) -> None:
        self.model = model
        self.session = referee.session
        self.KIND = model.KIND
        self._referee = referee

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: self._referee.call(self, name, arguments)

    def __dir__(self) -> list[str]:
        return self._referee.signatures.names(self.KIND)

    def __repr__(self) -> str:
        return f"<{self.KIND}>"


def _bare(value: Any) -> Any:
    if isinstance(value, Handle):
        return value.model
    if isinstance(value, list):
        return [_bare(one) for one in value]
    if isinstance(value, dict):
        return {key: _bare(one) for key, one in value.items()}
    return value
