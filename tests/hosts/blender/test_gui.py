"""The panel in a Blender with a window, on a virtual screen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hosts.blender.blenders import CAMERA, INSIDE, Runner
from stemline_app.install import record_installation
from stemline_app.install.blender_package import put_files

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(600)]
WIDTH, HEIGHT = 1600, 900
TAB = (1587, 184)  # of Blender 3.4 in a window of this size, its sequencer over all of it
BUTTON = (1440, 335)
ASIDE = (700, 250)


@contextmanager
def screen() -> Iterator[str]:
    """A display of its own."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "+extension", "GLX"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as number:
                yield f":{number.readline().strip()}"
        finally:
            server.terminate()


class ScreenUser:
    """A user at the screen: clicks, waits, takes screenshots."""

    def __init__(self, display: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.environment = os.environ | {"DISPLAY": display}
        self.report_path = folder / "report.json"
        self.folder = folder
        self.process = process

    def report(self) -> dict[str, Any]:
        held = json.loads(self.report_path.read_text(encoding="utf-8")) if self.report_path.exists() else {}
        assert isinstance(held, dict)
        return held

    def asked(self, *things: str, timeout_s: float = 240.0) -> str:
        """Waits until Blender asks for one of these."""
        until = time.monotonic() + timeout_s
        while self.report().get("ask") not in things:
            assert "trace" not in self.report(), self.report()["trace"]
            assert time.monotonic() < until, f"{things}: {self.report()}"
            assert self.process.poll() is None, "Blender ended"
            time.sleep(0.1)
        return str(self.report()["ask"])

    def click(self, place: tuple[int, int]) -> None:
        x, y = map(str, place)
        subprocess.run(["xdotool", "mousemove", x, y, "click", "1"], env=self.environment, check=True)
        time.sleep(0.4)

    def move(self, place: tuple[int, int]) -> None:
        subprocess.run(["xdotool", "mousemove", *map(str, place)], env=self.environment, check=True)

    def picture(self, name: str) -> Path:
        path = self.folder / f"{name}.png"
        subprocess.run(["import", "-window", "root", str(path)], env=self.environment, check=True, timeout=60)
        return path


@pytest.mark.skipif(
    not all(map(shutil.which, ("Xvfb", "xdotool", "import"))), reason="needs xvfb, xdotool and imagemagick"
)
def test_the_panel_is_pressed_and_undone(blender: Runner, version: str) -> None:
    if version != "3.4":
        pytest.skip("the bpy module has no window")
    folder = blender.folder
    (folder / "work").mkdir()
    put_files(folder / "user" / blender.blender.installed_as)
    record_installation()
    config = {
        "folder": str(folder / "work"),
        "report": str(folder / "report.json"),
        "asked": str(folder / "asked"),
        "examples": str(CAMERA.parent),
    }
    (folder / "asked").touch()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    scripts = {"BLENDER_USER_SCRIPTS": str(folder / "user" / "scripts"), "LIBGL_ALWAYS_SOFTWARE": "1"}
    with screen() as display, (folder / "log").open("wb") as log:
        command = [
            blender.blender.command[0], "--factory-startup", "-noaudio",
            "--window-geometry", "0", "0", str(WIDTH), str(HEIGHT),
            "--python", str(INSIDE / "gui.py"), "--", str(folder / "config.json"),
        ]  # fmt: skip
        environment = (
            os.environ | scripts | {"DISPLAY": display, "BLENDER_USER_CONFIG": str(folder / "user" / "config")}
        )
        with subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as process:
            try:
                use_panel(ScreenUser(display, folder, process))
                process.wait(60)
            finally:
                process.kill()


def use_panel(user: ScreenUser) -> None:
    user.asked("tab")
    time.sleep(5.0)  # until its window is drawn
    user.click(TAB)
    user.move(ASIDE)
    user.asked("picture before")
    user.picture("before")
    (user.folder / "asked").unlink()
    user.asked("press")
    user.click(BUTTON)
    if user.asked("picture during", "picture after") == "picture during":
        user.picture("during")
    user.move(ASIDE)
    user.asked("picture after")
    time.sleep(1.0)
    user.picture("after")
    (user.folder / "asked.after").touch()
    user.asked("end")
    saw = user.report()
    assert saw["end"] == "done", saw
    assert "speech" in saw["heard"]
    assert sorted(stem["stem"] for stem in saw["stems"]) == ["residual", "residual", "speech", "speech"]
    assert any(state == "running" and 0 < fraction < 1 for state, _, fraction in saw["stages"]), "progress was seen"
    assert saw["undone"] == ["FINISHED"]
    assert saw["left"] == ["answer", "question", "street"], "one step takes the stems back"
    assert saw["muted"] == []
    assert saw["prompt"] == "speech", "and nothing else"
    keep = os.environ.get("STEMLINE_PICTURES")
    if keep:
        for name in ("before", "during", "after"):
            shutil.copy(user.folder / f"{name}.png", Path(keep) / f"blender-{name}.png")
