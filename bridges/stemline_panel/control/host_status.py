# SPDX-License-Identifier: GPL-3.0-or-later
"""The badge of the host program and the messages about it."""

from __future__ import annotations

from typing import Protocol

from PyQt5.QtCore import QObject

from stemline.errors import Code, StemlineError
from stemline_panel.documents import Document, HostDocument
from stemline_panel.widgets.badge import Health
from stemline_panel.widgets.main_window import MainWindow


class HostState(Protocol):
    """The connection to the host program, as far as it is shown."""

    @property
    def connected(self) -> bool:
        """Whether a host program is connected."""
        ...

    @property
    def document(self) -> Document | None:
        """The open document, which may be another than the host's."""
        ...


class HostStatus(QObject):
    """Shows the state of the host program in the window."""

    def __init__(self, window: MainWindow, host: HostState) -> None:
        """Hide the badge until a host is connected."""
        super().__init__()
        self._window, self._host = window, host
        window.clip_bar.show_host(shown=False)

    def show_connected(self) -> None:
        """Show the badge if a host is connected."""
        document = self._host.document
        self._window.clip_bar.show_host(shown=self._host.connected)
        if isinstance(document, HostDocument) and self._host.connected:
            details = self.tr("{host} {version} is connected.")
            text = details.format(host=document.label, version=document.capabilities.version)
            self._window.clip_bar.host.show_state(Health.GOOD, document.label, text)

    def show_slow(self, slow: bool) -> None:
        """Show that the host keeps the panel waiting, or that it answered."""
        if not slow:
            self.show_connected()
        elif self._host.connected:
            text = self.tr("{host} has not answered for half a minute. It may be rendering or showing a dialog.")
            self._window.clip_bar.show_host(shown=True)
            self._window.clip_bar.host.show_state(
                Health.WAITING, self.tr("still waiting"), text.format(host=self._label())
            )

    def show_error(self, error: StemlineError) -> None:
        """Show an error of the host. If nothing was read yet, this is the first time that the badge is visible."""
        if not self._host.connected:
            return
        self._window.clip_bar.show_host(shown=True)
        badge = self._window.clip_bar.host
        if error.code in (Code.HOST_TIMEOUT, Code.HOST_BUSY):
            badge.show_state(Health.BAD, self.tr("does not answer"), str(error), self.tr("Try again"))
        elif error.code is Code.EDIT_NO_CLIPS:
            badge.show_state(Health.WAITING, self.tr("no clips"), str(error), self.tr("Read again"))
        elif not isinstance(self._host.document, HostDocument):
            badge.show_state(Health.BAD, self.tr("cannot be read"), str(error), self.tr("Try again"))

    def show_gone(self) -> None:
        """Show that the host ended and how to go on."""
        text = self.tr(
            "{host} has quit. Your stems are safe, and the current run goes on. Start it again and choose Stemline "
            "from its menu to continue in this window."
        ).format(host=self._label())
        self._window.clip_bar.show_host(shown=True, gone=True)
        status = self.tr("{host} has quit").format(host=self._label())
        self._window.clip_bar.host.show_state(Health.BAD, status, text, self.tr("Work on the file"))
        self._window.show_banner(text)

    def hide(self) -> None:
        """Hide the badge."""
        self._window.clip_bar.show_host(shown=False)

    def _label(self) -> str:
        document = self._host.document
        return document.label if isinstance(document, HostDocument) else self.tr("The host")
