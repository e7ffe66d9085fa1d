"""Rendered ranges: the sound of one strip that no file holds (meta, scene, other speed, modifier).

A background Blender renders from a copy of the file, so that the user can go on working. Where there is no Blender
program (the `bpy` module), the range is mixed down in place, and everything that was changed for it is restored.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy

from . import compat
from .strips import nominal_rate

_NO_WINDOW = 0x08000000 if sys.platform == "win32" else 0  # CREATE_NO_WINDOW
_CHILD = Path(__file__).with_name("render_child.py")


@dataclass(frozen=True)
class Range:
    """One strip's range of frames (half-open), to be mixed down into the WAV file `path`."""

    scene: str
    holder: str
    strip: str
    start: int
    end: int
    path: str


def first_frame(scene: Any, left: int) -> int:
    """Return the frame where the mixdown of a strip begins.

    It is the left handle, or the last frame before it at which frames and samples meet. Blender renders nothing before
    frame 0.
    """
    per_frame = Fraction(scene.render.ffmpeg.audio_mixrate) / nominal_rate(scene)
    return max(0, math.floor(left / per_frame.denominator) * per_frame.denominator)


def mix_down(wanted: Range) -> None:
    """Mix a range down in this process. Raises RuntimeError or KeyError where Blender cannot."""
    scene = bpy.data.scenes[wanted.scene]
    with _only(scene, wanted), _override(scene):
        options: dict[str, Any] = {"filepath": wanted.path, "container": "WAV", "codec": "PCM", "format": "F32"}
        known = bpy.ops.sound.mixdown.get_rna_type().properties
        if "mixrate" in known:
            options["mixrate"] = scene.render.ffmpeg.audio_mixrate
            options["channels"] = scene.render.ffmpeg.audio_channels
        bpy.ops.sound.mixdown(**options)


@contextlib.contextmanager
def _override(scene: Any) -> Iterator[None]:
    """Set the scene that operators use: that of the context, since 5.0 that of the sequencer."""
    window = bpy.context.window_manager.windows[0] if len(bpy.context.window_manager.windows) else None
    workspace: Any = getattr(window, "workspace", None)
    before = getattr(workspace, "sequencer_scene", None)
    if hasattr(workspace, "sequencer_scene"):
        workspace.sequencer_scene = scene
    given: dict[str, Any] = {"scene": scene} if window is None else {"scene": scene, "window": window}
    try:
        with bpy.context.temp_override(**given):
            yield
    finally:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = before


@contextlib.contextmanager
def _only(scene: Any, wanted: Range) -> Iterator[None]:
    """Make one strip the only sound in the range, and restore everything afterwards."""
    holders = _way_to(scene.sequence_editor, wanted.holder)
    strip = compat.strips_of(holders[-1])[wanted.strip]
    kept: list[tuple[Any, str, Any]] = []

    def change(owner: Any, name: str, value: Any) -> None:
        kept.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    heard = {strip.name, *(meta.name for meta in holders[1:])}
    try:
        for part in holders:
            for other in compat.strips_of(part):
                change(other, "mute", other.name not in heard)
                if other.name in heard:
                    change(part.channels[other.channel], "mute", False)
        for speaker in bpy.data.speakers:
            change(speaker, "muted", strip.type != compat.SCENE or speaker.muted)
        for name, value in (("use_audio", compat.audible(scene)), ("audio_volume", 1.0)):
            change(scene, name, value)
        change(scene, "frame_end", max(scene.frame_end, wanted.end))
        change(scene, "frame_start", wanted.start)
        change(scene, "frame_end", wanted.end)
        yield
    finally:
        for owner, name, value in reversed(kept):
            setattr(owner, name, value)


def _way_to(editor: Any, name: str) -> list[Any]:
    """Return the editor and every meta strip on the way down to the named one.

    No name: the editor alone. Raises KeyError where there is no such strip.
    """
    if not name:
        return [editor]
    strips = compat.all_strips(editor)
    metas = [strip for strip in strips if strip.type == compat.META]
    outer = {strip.name: meta for meta in metas for strip in compat.strips_of(meta)}
    way = [strips[name]]
    while way[-1].name in outer:
        way.append(outer[way[-1].name])
    return [editor, *reversed(way)]


class BackgroundRender:
    """Renders ranges in a background Blender from a copy of the open file. Poll `done`."""

    def __init__(self, ranges: list[Range]) -> None:
        """Start to render `ranges`; without a Blender program, render them now."""
        self._folder = tempfile.TemporaryDirectory(prefix="stemline-")
        self._ranges = ranges
        self._process: subprocess.Popen[bytes] | None = None
        folder = Path(self._folder.name)
        self._report = folder / "report.json"
        if not bpy.app.binary_path:
            self._report.write_text(json.dumps(render_all(ranges)), encoding="utf-8")
            return
        copy, order = folder / "copy.blend", folder / "order.json"
        compat.save_copy(str(copy))
        order.write_text(
            json.dumps({"ranges": [asdict(one) for one in ranges], "report": str(self._report)}), encoding="utf-8"
        )
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    bpy.app.binary_path,
                    "--background",
                    "--factory-startup",
                    "--disable-autoexec",
                    str(copy),
                    "--python",
                    str(_CHILD),
                    "--",
                    str(order),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                creationflags=_NO_WINDOW,
            )

    def done(self) -> bool:
        """Return whether it has ended."""
        return self._process is None or self._process.poll() is not None

    def failures(self) -> dict[str, str]:
        """Return, once it is done, why ranges could not be rendered, by path."""
        try:
            report: dict[str, str] = json.loads(self._report.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            report = {one.path: "the background Blender ended before it was done" for one in self._ranges}
        for one in self._ranges:
            if one.path not in report and not Path(one.path).is_file():
                report[one.path] = "Blender wrote no file"
        return report

    def close(self) -> None:
        """End it if it still runs, and remove the copy."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


def render_all(ranges: list[Range]) -> dict[str, str]:
    """Mix down every range. Returns why ranges failed, by path."""
    failures = {}
    for one in ranges:
        try:
            Path(one.path).parent.mkdir(parents=True, exist_ok=True)
            mix_down(one)
        except (RuntimeError, KeyError, OSError) as problem:
            failures[one.path] = str(problem).strip()
    return failures
