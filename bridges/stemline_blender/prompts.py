"""Earlier prompts and presets, in a file of the user's Blender configuration."""

from __future__ import annotations

import json
from pathlib import Path

import bpy

from .link import atomic_write

_KEPT = 50
GIVEN = ("speech", "music", "dog barking", "wind", "rain", "siren", "applause", "footsteps")


def _file() -> Path:
    return Path(bpy.utils.user_resource("CONFIG")) / "stemline_prompts.json"


def _read() -> dict[str, list[str]]:
    try:
        held = json.loads(_file().read_text(encoding="utf-8"))
        return {name: [str(text) for text in held.get(name, [])] for name in ("history", "presets")}
    except (OSError, ValueError, AttributeError, TypeError):
        return {"history": [], "presets": []}


def _write(held: dict[str, list[str]]) -> None:
    """Write the file. A configuration that cannot be written does not stop a separation."""
    try:
        atomic_write(_file(), json.dumps(held, ensure_ascii=False))
    except OSError as problem:
        print(f"Stemline: {_file()} cannot be written ({problem.strerror}).")  # noqa: T201 - Blender's console


def history() -> list[str]:
    """Return earlier prompts, newest first."""
    return _read()["history"]


def presets() -> list[str]:
    """Return the user's presets, then those that come with Stemline."""
    own = _read()["presets"]
    return [*own, *(text for text in GIVEN if text not in own)]


def remember(text: str) -> None:
    """Add a prompt to the history."""
    held = _read()
    held["history"] = [text, *(old for old in held["history"] if old != text)][:_KEPT]
    _write(held)


def keep(text: str) -> None:
    """Add a preset."""
    held = _read()
    held["presets"] = [text, *(old for old in held["presets"] if old != text)][:_KEPT]
    _write(held)


def drop(text: str) -> None:
    """Remove a preset of the user's."""
    held = _read()
    held["presets"] = [old for old in held["presets"] if old != text]
    _write(held)


def suggestions(typed: str) -> list[str]:
    """Return earlier prompts and presets that contain what is typed."""
    known = dict.fromkeys([*history(), *presets()])
    return [text for text in known if typed.casefold() in text.casefold()]
