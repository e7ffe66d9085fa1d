"""`stemline panel --host` with a user inside: the command itself, with the arguments it was started with, in a process
of its own. The user does to the real widgets what the scene in $STEMLINE_TEST_SCENE says, and writes down what is seen.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic

from PyQt5.QtCore import QEvent, QObject, QPointF, Qt, QTimer
from PyQt5.QtGui import QMouseEvent
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QPushButton, QWidget

from stemline_app.cli import main
from stemline_panel import app
from stemline_panel.director import Director
from stemline_panel.sound.sink import AudioSink
from stemline_panel.user_data import UserData

Seen = Callable[[], object]
Scene = Iterator[Seen]
_PATIENCE_S = 180.0


class User:
    """Looks at the window and uses it. A scene is a generator: it goes on once what it yields is seen."""

    def __init__(self, director: Director, told: dict[str, str]) -> None:
        self.window = director.window
        self._notes_file, self._pictures = Path(told["notes"]), Path(told["pictures"])
        self.notes: dict[str, object] = {"pid": os.getpid()}
        self.write()

    def write(self) -> None:
        part = self._notes_file.with_suffix(".part")
        part.write_text(json.dumps(self.notes), encoding="utf-8")
        part.replace(self._notes_file)

    def note(self, name: str, value: object) -> None:
        self.notes[name] = value
        self.write()

    def picture(self, name: str) -> None:
        self.window.grab().save(str(self._pictures / f"{name}.png"))

    # -- what is seen --------------------------------------------------------------------------------------------------

    @property
    def big(self) -> str:
        return str(self.window.prompt.primary.text())

    @property
    def target(self) -> str:
        return str(self.window.clip_bar.line.text())

    def is_open(self) -> bool:
        """A clip is named with its channels, which are known once its media is open; and there is a server."""
        return "kHz" in self.target and self.window.clip_bar.server.status not in (
            "",
            "starting the server",
            "no server",
        )

    def takes(self) -> dict[str, QPushButton]:
        """The buttons of the sounds that can be compared."""
        made = self.window.transport.findChildren(QPushButton, "layer")
        return {button.text(): button for button in made if button.isVisible()}

    def heard(self) -> list[str]:
        """Which sound is chosen, and where the playhead stands."""
        chosen = next(name for name, button in self.takes().items() if button.isChecked())
        return [chosen, self.window.transport.clock.text()]

    def drawn(self) -> bytes:
        """The waveform that is drawn."""
        return bytes(self.window.wave._edges[1].yData)

    def levels(self) -> list[str]:
        return [strip.level.text() for strip in self.window.results.strips.values()]

    def runs(self) -> list[list[str]]:
        """The queue's rows: title and state, newest first."""
        rows = self.window.queue._rows.values()
        return [[row._title.text(), row._status.text()] for row in rows]

    # -- what is done --------------------------------------------------------------------------------------------------

    def click(self, button: QWidget) -> None:
        if not (button.isVisible() and button.isEnabled()):
            raise AssertionError(f"{button.accessibleName()} cannot be pressed")
        QTest.mouseClick(button, Qt.LeftButton)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.NoModifier) -> None:
        self.window.wave.setFocus()
        QTest.keyClick(self.window, key, modifier)

    def type(self, text: str) -> None:
        edit = self.window.prompt.prompt.edit
        QTest.mouseClick(edit, Qt.LeftButton)
        edit.selectAll()
        QTest.keyClicks(edit, text)

    def drag(self, start_s: float, end_s: float) -> None:
        """Over the waveform, with the left button held."""
        plot = self.window.wave._wave
        view, canvas = plot.getViewBox(), plot.viewport()
        at = [QPointF(plot.mapFromScene(view.mapViewToScene(QPointF(time, 0.0)))) for time in (start_s, end_s)]
        steps = [at[0] + (at[1] - at[0]) * step / 4 for step in range(5)]
        self._mouse(canvas, QEvent.MouseButtonPress, steps[0])
        for place in steps[1:]:
            QTest.qWait(60)  # the picture takes only so many moves a second
            self._mouse(canvas, QEvent.MouseMove, place)
        self._mouse(canvas, QEvent.MouseButtonRelease, steps[-1])

    def _mouse(self, on: QWidget, kind: QEvent.Type, place: QPointF) -> None:
        moved = kind == QEvent.MouseMove
        held = Qt.NoButton if kind == QEvent.MouseButtonRelease else Qt.LeftButton
        button = Qt.NoButton if moved else Qt.LeftButton
        QApplication.sendEvent(on, QMouseEvent(kind, place, button, held, Qt.NoModifier))


# -- scenes ------------------------------------------------------------------------------------------------------------


def whole_way(user: User) -> Scene:
    """Opens, marks, separates, compares, applies, removes."""
    yield from _mark_and_separate(user)
    yield from _compare(user)
    window = user.window
    user.click(window.prompt.primary)
    yield lambda: user.big == "Applied"
    user.note("applied", [window.status_text, *user.runs()[0]])
    user.picture("5 applied")
    user.click(window.results.take_back)
    yield lambda: user.big == "Apply to DaVinci Resolve Studio"
    user.note("removed", window.status_text)
    user.picture("6 removed")
    window.close()


def _mark_and_separate(user: User) -> Scene:
    window = user.window
    yield user.is_open
    yield lambda: window.wave._image.image is not None
    user.note("target", user.target)
    user.picture("1 open")
    shown = window.wave.whole
    user.drag(float(shown.start) + 0.6, float(shown.start) + 2.2)
    user.click(window.transport.plus)
    user.type("speech")
    user.note("marks", window.prompt.stems.summary.text())
    user.note("asks", [user.big, window.prompt.primary.toolTip()])
    user.picture("2 marked")
    user.click(window.prompt.primary)
    yield lambda: user.runs() and "%" in user.runs()[0][1]
    user.picture("3 at work")


def _compare(user: User) -> Scene:
    """Every sound at the same playhead, by mouse and by keys."""
    window = user.window
    yield lambda: user.big == "Apply to DaVinci Resolve Studio" and "LUFS" in user.levels()[0]
    user.note("done", [window.results.null.text(), *user.runs()[0]])
    user.note("will", window.prompt.primary.toolTip())
    window.resize(1440, 820)  # room for a button for each sound
    yield user.takes
    user.press(Qt.Key_Home)
    user.press(Qt.Key_Right, Qt.ShiftModifier)
    compared = []
    for name in ("speech", "residual", "mix"):
        before = user.drawn()
        user.click(user.takes()[name])
        compared.append(user.heard())
        yield partial(_differs, user.drawn, before)
        user.picture(f"4 {name}")
    user.press(Qt.Key_2)
    compared.append(user.heard())
    user.press(Qt.Key_B)
    compared.append(user.heard())
    user.note("compared", compared)


def resolve_quits(user: User) -> Scene:
    """Resolve dies under a run and comes back: what was made in between is applied."""
    window = user.window
    yield user.is_open
    user.type("sleep:3")
    user.click(window.prompt.primary)
    yield lambda: user.runs() and "%" in user.runs()[0][1]
    os.kill(os.getppid(), signal.SIGKILL)
    yield lambda: window.clip_bar.host.status.endswith("has quit")
    user.note("gone", [window.banner.text(), user.big])
    user.picture("gone")
    yield lambda: not user.window.drawer.stop.isVisible()
    user.note("meanwhile", [*user.runs()[0], window.results.apply.isEnabled(), window.prompt.primary.isEnabled()])
    yield lambda: window.clip_bar.host.status == "DaVinci Resolve Studio"
    yield window.results.apply.isEnabled
    user.note("back", [window.banner.isVisible(), user.target])
    user.click(window.results.apply)
    yield lambda: user.big == "Applied"
    window.close()


def is_killed(user: User) -> Scene:
    """One run is done and not applied, another is at work when the panel is killed."""
    window = user.window
    yield user.is_open
    user.type("speech")
    user.click(window.prompt.primary)
    yield lambda: user.big.startswith("Apply")
    user.type("sleep:2")
    user.click(window.prompt.primary)
    yield lambda: user.runs() and "%" in user.runs()[0][1]
    user.note("runs", user.runs())
    os.kill(os.getpid(), signal.SIGKILL)


def goes_on(user: User) -> Scene:
    """The panel after one that was killed: what was done is there to be applied, the rest to be tried again."""
    window = user.window
    yield user.is_open
    yield window.results.apply.isEnabled
    user.note("found", user.runs())
    user.note("shown", [window.results._title.text(), window.status_text])
    user.picture("found again")
    user.click(window.results.apply)
    yield lambda: "applied" in user.runs()[1][1]
    user.click(window.queue._rows[2].retry)
    yield lambda: "done" in user.runs()[0][1]
    user.note("after", user.runs())
    window.close()


SCENES: dict[str, Callable[[User], Scene]] = {
    scene.__name__: scene for scene in (whole_way, resolve_quits, is_killed, goes_on)
}


def _differs(look: Callable[[], bytes], before: bytes) -> bool:
    return look() != before


class _Stage(QObject):
    """Lets the scene go on whenever what it waits for is seen. A scene that is stuck or breaks ends the process."""

    def __init__(self, user: User, scene: Scene) -> None:
        super().__init__()
        self._user, self._scene = user, scene
        self._seen: Seen = lambda: True
        self._since_s = monotonic()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(20)

    def _look(self) -> None:
        self._timer.stop()
        try:
            if self._seen():
                self._seen, self._since_s = next(self._scene), monotonic()
            elif monotonic() - self._since_s > _PATIENCE_S:
                frame = getattr(self._scene, "gi_frame")  # noqa: B009 - of the generator that a scene is
                raise TimeoutError(f"line {frame.f_lineno} was never seen; {self._user.runs()}")
        except StopIteration:
            self._user.note("ended", True)
            return
        except Exception:  # noqa: BLE001 - the test shows it
            self._user.note("raised", traceback.format_exc())
            self._user.picture("raised")
            os._exit(3)
        self._timer.start(20)


def build_with_user(launch: app.Launch, sink: AudioSink, user_data: UserData) -> Director:
    director = build(launch, sink, user_data)
    told = json.loads(Path(os.environ["STEMLINE_TEST_SCENE"]).read_text(encoding="utf-8"))
    user = User(director, told)
    director.stage = _Stage(user, SCENES[told["scene"]](user))  # type: ignore[attr-defined]
    return director


build = app.build
app.build = build_with_user
sys.exit(main(sys.argv[1:]))
