"""What the desktop is told, on a real bus with a real service for notifications."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PyQt5.QtDBus import QDBusConnection
from PyQt5.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import tones
from stemline_panel.desktop import LAUNCHER, Desktop

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon")

SERVICE = """
import json, sys
from PyQt5.QtCore import QCoreApplication, QObject, Q_CLASSINFO, pyqtSlot
from PyQt5.QtDBus import QDBusAbstractAdaptor, QDBusConnection, QDBusMessage

class Notifications(QDBusAbstractAdaptor):
    Q_CLASSINFO("D-Bus Interface", "org.freedesktop.Notifications")

    @pyqtSlot(QDBusMessage, result=int)
    def Notify(self, message):
        print(json.dumps([message.signature(), message.arguments()[3:5]]), flush=True)
        return 1

class Launcher(QObject):
    @pyqtSlot(QDBusMessage)
    def update(self, message):
        print(json.dumps([message.signature(), message.arguments()]), flush=True)

app = QCoreApplication([])
bus = QDBusConnection.connectToBus(sys.argv[1], "service")
holder, launcher = QObject(), Launcher()
adaptor = Notifications(holder)
assert bus.registerObject("/org/freedesktop/Notifications", holder)
assert bus.registerService("org.freedesktop.Notifications")
assert bus.connect("", "", "com.canonical.Unity.LauncherEntry", "Update", launcher.update)
print("ready", flush=True)
app.exec_()
"""


@pytest.fixture
def address() -> Iterator[str]:
    """Start a session bus."""
    command = ["dbus-daemon", "--session", "--nofork", "--print-address=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        yield daemon.stdout.readline().strip()
        daemon.kill()


@pytest.fixture
def service(address: str) -> Iterator[subprocess.Popen[str]]:
    """Start a service that prints each notification and each signal of a launcher."""
    command = [sys.executable, "-c", SERVICE, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.fixture
def desktop(address: str, qtbot: QtBot) -> Iterator[Desktop]:
    window = QWidget()
    qtbot.addWidget(window)
    made = Desktop(window)
    made._bus = QDBusConnection.connectToBus(address, address)
    yield made
    QDBusConnection.disconnectFromBus(address)


def heard(service: subprocess.Popen[str]) -> list[object]:
    assert service.stdout is not None
    line: list[object] = json.loads(service.stdout.readline())
    return line


def test_a_notification_reaches_the_service_with_the_words_of_a_prompt_as_text(
    desktop: Desktop, service: subprocess.Popen[str]
) -> None:
    assert desktop._notify_by_bus("Stemline is done", "<b>rock & roll</b>: 3 stems")
    assert heard(service) == ["susssasa{sv}i", ["Stemline is done", "&lt;b&gt;rock &amp; roll&lt;/b&gt;: 3 stems"]]


def test_the_taskbar_follows_the_run_and_forgets_it_at_the_end(
    desktop: Desktop, service: subprocess.Popen[str]
) -> None:
    for fraction in (0.25, 0.251, 0.5, None):
        desktop.show_progress(fraction)
    shown = [(0.25, True), (0.5, True), (0.0, False)]
    for progress, visible in shown:
        assert heard(service) == ["sa{sv}", [LAUNCHER, {"progress": progress, "progress-visible": visible}]]


def test_a_bus_without_the_service_leaves_the_notification_to_the_tray(desktop: Desktop) -> None:
    assert not desktop._notify_by_bus("Stemline is done", "rain")


def test_the_title_of_the_window_shows_the_progress_of_the_run(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    titles: list[str] = []
    panel.window.windowTitleChanged.connect(titles.append)
    panel.session.settings.model = "noop"
    panel.separate("rain")
    assert any("% a.wav - Stemline" in title for title in titles)
    assert panel.window.windowTitle() == "a.wav - Stemline"
