"""Resolve's scripting objects, called with a time limit.

Only `dir()` of an object says what it can do: `hasattr` is true for everything. A call may never return, so each runs
on a worker thread and is abandoned after its time limit; then `resolve` is fetched again. Only one call is open at a
time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from stemline_bridge import HostError

_PLAIN = (type(None), bool, int, float, str)
_USUAL_S = 30.0
_LONG_S = {
    "AppendToTimeline": 120.0,
    "DuplicateTimeline": 300.0,
    "ImportMedia": 300.0,
    "OpenPage": 60.0,
    "SaveProject": 300.0,
}
_MAY_BE_FALSE = ("GetIs", "GetClipEnabled")


class MethodMissing(HostError):
    """This Resolve has no such method."""

    def __init__(self, name: str) -> None:
        """Name the method."""
        super().__init__(f"This DaVinci Resolve has no {name}.", "HOST_UNSUPPORTED", "Update Resolve.")


class CallHung(HostError):
    """Resolve did not return from a call in time."""

    def __init__(self, name: str, waited_s: float) -> None:
        """Name the method and the time limit in seconds."""
        super().__init__(
            f"DaVinci Resolve did not answer {name} within {waited_s:g} s.",
            "HOST_TIMEOUT",
            "Close any dialog in Resolve, then try again.",
        )


class ResolveBlocked(HostError):
    """A dialog is open in Resolve. Every call returns False until it is closed."""

    def __init__(self) -> None:
        """Ask the user to close the dialog."""
        super().__init__(
            "A dialog is open in DaVinci Resolve, so it answers no script.",
            "HOST_BUSY",
            "Close the dialog in Resolve, then try again.",
        )


def with_more(failure: Exception, more: str) -> HostError:
    """Return `failure` as a HostError with another sentence, which says what is on the timeline now."""
    if isinstance(failure, HostError):
        return HostError(f"{failure} {more}", failure.code, failure.advice)
    if isinstance(failure, (OSError, ValueError)):
        return HostError(f"{failure} {more}", "OUTPUT_UNWRITABLE")
    return HostError(
        f"DaVinci Resolve gave an unexpected answer ({type(failure).__name__}: {failure}). {more}", "HOST_FAILED"
    )


class Api:
    """Access to every object of Resolve.

    `reconnect` returns a new `resolve` after a call that never returned. `patience` scales every time limit.
    """

    def __init__(self, resolve: Any, reconnect: Callable[[], Any] | None = None, patience: float = 1.0) -> None:
        """Take the live `resolve`, or None to fetch it with `reconnect`."""
        self._resolve = resolve
        self._reconnect = reconnect
        self._patience = patience
        self._worker: _Worker | None = None

    def resolve(self) -> Remote:
        """Return the live `resolve`. Raises HostError when there is none."""
        if self._worker is None:
            self._worker = _Worker()
            if self._reconnect is not None and self._resolve is None:
                self._resolve = self._run("scriptapp", self._reconnect)
        if self._resolve is None:
            raise HostError("DaVinci Resolve cannot be reached.", "HOST_GONE", "Run the Stemline script again.")
        return Remote(self, self._resolve)

    def call(self, target: Any, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return the answer of `target.name(*arguments)`, its objects wrapped.

        Raises:
            MethodMissing: This Resolve has no such method.
            CallHung: There was no answer in time.
            ResolveBlocked: A dialog is open.
            HostError: The call failed.
        """
        answer = self._run(name, lambda: getattr(target, name)(*map(_bare, arguments)))
        if answer is False and name.startswith("Get") and not name.startswith(_MAY_BE_FALSE):
            raise ResolveBlocked
        return self._wrapped(answer)

    def names(self, target: Any) -> frozenset[str]:
        """Return the names of what `target` can do, from `dir()`."""
        return frozenset(self._run("dir", lambda: dir(target)))

    def _run(self, name: str, work: Callable[[], Any]) -> Any:
        if self._worker is None:
            raise HostError("The connection to DaVinci Resolve was renewed during the call.", "HOST_GONE", "Try again.")
        wait_s = _LONG_S.get(name, _USUAL_S) * self._patience
        try:
            return self._worker.run(work, wait_s)
        except TimeoutError:
            self._worker = None  # its thread may never end
            if self._reconnect is not None:
                self._resolve = None
            raise CallHung(name, wait_s) from None
        except Exception as failure:
            raise HostError(
                f"DaVinci Resolve failed at {name}: {failure}.", "HOST_GONE", "Run the Stemline script again."
            ) from failure

    def _wrapped(self, answer: Any) -> Any:
        if isinstance(answer, _PLAIN):
            return answer
        if isinstance(answer, (list, tuple)):
            return [self._wrapped(one) for one in answer]
        if isinstance(answer, dict):
            return {key: self._wrapped(value) for key, value in answer.items()}
        return Remote(self, answer)


class Remote:
    """One object of Resolve.

    Its methods are called like its own. A name that is not in its `dir()` raises MethodMissing.
    """

    __slots__ = ("_api", "_names", "_raw")

    def __init__(self, api: Api, raw: Any) -> None:
        """Wrap an object of Resolve."""
        self._api = api
        self._raw = raw
        self._names: frozenset[str] | None = None

    def __contains__(self, name: str) -> bool:
        """Return whether the object has a method of this name."""
        if self._names is None:
            self._names = self._api.names(self._raw)
        return name in self._names

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return the method of this name. Raises MethodMissing."""
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self:
            raise MethodMissing(name)
        return lambda *arguments: self._api.call(self._raw, name, arguments)


class _Worker:
    """A thread that runs one call after another. A thread whose call hangs is abandoned."""

    def __init__(self) -> None:
        self._tasks: queue.Queue[tuple[Callable[[], Any], queue.Queue[tuple[Any, Exception | None]]]] = queue.Queue()
        threading.Thread(target=self._work, name="stemline-resolve", daemon=True).start()

    def run(self, work: Callable[[], Any], timeout_s: float) -> Any:
        answer: queue.Queue[tuple[Any, Exception | None]] = queue.Queue()
        self._tasks.put((work, answer))
        try:
            result, failure = answer.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        if failure is not None:
            raise failure
        return result

    def _work(self) -> None:
        while True:
            work, answer = self._tasks.get()
            try:
                answer.put((work(), None))
            except Exception as failure:  # noqa: BLE001 - raised again on the waiting thread
                answer.put((None, failure))


def _bare(argument: Any) -> Any:
    if isinstance(argument, Remote):
        return argument._raw
    if isinstance(argument, list):
        return [_bare(one) for one in argument]
    if isinstance(argument, dict):
        return {key: _bare(value) for key, value in argument.items()}
    return argument
