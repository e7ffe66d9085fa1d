"""A panel under test: what a user does and sees, and a sound device that records."""

from __future__ import annotations

import threading
import time
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from stemline_panel.director import Director
from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.model.request import RunOutcome
from stemline_panel.sound.sink import NoDeviceError, PullSamples

RATE = 48000


class FakeSink:
    """A sound device that pulls on demand. With `missing` opening it fails with that message."""

    def __init__(self, missing: str = "") -> None:
        self.missing = missing
        self.rate = 0
        self.opened_by: list[threading.Thread] = []
        self._pull: PullSamples | None = None

    latency_s = 0.02
    device = ""

    def open(self, sample_rate: int, pull: PullSamples) -> None:
        self.opened_by.append(threading.current_thread())
        if self.missing:
            raise NoDeviceError(self.missing)
        self.rate, self._pull = sample_rate, pull

    def close(self) -> None:
        self._pull = None

    def hear(self, frames: int, timeout_s: float = 60.0) -> npt.NDArray[np.float32]:
        """Return the next `frames` samples [frames, 2], skipping the silence of an empty buffer."""
        heard: list[npt.NDArray[np.float32]] = []
        deadline = time.monotonic() + timeout_s
        while sum(map(len, heard)) < frames:
            assert time.monotonic() < deadline, "nothing is played"
            part = self.pull(min(512, frames - sum(map(len, heard))))
            if part.any():
                heard.append(part)
            else:
                time.sleep(0.005)
        return np.concatenate(heard)

    def pull(self, frames: int) -> npt.NDArray[np.float32]:
        """Pull as a device does; silence while it is not open."""
        pull = self._pull
        return pull(frames) if pull is not None else np.zeros((frames, 2), np.float32)


class Panel:
    """One window under test."""

    def __init__(self, director: Director, qtbot: QtBot, sink: FakeSink) -> None:
        self.director, self.bot, self.sink = director, qtbot, sink
        self.window, self.session, self.playback = director.window, director.session, director.playback

    def until(self, seen: Callable[[], object], timeout_s: float = 180.0) -> None:
        """Run the event loop until `seen` returns true."""
        self.bot.waitUntil(lambda: bool(seen()), timeout=round(timeout_s * 1000))

    def ready(self) -> Panel:
        """Wait until a clip is open and the server is connected, and return the panel."""
        self.until(lambda: self.playback.clip is not None and self.session.server_ready)
        return self

    def until_shown(self) -> None:
        """Wait until the chosen clip is open."""
        self.until(lambda: self.playback.clip and self.session.clip is self.playback.clip.clip)

    def type(self, text: str) -> None:
        edit = self.window.prompt.prompt.edit
        edit.setFocus()
        edit.selectAll()
        QTest.keyClicks(edit, text)

    def key(self, key: Qt.Key, modifier: Qt.KeyboardModifier | Qt.KeyboardModifiers = Qt.NoModifier) -> None:
        self.window.wave.setFocus()
        QTest.keyClick(self.window, key, Qt.KeyboardModifiers(modifier))

    def click(self, button: QWidget) -> None:
        QTest.mouseClick(button, Qt.LeftButton)

    @property
    def choice(self) -> str:
        """The name of the layer that is heard."""
        return self.playback.player.choice

    def plays(self) -> bool:
        return self.playback.player.playing

    @property
    def primary_label(self) -> str:
        return str(self.window.prompt.primary.text())

    def trigger_primary(self) -> None:
        self.click(self.window.prompt.primary)

    def separate(self, text: str) -> QueueItem:
        """Type a prompt, press the main button, and return the item when it has ended."""
        self.type(text)
        self.until(lambda: self.session.server_ready)
        self.trigger_primary()
        return self.ended()

    def ended(self) -> QueueItem:
        """Wait until nothing runs or waits, and return the newest item."""
        self.until(lambda: all(item.state.ended for item in self.session.queue) and len(self.session.queue))
        return list(self.session.queue)[-1]

    def done(self) -> QueueItem:
        item = self.ended()
        assert item.state is ItemState.DONE, item.status
        return item

    def finish(self, outcome: RunOutcome, *, restored: bool = False) -> QueueItem:
        """Finish a run on the open document with an outcome."""
        item = self.session.queue.add(outcome.request, ItemState.RUNNING, self.session.document_key)
        item.restored = restored
        self.session.queue.finish(item.number, outcome)
        self.director.runs.changed.emit()
        self.director.runs.finished.emit(item)
        return item

    def select(self, start: float, end: float) -> None:
        """Select a part of the waveform, in seconds."""
        from stemline.clips import TimeRange

        self.window.wave.selected.emit(TimeRange(Fraction(start), Fraction(end)))

    def close(self) -> None:
        self.director.close()
        self.window.close()
        self.window.deleteLater()


def tones(path: Path, seconds: float = 12.0, channels: int = 2, rate: int = RATE) -> Path:
    """Write quiet noise with three loud beeps of 440 Hz, at 2.0-2.5, 5.0-6.0 and 9.0-9.2 s."""
    time_s = np.arange(round(seconds * rate)) / rate
    sound = np.random.default_rng(1).normal(0, 0.004, (channels, len(time_s)))
    for start, end in ((2.0, 2.5), (5.0, 6.0), (9.0, 9.2)):
        part = (time_s >= start) & (time_s < end)
        sound[:, part] += 0.3 * np.sin(2 * np.pi * 440 * time_s[part])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sound.T * 32767).astype("<i2").tobytes())
    return path
