"""In a Blender with a window: draw the panel, press the button, see progress and stems, undo.

The test that started it clicks and takes screenshots when the report asks for it.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import Harness
from main import enable

CONFIG = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
REPORT: dict[str, Any] = {"stages": []}


def say(**news: Any) -> None:
    REPORT.update(news)
    part = Path(CONFIG["report"] + ".part")
    part.write_text(json.dumps(REPORT), encoding="utf-8")
    part.replace(CONFIG["report"])


def sequencer() -> dict[str, Any]:
    """The largest area of the window as a sequencer with its sidebar open."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.type = "SEQUENCE_EDITOR"
    area.spaces.active.view_type = "SEQUENCER"
    area.spaces.active.show_region_ui = True
    with bpy.context.temp_override(window=window, area=area):
        bpy.ops.screen.screen_full_area(use_hide_panels=False)
    area = next(area for area in window.screen.areas if area.type == "SEQUENCE_EDITOR")
    region = next(region for region in area.regions if region.type == "WINDOW")
    return {"window": window, "area": area, "region": region}


def edit(harness: Harness) -> None:
    """Three strips of the example's media, two of them selected."""
    harness.set_rate(25, 1.0)
    scene = harness.scene
    for name, file, start, first, length, channel in (
        ("question", "recorder.wav", 15, 5, 70, 1),
        ("answer", "recorder.wav", 95, 80, 75, 1),
        ("street", "street.flac", 0, 0, 180, 2),
    ):
        shutil.copy(Path(CONFIG["examples"]) / file, harness.folder)
        strip = harness.sound(name, str(harness.folder / file), start, first, length, channel)
        strip.sound.filepath = f"//{file}"
        strip.show_waveform = True
    scene.frame_start, scene.frame_end = 0, 190
    for strip in harness.strips:
        strip.select = strip.name in ("question", "answer")


def wait_for(condition: Any, timeout_s: float = 120.0) -> Iterator[float]:
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        yield 0.1


def script() -> Iterator[float]:
    """The scenario; each value is how long Blender's own loop runs before it goes on."""
    module = enable()
    yield 1.0
    where = sequencer()
    harness = Harness(module, CONFIG)
    edit(harness)
    yield 1.0
    with bpy.context.temp_override(**where):
        bpy.ops.sequencer.view_all()
    bpy.ops.ed.undo_push(message="the edit")
    session = harness.session.SESSION
    say(ask="tab")
    yield from wait_for(lambda: session.wanted)
    yield from wait_for(lambda: session.server == "ready")
    with bpy.context.temp_override(**where):
        bpy.ops.stemline.suggest()
    listening = session.jobs[0]
    yield from wait_for(lambda: listening.ended)
    session.forget(listening)
    say(heard=[sound.sound for sound in session.heard])
    harness.scene.stemline.prompt = "speech"
    harness.scene.stemline.play = "all"
    bpy.ops.ed.undo_push(message="the prompt")
    harness.session.redraw()
    yield 1.0
    say(ask="picture before")
    yield from wait_for(lambda: not Path(CONFIG["asked"]).exists())
    say(ask="press")
    yield from wait_for(lambda: session.jobs)
    job = session.jobs[0]
    while not job.ended:
        stage = [job.state, job.stage, round(job.fraction, 2)]
        if stage not in REPORT["stages"]:
            REPORT["stages"].append(stage)
        if job.state == "running" and 0.2 < job.fraction < 0.9 and "during" not in REPORT:
            say(ask="picture during", during=job.fraction)
        yield 0.05
    yield 1.0
    say(ask="picture after", end=job.state, messages=job.messages, stems=harness.stems())
    yield from wait_for(lambda: Path(CONFIG["asked"] + ".after").exists())
    with bpy.context.temp_override(**where):
        undone = bpy.ops.ed.undo()
    yield 1.0
    harness.scene = bpy.context.scene
    harness.editor = harness.scene.sequence_editor
    say(
        undone=sorted(undone), left=sorted(strip.name for strip in harness.strips), prompt=harness.scene.stemline.prompt
    )
    say(muted=sorted(strip.name for strip in harness.strips if strip.mute), ask="end")


def run(steps: Iterator[float]) -> Any:
    def step() -> float | None:
        try:
            return next(steps)
        except StopIteration:
            pass
        except Exception:  # noqa: BLE001 - whatever it was, the test must be told
            say(trace=traceback.format_exc(), ask="end")
        bpy.ops.wm.quit_blender()
        return None

    return step


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(run(script()), first_interval=1.0)
