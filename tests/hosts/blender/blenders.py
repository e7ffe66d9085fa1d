"""Find the installed Blenders and run one scenario in one of them, in a process of its own."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from stemline_app.install import record_installation
from stemline_app.install.blender_package import put_files

INSIDE = Path(__file__).parent / "inside"
CAMERA = Path(__file__).parents[3] / "examples" / "interview" / "camera.mp4"
ENVIRONMENTS = Path(os.environ.get("STEMLINE_HOST_ENVS") or Path.home() / ".cache" / "stemline-hosts")


@dataclass(frozen=True)
class Blender:
    """A Blender: the module `bpy` in an environment of its own, or a program."""

    name: str
    command: tuple[str, ...]

    @property
    def installed_as(self) -> str:
        """The folder of the add-on below the user's resources."""
        return "scripts/addons/stemline_blender" if self.name == "3.4" else "extensions/user_default/stemline"


@functools.cache
def blenders() -> dict[str, Blender]:
    """Those that are here, by version: `scripts/host-envs.sh` puts modules there, Debian has the program 3.4."""
    found = {}
    program = shutil.which("blender")
    if program:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        if said.startswith("Blender 3.4"):
            command = (program, "--background", "--factory-startup", "--python", str(INSIDE / "main.py"), "--")
            found["3.4"] = Blender("3.4", command)
    for folder in sorted(ENVIRONMENTS.glob("bpy-*")):
        python, version = folder / "bin" / "python", folder.name.partition("-")[2]
        if list(folder.glob("lib/python*/site-packages/bpy")):
            found[version] = Blender(version, (str(python), str(INSIDE / "main.py")))
    return found


@dataclass
class Runner:
    """Runs scenarios of one Blender in `folder`."""

    blender: Blender
    folder: Path

    def run(self, scenario: str, tries: int = 1, **config: Any) -> Any:
        """What the scenario saw. Its own trace fails the test. `tries` is for what ends Blender itself by chance."""
        for _ in range(tries):
            ended = self.start(scenario, **config)
            if ended.returncode >= 0:
                break
        report_path = self.folder / "report.json"
        assert report_path.exists(), f"no report, exit code {ended.returncode}\n{ended.stdout[-4000:]}"
        report = json.loads(report_path.read_text(encoding="utf-8"))
        assert "trace" not in report, report["trace"] + ended.stdout[-2000:]
        return report["saw"]

    def start(self, scenario: str, **config: Any) -> subprocess.CompletedProcess[str]:
        work, user = self.folder / "an edit, spät", self.folder / "user"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        put_files(user / self.blender.installed_as)
        if config.pop("recorded", True):
            record_installation()
        config |= {"scenario": scenario, "folder": str(work), "report": str(self.folder / "report.json")}
        path = self.folder / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        resources = {"BLENDER_USER_RESOURCES": str(user), "BLENDER_USER_SCRIPTS": str(user / "scripts")}
        return subprocess.run(
            [*self.blender.command, str(path)],
            env=os.environ | resources | {"BLENDER_USER_CONFIG": str(user / "config")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=280,
        )


def decoded_camera(path: Path) -> Path:
    """The example's camera sound as 24-bit WAV, decoded with nothing of Stemline."""
    with av.open(str(CAMERA)) as media:
        blocks = [frame.to_ndarray().astype(np.float64) for frame in media.decode(media.streams.audio[0])]
        rate = media.streams.audio[0].rate
    whole = np.clip(np.rint(np.concatenate(blocks, axis=1).T * (1 << 23)), -(1 << 23), (1 << 23) - 1).astype("<i4")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(whole.shape[1])
        file.setsampwidth(3)
        file.setframerate(rate)
        file.writeframes(whole.reshape(-1, 1).view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    return path


def program_that(folder: Path, does: str) -> str:
    """Return a program that runs `does` instead of `stemline`."""
    program = folder / f"stemline-{abs(hash(does)) % 10_000}"
    program.write_text(f"#!{sys.executable}\n{does}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)
