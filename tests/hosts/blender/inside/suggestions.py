"""Scenarios: the sounds that are heard as buttons, words that are checked while they are typed, and every field."""

from __future__ import annotations

from typing import Any

import bpy
import wav
from harness import Harness


def heard(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Ask what is in a strip, use the first sound with and without marks, and separate it."""
    harness = Harness(module, config)
    strip = harness.sound("interview", config["media"], 100, 0, 150)
    harness.select(strip)
    session, mine = harness.session.SESSION, harness.scene.stemline
    nothing = sorted(bpy.ops.stemline.use_sound(sound="speech"))
    before = list(session.jobs)
    asked = sorted(bpy.ops.stemline.suggest())
    job = next(job for job in session.jobs if job not in before)
    end = harness.wait(job)
    sounds = [(sound.sound, sound.likelihood) for sound in session.heard]
    saw: dict[str, Any] = {
        "nothing": nothing,
        "asked": asked,
        "end": end,
        "sounds": sounds,
        "stems": len(harness.stems()),
    }
    bpy.ops.stemline.use_sound(sound=sounds[0][0])
    saw["prompt"] = mine.prompt
    saw["marks"] = [(span.sign, span.start, span.end) for span in mine.spans]
    mine.sound_marks = False
    bpy.ops.stemline.use_sound(sound=sounds[0][0])
    saw["without"] = len(mine.spans)
    bpy.ops.stemline.suggest()
    job = session.jobs[-1]
    bpy.ops.stemline.cancel(tag=job.tag)
    saw["cancelled"] = harness.wait(job)
    return saw


def words(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Type words that the model knows, takes for others, and does not know."""
    harness = Harness(module, config)
    session = harness.session.SESSION
    properties = __import__(f"{module}.properties", fromlist=["x"])
    session.start()
    assert harness.until(lambda: session.server == "ready")
    found = {}
    for text in config["texts"]:
        assert harness.until(lambda: session.check_words("embedded", text))  # noqa: B023
        found[text] = session.check_words("embedded", text)
    harness.scene.stemline.model = "embedded"
    offered = properties._suggest(harness.scene.stemline, None, config["texts"][-1])
    lines = __import__(f"{module}.text_layout", fromlist=["x"]).wrap_text(
        found[config["texts"][-1]]["message"], 60, lambda text: float(len(text))
    )
    return {"found": found, "offered": offered, "lines": lines, "empty": session.check_words("embedded", "  ")}


def fields(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """What every field of fills and amounts becomes in the call, and a run with all of them."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 10)
    fill = wav.noise(str(harness.folder / "fill.wav"), 48000, 1, 10, seed=5)
    harness.select(harness.sound("interview", media, 10, 10, 100))
    settings: dict[str, Any] = {
        "fill": "FILE",
        "fill_path": fill,
        "fill_mode": "UNDER",
        "fill_at": "CLIP",
        "fill_match_eq": 0.5,
        "fill_room": "SMALL",
        "fill_duck": "Dog barking",
        "fill_duck_db": -9.0,
        "use_amount": True,
        "amount_db": -6.0,
    }
    job = harness.press(**settings)
    asked = {name: job.params["settings"][name] for name in ("replace", "remix")}
    end = harness.wait(job)
    stems = sorted({stem["stem"] for stem in harness.stems()})
    harness.scene.stemline.fill_room, harness.scene.stemline.fill_room_path = "FILE", "//nowhere.wav"
    missing = sorted(bpy.ops.stemline.separate())
    harness.scene.stemline.fill_room, harness.scene.stemline.fill_duck = "NONE", "tone"
    itself = sorted(bpy.ops.stemline.separate())
    return {"asked": asked, "stems": stems, "end": end, "missing": missing, "itself": itself, "fill": fill}
