# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether there is a server, what it can do, and what to do when there is none."""

from __future__ import annotations

import os
from dataclasses import dataclass

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

from stemline.client import Model, ServerInfo, connect, find_private
from stemline.client.client import PRIVATE
from stemline.errors import Code, StemlineError
from stemline_panel.widgets.badge import Health
from stemline_panel.workers import Worker

_LOOK_EVERY_MS = 5_000
_FIXES = {Code.UNAUTHENTICATED: "Try again", Code.SERVER_VERSION: "Try again"}


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the badge shows."""

    health: Health
    words: str
    details: str = ""
    fix: str = ""


class ServerConnection(QObject):
    """`changed` tells a ServerState. `server` None means the private one, which sleeps when nobody needs it."""

    changed = pyqtSignal(object)

    def __init__(self, server: str | None) -> None:
        super().__init__()
        self._server = server
        self._private = (server or os.environ.get("STEMLINE_SERVER", "")) in ("", PRIVATE)
        self._worker = Worker("server", self)
        self._busy = False
        self.models: tuple[Model, ...] = ()
        self.state = ServerState(Health.WAITING, "starting")
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_EVERY_MS)
        self._timer.timeout.connect(self._look)

    def connect_now(self) -> None:
        """Starts the private server where it does not run."""
        if not self._busy:
            self._busy = True
            self._tell(ServerState(Health.WAITING, "starting the server" if self._private else "connecting"))
            self._worker.do(self._meet, self._met, self._failed)
        self._timer.start()

    def close(self) -> bool:
        self._timer.stop()
        return self._worker.close()

    def lost(self, error: StemlineError) -> None:
        """A run says that there is none."""
        self._failed(error)

    def _meet(self) -> tuple[ServerInfo, tuple[Model, ...]]:
        with connect(self._server) as client:
            return client.server_info(), client.models()

    def _met(self, found: tuple[ServerInfo, tuple[Model, ...]]) -> None:
        self._busy = False
        info, self.models = found
        default = next((model for model in self.models if model.id == info.default_model), None)
        title = default.title if default else info.default_model
        devices = ", ".join(info.devices)
        self._tell(ServerState(Health.GOOD, info.default_model, f"{title} on {devices}, version {info.version}"))

    def _failed(self, error: StemlineError) -> None:
        self._busy = False
        fix = _FIXES.get(error.code, "Start it" if self._private else "Try again")
        self._tell(ServerState(Health.BAD, "no server", str(error), fix))

    def _look(self) -> None:
        """A quiet look. The private server is not woken by it: it starts again when something is to be done."""
        if self._busy:
            return
        self._busy = True
        if self._private:
            self._worker.do(lambda: find_private() is not None, self._seen, self._failed)
        else:
            self._worker.do(self._meet, self._met, self._failed)

    def _seen(self, runs: bool) -> None:
        self._busy = False
        if self.state.health is Health.GOOD and not runs:
            self._tell(ServerState(Health.GOOD, "asleep", "The server sleeps and starts again when it is needed."))
        elif runs and (self.state.health is not Health.GOOD or self.state.words == "asleep"):
            self.connect_now()

    def _tell(self, state: ServerState) -> None:
        if state != self.state:
            self.state = state
            self.changed.emit(state)
