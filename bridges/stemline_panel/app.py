# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of the panel: one process with one window."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pyqtgraph
from PyQt5.QtCore import QTimer
from PyQt5.QtWidgets import QApplication

from stemline.companion.services import Doctor, no_doctor
from stemline_bridge.lines import ByteStream
from stemline_panel.crash_handler import install_crash_handler
from stemline_panel.director import Director
from stemline_panel.model.session import Session
from stemline_panel.model.settings import absolute_folder, use_credentials
from stemline_panel.reconnect import relay_to_waiting_panel
from stemline_panel.sound.sink import AudioSink, DeviceSink, device_problem
from stemline_panel.theme import apply_theme, scale_for_high_dpi
from stemline_panel.user_data import UserData, delete_unsaved_stems

_SIGNAL_MS = 500


@dataclass(frozen=True, slots=True)
class Launch:
    """The command line.

    `streams` are those of the host program that started the panel; `doctor` runs the checks that it can ask for.
    """

    input: str | None = None
    server: str | None = None
    output: str | None = None
    streams: tuple[ByteStream, ByteStream] | None = None
    doctor: Doctor = no_doctor


def main(launch: Launch) -> int:
    """Run the panel until its window closes. Threads that don't end don't keep the process alive."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="stemline panel: %(message)s")
    user_data = UserData.at()
    if launch.streams is not None and relay_to_waiting_panel(user_data.reconnect_file, *launch.streams):
        return 0
    threading.Thread(target=delete_unsaved_stems, name="stemline-panel-forget", daemon=True).start()
    app = make_application()
    director = build(launch, DeviceSink(user_data.settings().device), user_data)
    director.playback.check_device(device_problem)
    install_crash_handler(director.window.show_banner)
    director.window.fit_screen()
    director.window.show()
    signal.signal(signal.SIGINT, lambda *_: app.quit())
    wake = QTimer()
    wake.setInterval(_SIGNAL_MS)  # Python handles signals only when Qt calls it
    wake.timeout.connect(lambda: None)
    wake.start()
    code = app.exec_()
    if not director.close():
        sys.stderr.flush()
        os._exit(code)
    return code


def make_application() -> QApplication:
    """Create the Qt application with the panel's theme."""
    scale_for_high_dpi()
    app = QApplication(["stemline"])
    app.setApplicationName("Stemline")
    app.setDesktopFileName("stemline-panel")
    pyqtgraph.setConfigOptions(antialias=False, useOpenGL=False)
    apply_theme(app)
    return app


def build(launch: Launch, sink: AudioSink, user_data: UserData) -> Director:
    """Build the window and everything behind it, and open what was asked for."""
    output = Path(absolute_folder(launch.output)) if launch.output else None
    settings = user_data.settings()
    use_credentials(settings)
    server = launch.server or settings.server or None
    director = Director(
        Session(settings, server=server, server_at_start=launch.server, output_now=output), user_data, sink
    )
    director.host.doctor = launch.doctor
    director.server.connect_now()
    if launch.streams is not None:
        director.host.attach(*launch.streams)
    elif launch.input:
        director.open(Path(launch.input).absolute())
    return director
