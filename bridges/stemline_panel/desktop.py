# SPDX-License-Identifier: GPL-3.0-or-later
"""What the desktop shows of the panel: progress in the taskbar, and notifications (freedesktop.org, over D-Bus)."""

from __future__ import annotations

import sys
from typing import Any

from PyQt5.QtCore import QVariant
from PyQt5.QtWidgets import QApplication, QStyle, QSystemTrayIcon, QWidget

LAUNCHER = "application://stemline-panel.desktop"
_ICON = "audio-volume-high"
_WAIT_MS = 1000
_NOTIFICATIONS = "org.freedesktop.Notifications"
_LAUNCHER_ENTRY = "com.canonical.Unity.LauncherEntry"


class Desktop:
    """The desktop around a window. Without D-Bus it uses the tray for notifications and shows no progress."""

    def __init__(self, window: QWidget) -> None:
        """Connect to nothing yet."""
        self._window = window
        self._percent: int | None = None
        self._bus: Any = None
        self._tray: QSystemTrayIcon | None = None

    def show_progress(self, fraction: float | None) -> None:
        """Show the progress of the current run on the icon of the panel; None removes it.

        Sends the signal `Update` of the Unity launcher, which Plasma and the docks of Gnome follow, too.
        """
        percent = None if fraction is None else round(100 * fraction)
        if percent == self._percent:
            return
        self._percent = percent
        bus = self._session_bus()
        if bus is not None:
            from PyQt5.QtDBus import QDBusMessage  # noqa: PLC0415 - only where there is a bus

            signal = QDBusMessage.createSignal("/com/stemline/panel", _LAUNCHER_ENTRY, "Update")
            shown = {"progress": float(fraction or 0.0), "progress-visible": percent is not None}
            signal.setArguments([LAUNCHER, shown])
            bus.send(signal)

    def notify(self, title: str, text: str) -> None:
        """Notify the user, and mark the window in the taskbar."""
        QApplication.alert(self._window)
        if not self._notify_by_bus(title, text):
            self._notify_by_tray(title, text)

    def _session_bus(self) -> Any:
        """Return the session bus, or None where there is none."""
        if self._bus is None and sys.platform.startswith("linux"):
            from PyQt5.QtDBus import QDBusConnection  # noqa: PLC0415 - only where there is a bus

            self._bus = QDBusConnection.sessionBus()
        return self._bus if self._bus is not None and self._bus.isConnected() else None

    def _notify_by_bus(self, title: str, text: str) -> bool:
        """Send a notification. Return False if no service took it."""
        bus = self._session_bus()
        if bus is None:
            return False
        from PyQt5.QtDBus import QDBus, QDBusMessage  # noqa: PLC0415 - only where there is a bus

        call = QDBusMessage.createMethodCall(_NOTIFICATIONS, "/org/freedesktop/Notifications", _NOTIFICATIONS, "Notify")
        replaced, actions = QVariant(0), QVariant([])
        replaced.convert(QVariant.UInt)
        actions.convert(QVariant.StringList)
        hints = {"desktop-entry": "stemline-panel", "category": "transfer.complete"}
        call.setArguments(["Stemline", replaced, _ICON, title, _plain(text), actions, hints, -1])
        reply = bus.call(call, QDBus.Block, _WAIT_MS)
        return bool(reply.type() == QDBusMessage.ReplyMessage)

    def _notify_by_tray(self, title: str, text: str) -> None:
        if not (QSystemTrayIcon.isSystemTrayAvailable() and QSystemTrayIcon.supportsMessages()):
            return
        if self._tray is None:
            icon = self._window.style().standardIcon(QStyle.SP_MediaVolume)
            self._tray = QSystemTrayIcon(icon, self._window)
            self._tray.messageClicked.connect(self._window.activateWindow)
        self._tray.show()
        self._tray.showMessage(title, text)


def _plain(text: str) -> str:
    """Return text without markup: the body of a notification may hold some, and prompts are the user's words."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
