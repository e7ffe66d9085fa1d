# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to the separation server: whether it runs, its models, and how to fix a problem."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

from stemline.client import Model, ServerInfo, connect, find_private
from stemline.client.client import PRIVATE
from stemline.client.generation import SoundGenerator
from stemline.errors import Code, StemlineError
from stemline.files import check_private
from stemline_panel.model.settings import PanelSettings, use_credentials
from stemline_panel.widgets.badge import Health
from stemline_panel.workers import Worker

_POLL_MS = 5_000
_RETRY_CODES = (Code.UNAUTHENTICATED, Code.SERVER_VERSION)

Found = tuple[ServerInfo, tuple[Model, ...], tuple[SoundGenerator, ...]]
"""A server with its models and its generators."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the badge shows. `fix` labels its button; empty hides it."""

    health: Health
    status: str
    details: str = ""
    fix: str = ""


class ServerConnection(QObject):
    """Watches one server. `changed` has a ServerState.

    `server` is an address; None is the private server, which ends when it isn't needed and starts again on demand.
    """

    changed = pyqtSignal(object)

    def __init__(self, server: str | None, at_start: str | None = None) -> None:
        """Prepare the connection; `connect_now` opens it. `at_start` is used where the settings name no server."""
        super().__init__()
        self._server, self._at_start = server, at_start
        self._private = (server or os.environ.get("STEMLINE_SERVER", "")) in ("", PRIVATE)
        self._worker = Worker("server", self)
        self._busy = self._asleep = False
        self._info: ServerInfo | None = None
        self._model = ""
        self.models: tuple[Model, ...] = ()
        self.generators: tuple[SoundGenerator, ...] = ()
        self.state = ServerState(Health.WAITING, self.tr("starting"))
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._poll)

    def connect_now(self) -> None:
        """Connect, and start the private server if it doesn't run."""
        if not self._busy:
            self._busy = True
            status = self.tr("starting the server") if self._private else self.tr("connecting")
            self._show(ServerState(Health.WAITING, status))
            self._worker.do(self._ask, self._connected, self.lost)
        self._timer.start()

    @property
    def takes_pictures(self) -> bool:
        """Whether the model of the next run takes pictures; True while that is not known."""
        name = self._model or (self._info.default_model if self._info else "")
        return all(model.takes_pictures for model in self.models if model.id == name)

    def use(self, settings: PanelSettings) -> str | None:
        """Use the server of the settings, and return its address; None for the private one or that of the start."""
        use_credentials(settings)
        server = settings.server or self._at_start
        if server != self._server:
            self._server = server
            self._private = (server or os.environ.get("STEMLINE_SERVER", "")) in ("", PRIVATE)
            self._info, self.models, self.generators, self._busy = None, (), (), False
            self.connect_now()
        return self._server

    def test(self, address: str, token_file: str, ca_file: str, show: Callable[[str], None]) -> None:
        """Connect to a server, and call `show` with one sentence about it."""

        def ask() -> str:
            if token_file:
                check_private(Path(token_file), "token file")
            token = Path(token_file).read_text(encoding="utf-8").strip() if token_file else None
            with connect(address or None, token=token, ca=ca_file or None) as client:
                info = client.server_info()
            text = self.tr("It works: {model} on {devices}, server version {version}.")
            return text.format(model=info.default_model, devices=", ".join(info.devices), version=info.version)

        def work() -> str:
            try:
                return ask()
            except OSError as error:
                return self.tr("The token file cannot be read: {reason}.").format(reason=error.strerror)

        self._worker.do(work, show, lambda error: show(str(error)))

    def set_model(self, model: str) -> None:
        """Show the model that the next run uses; empty is the server's default."""
        self._model = model
        if self.state.health is Health.GOOD and not self._asleep:
            self._show_model()

    def lost(self, error: StemlineError) -> None:
        """Show that there is no server, for example because a run failed for this reason."""
        self._busy = self._asleep = False
        start = self._private and error.code not in _RETRY_CODES
        fix = self.tr("Start it") if start else self.tr("Try again")
        self._show(ServerState(Health.BAD, self.tr("no server"), str(error), fix))

    def close(self) -> bool:
        """Stop watching. Return True if the worker thread ended."""
        self._timer.stop()
        return self._worker.close()

    def _ask(self) -> Found:
        with connect(self._server) as client:
            info, models, generators = client.server_info(), client.models(), tuple[SoundGenerator, ...]()
            with suppress(StemlineError):  # a server of an earlier version has none
                generators = client.generators()
        return info, models, generators

    def _connected(self, found: Found) -> None:
        self._busy = self._asleep = False
        self._info, self.models, self.generators = found
        self._show_model()

    def _show_model(self) -> None:
        info = self._info
        if info is None:
            return
        model = self._model or info.default_model
        title = next((known.title for known in self.models if known.id == model), model)
        where = self.tr("a private server") if self._private else self._server or os.environ["STEMLINE_SERVER"]
        details = self.tr("{model} on {devices}, {where}, version {version}")
        text = details.format(model=title, devices=", ".join(info.devices), where=where, version=info.version)
        self._show(ServerState(Health.GOOD, model, text))

    def _poll(self) -> None:
        """Look whether the server still runs, without starting a private one that sleeps."""
        if self._busy:
            return
        self._busy = True
        if self._private:
            self._worker.do(lambda: find_private() is not None, self._polled, self.lost)
        else:
            self._worker.do(self._ask, self._connected, self.lost)

    def _polled(self, runs: bool) -> None:
        self._busy = False
        good = self.state.health is Health.GOOD
        if good and not runs:
            self._asleep = True
            details = self.tr("The server sleeps and starts again when it is needed.")
            self._show(ServerState(Health.GOOD, self.tr("asleep"), details))
        elif runs and (not good or self._asleep):
            self.connect_now()

    def _show(self, state: ServerState) -> None:
        if state != self.state:
            self.state = state
            self.changed.emit(state)
