"""What the tests do inside Blender, one function a scenario. Each gives what it saw."""

from __future__ import annotations

from typing import Any

import wav
from desk import Desk


def plain_strip(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A trimmed sound strip, end to end: separated, saved, opened again, mixed down."""
    desk = Desk(module, config)
    fps, base, start, first, length = config["case"]
    desk.set_rate(fps, base)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, config.get("channels", 2), config.get("seconds", 10))
    original = desk.sound("interview", media, start, first, length)
    desk.select(original)
    end = desk.wait(desk.press("tone", config.get("model", "noop")))
    stems = desk.stems()
    desk.save()
    desk.reopen()
    again = desk.stems()
    original = desk.strips["interview"]
    together = desk.mix_down(*desk.stem_strips())
    return {
        "end": end,
        "stems": stems,
        "kept": again == stems,
        "muted": bool(original.mute),
        "null": desk.null_with_source(original, together, media),
        "original": desk.null_with_source(original, desk.mix_down(original), media),
    }
