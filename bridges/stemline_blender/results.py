"""Results: stems that stand in a sequence. What they are is kept in their strips, so it outlives saving and loading."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import bpy

from . import compat
from .strips import PROPERTY

RESIDUAL = "residual"


@dataclass(frozen=True)
class Result:
    """`members` are (strip, record) of every stem, in the order of the sequence."""

    name: str
    members: tuple[tuple[Any, dict[str, Any]], ...]

    @property
    def title(self) -> str:
        stems = dict.fromkeys(str(record.get("stem", "")) for _, record in self.members)
        originals = {original_name(record) for _, record in self.members}
        return f"{', '.join(stem for stem in stems if stem != RESIDUAL)}: " + (
            next(iter(originals)) if len(originals) == 1 else f"{len(originals)} strips"
        )


def record_of(strip: Any) -> dict[str, Any]:
    """What a stem strip says of itself, not to be changed; empty for any other strip."""
    held = strip.get(PROPERTY)
    return _parsed(held) if isinstance(held, str) else {}


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> dict[str, Any]:
    """The panel asks at every redraw."""
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) and record.get("result") else {}


def original_name(record: dict[str, Any]) -> str:
    return str(record.get("original", {}).get("name", ""))


def results_in(scene: Any) -> list[Result]:
    """Every result in the scene, oldest first as far as the sequence tells."""
    found: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    if scene is None or scene.sequence_editor is None:
        return []
    for strip in compat.all_strips(scene.sequence_editor):
        record = record_of(strip)
        if record:
            found.setdefault(str(record["result"]), []).append((strip, record))
    return [Result(name, tuple(members)) for name, members in found.items()]


def find_result(scene: Any, name: str) -> Result | None:
    return next((result for result in results_in(scene) if result.name == name), None)


def originals_of(scene: Any, result: Result) -> dict[str, Any]:
    """The originals by the name they had; None for one that is not found under it any more."""
    strips = compat.all_strips(scene.sequence_editor)
    return {name: strips.get(name) for name in dict.fromkeys(original_name(record) for _, record in result.members)}


def muted_by_user(scene: Any, original: Any) -> bool:
    """Whether a strip is muted, and not by a result of ours."""
    if not original.mute:
        return False
    claims = [
        bool(record["original"]["was_muted"])
        for result in results_in(scene)
        for _, record in result.members
        if original_name(record) == original.name
    ]
    return all(claims)


def play(scene: Any, result: Result, what: str) -> None:
    """A/B: what of a result sounds: "ORIGINAL", "STEM", "RESIDUAL" or "ALL" of the stems."""
    for original in originals_of(scene, result).values():
        if original is not None:
            original.mute = what != "ORIGINAL"
    for strip, record in result.members:
        is_residual = record.get("stem") == RESIDUAL
        strip.mute = what == "ORIGINAL" or (what == "STEM" and is_residual) or (what == "RESIDUAL" and not is_residual)


def remove_result(scene: Any, result: Result) -> list[str]:
    """Takes the stems away and lets their originals sound again; notes say what stayed. Files are kept."""
    others = {
        original_name(record) for other in results_in(scene) if other.name != result.name for _, record in other.members
    }
    claims = {original_name(record): bool(record["original"]["was_muted"]) for _, record in result.members}
    notes = []
    for name, original in originals_of(scene, result).items():
        if original is None:
            notes.append(f"{name} has another name now: unmute it yourself.")
        elif name not in others and not claims[name]:
            original.mute = False
    editor = scene.sequence_editor
    for holder in (editor, *(strip for strip in compat.all_strips(editor) if strip.type == compat.META)):
        own = [strip for strip in compat.strips_of(holder) if record_of(strip).get("result") == result.name]
        for strip in own:
            remove_stem(scene, holder, strip)
    return notes


def remove_stem(scene: Any, holder: Any, strip: Any) -> None:
    """The strip, its curves, its sound where nothing else uses it, and its channel's name where nothing is left."""
    number, sound = strip.channel, strip.sound
    for name in ("volume", "pan"):
        for curve in compat.curves_of(scene, f"{strip.path_from_id()}.{name}"):
            compat.remove_curve(scene, curve)
    compat.strips_of(holder).remove(strip)
    if sound is not None and sound.users == 0:
        bpy.data.sounds.remove(sound)
    if not any(other.channel == number for other in compat.strips_of(holder)):
        holder.channels[number].name = f"Channel {number}"
