"""Run a session of the fake Resolve in a process of its own, with the installed bridge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hosts.pythons import host_python
from hosts.resolve.fake_resolve.sound import decoded
from hosts.resolve.harness import stubs
from stemline import paths
from stemline_app.install import resolve as installing

HERE = Path(__file__).parent
HOST_PYTHON = host_python()  # found before a test gives itself another home


@dataclass
class Session:
    """`results` is what the scripted panel got, its first entry the host's capabilities; `console` what Resolve's
    Console shows."""

    report: dict[str, Any]
    console: str
    results: list[Any] = field(default_factory=list)
    folder: Path = Path()

    @property
    def tracks(self) -> list[dict[str, Any]]:
        tracks: list[dict[str, Any]] = self.report["timelines"][0]["tracks"]
        return tracks

    @property
    def saved(self) -> Session:
        """As it was when the project was saved last."""
        folder = self.folder / "saved"
        return Session(json.loads((folder / "report.json").read_text()), "", folder=folder)

    def sound(self, track: int) -> npt.NDArray[np.int64]:
        """[samples, channels] of 24 bits."""
        return np.asarray(decoded(str(self.folder / f"track-{track}.wav"))[1], np.int64).T


def run_menu_script(
    folder: Path,
    fake: dict[str, Any],
    steps: list[dict[str, Any]],
    *,
    python: tuple[str, ...] = HOST_PYTHON,
    **more: Any,
) -> Session:
    """The installed menu script, whose panel is the scripted one, in the Python of the command `python`."""
    installing.install()
    results = panel_with_steps(folder, steps, **more)
    script = installing.scripts_folder() / "Utility" / installing.SCRIPT_NAME
    config = {"mode": "menu", "script": str(script), "fake": fake}
    session = _run(folder, config, {"STEMLINE_TEST_STEPS": str(folder / "steps.json")}, python=python)
    session.results = json.loads(results.read_text()) if results.exists() else []
    return session


def run_menu_script_with_user(folder: Path, fake: dict[str, Any], scene: str, *, outlived: bool = False) -> Session:
    """The installed menu script, whose panel is the real one with a user that plays `scene` (`panel_user.py`). Pictures
    are in `folder`/pictures. With `outlived` the panel goes on when Resolve is killed, and nothing is reported."""
    installing.install()
    (folder / "pictures").mkdir(exist_ok=True)
    record = {"version": 1, "stemline": "0", "command": [sys.executable, str(HERE / "panel_user.py")]}
    (paths.home_dir() / "installation.json").write_text(json.dumps(record))
    told = {"scene": scene, "notes": str(folder / f"{scene}.json"), "pictures": str(folder / "pictures")}
    (folder / "scene.json").write_text(json.dumps(told))
    script = installing.scripts_folder() / "Utility" / installing.SCRIPT_NAME
    config = {"mode": "menu", "script": str(script), "fake": fake}
    environment = {"STEMLINE_TEST_SCENE": str(folder / "scene.json"), "QT_QPA_PLATFORM": "offscreen"}
    return _run(folder, config, environment, killed=outlived)


def seen_by_user(folder: Path, scene: str, *, whole: bool | None = True) -> dict[str, Any]:
    """What the user wrote down. Fails where the scene broke, or was not played to its end (`whole`; None: either)."""
    notes: dict[str, Any] = json.loads((folder / f"{scene}.json").read_text())
    log = (paths.home_dir() / "resolve" / "panel.log").read_text(encoding="utf-8", errors="replace")
    assert "raised" not in notes, f"{notes['raised']}\n{log}"
    assert whole in (None, notes.get("ended", False)), f"{notes}\n{log}"
    return notes


def panel_with_steps(folder: Path, steps: list[dict[str, Any]], **more: Any) -> Path:
    """Makes the scripted panel the user's Stemline, with `steps.json` to follow. The file that takes its results."""
    record = {"version": 1, "stemline": "0", "command": [sys.executable, str(HERE / "scripted_panel.py")]}
    paths.home_dir().mkdir(parents=True, exist_ok=True)
    (paths.home_dir() / "installation.json").write_text(json.dumps(record))
    results = folder / "results.json"
    results.unlink(missing_ok=True)
    (folder / "steps.json").write_text(json.dumps({"steps": steps, "results": str(results), **more}))
    return results


def run_host_session(folder: Path, fake: dict[str, Any], separate: dict[str, Any]) -> Session:
    """The bridge with the real `stemline host`."""
    installing.install()
    config = {"mode": "host", "bridge": str(installing.bridge_copy()), "separate": separate, "fake": fake}
    return _run(folder, config)


def _run(
    folder: Path,
    config: dict[str, Any],
    environment: dict[str, str] | None = None,
    *,
    python: tuple[str, ...] = HOST_PYTHON,
    killed: bool = False,
) -> Session:
    path = folder / "session.json"
    path.write_text(json.dumps({**config, "folder": str(folder), "stubs": str(stubs())}))
    ended = subprocess.run(
        [*python, "-u", str(HERE / "session.py"), str(path)],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **(environment or {})},
        timeout=280,
    )
    if killed:
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        return Session({}, ended.stdout, folder=folder)
    assert ended.returncode == 0, ended.stderr
    report = json.loads((folder / "report.json").read_text())
    assert "raised" not in report, report["raised"]
    assert report["faults"] == [], report["faults"]
    return Session(report, ended.stdout, folder=folder)
