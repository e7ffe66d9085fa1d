"""`stemline panel --host` with a script inside: separate the first clip, apply the stems, close the window."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from PyQt5.QtCore import QTimer

from stemline_app.cli import main
from stemline_panel import app
from stemline_panel.director import Director
from stemline_panel.sound.sink import AudioSink
from stemline_panel.user_data import UserData


def user(director: Director) -> Iterator[bool]:
    """Do what a user does, one step after the other."""
    print("a library prints what it likes")  # must not reach the host
    yield from _until(lambda: director.playback.clip is not None and director.session.server_ready)
    director.session.settings.model = "noop"
    director.window.prompt.prompt.edited.emit("speech")
    director.requests.trigger_primary()
    yield from _until(lambda: director.session.finished() is not None)
    director.requests.trigger_primary()
    yield from _until(lambda: any(item.applied for item in director.session.queue))
    director.window.close()


def _until(seen: object) -> Iterator[bool]:
    while not seen():  # type: ignore[operator]
        yield False


def build_driven(launch: app.Launch, sink: AudioSink, user_data: UserData) -> Director:
    director = build(launch, sink, user_data)
    steps = user(director)
    timer = QTimer(director)
    timer.timeout.connect(lambda: next(steps, None))
    timer.start(20)
    return director


build = app.build
app.build = build_driven
sys.exit(main(["panel", "--host", "-o", sys.argv[1]]))
