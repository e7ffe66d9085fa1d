"""Results: the stems in a sequence. Their records are in their strips, so they survive saving and loading."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import bpy

from . import compat
from .link import METADATA_KEY, RESIDUAL
from .strips import REPLACED, overlap


@dataclass(frozen=True)
class StemResult:
    """`members` are (strip, record) of every stem, in the order of the sequence."""

    name: str
    members: tuple[tuple[Any, dict[str, Any]], ...]

    @property
    def title(self) -> str:
        """The stems and their original, for people."""
        stems = dict.fromkeys(str(record.get("stem", "")) for _, record in self.members)
        originals = {original_name(record) for _, record in self.members}
        return f"{', '.join(stem for stem in stems if stem != RESIDUAL)}: " + (
            next(iter(originals)) if len(originals) == 1 else f"{len(originals)} strips"
        )


def record_of(strip: Any) -> dict[str, Any]:
    """Return the record of a stem strip, not to be changed; empty for any other strip."""
    held = strip.get(METADATA_KEY)
    return _parsed(held) if isinstance(held, str) else {}


@dataclass(frozen=True)
class Original:
    """A strip that a result replaces.

    `strip` is None where no strip has the `name` any more. An original that was cut is two.
    """

    name: str
    strip: Any
    was_muted: bool


def marks_of(strip: Any) -> dict[str, dict[str, Any]]:
    """Return the marks of an original, not to be changed: by result, the `original` of its stems.

    Empty for any other strip, and in files from before there were marks.
    """
    held = strip.get(REPLACED)
    return _marks(held) if isinstance(held, str) else {}


def mark(strip: Any, result: str, original: dict[str, Any]) -> None:
    """Mark the strip as replaced by the result. Strips cut from it have the mark too."""
    strip[REPLACED] = json.dumps({**marks_of(strip), result: original})


def _unmark(strip: Any, result: str) -> None:
    left = {name: original for name, original in marks_of(strip).items() if name != result}
    if left:
        strip[REPLACED] = json.dumps(left)
    elif REPLACED in strip:
        del strip[REPLACED]


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> dict[str, Any]:
    """Return the record of a text. Cached: the panel asks at every redraw."""
    record = _object(text)
    return record if record.get("result") else {}


@functools.lru_cache(maxsize=4096)
def _marks(text: str) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in _object(text).items() if isinstance(one, dict) and "name" in one}


def _object(text: str) -> dict[str, Any]:
    try:
        held = json.loads(text)
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def original_name(record: dict[str, Any]) -> str:
    """Return the name that the original had."""
    return str(record.get("original", {}).get("name", ""))


def results_in(scene: Any) -> list[StemResult]:
    """Return every result in the scene, oldest first as far as the sequence shows."""
    found: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    if scene is None or scene.sequence_editor is None:
        return []
    for strip in compat.all_strips(scene.sequence_editor):
        record = record_of(strip)
        if record:
            found.setdefault(str(record["result"]), []).append((strip, record))
    return [StemResult(name, tuple(members)) for name, members in found.items()]


def find_result(scene: Any, name: str) -> StemResult | None:
    """Return a result by name, or None."""
    return next((result for result in results_in(scene) if result.name == name), None)


def originals_in(scene: Any) -> dict[str, list[Original]]:
    """Return the originals of every result, by its name.

    They are all strips with its mark; without a mark, the strip with the original's name.
    """
    strips, results = compat.all_strips(scene.sequence_editor), results_in(scene)
    found: dict[str, list[Original]] = {result.name: [] for result in results}
    for strip in strips:
        for name, original in marks_of(strip).items():
            if name in found:
                found[name].append(Original(str(original["name"]), strip, bool(original.get("was_muted"))))
    for result in results:
        marked = {original.name for original in found[result.name]}
        named = {original_name(record): bool(record["original"]["was_muted"]) for _, record in result.members}
        found[result.name] += [
            Original(name, strips.get(name), was_muted) for name, was_muted in named.items() if name not in marked
        ]
    return found


def muted_by_results(scene: Any) -> set[int]:
    """Return the pointers of the strips that only results of Stemline's have muted."""
    return {
        original.strip.as_pointer()
        for originals in originals_in(scene).values()
        for original in originals
        if original.strip is not None and not original.was_muted
    }


def play(scene: Any, result: StemResult, what: str) -> None:
    """Choose what of a result sounds: "ORIGINAL", "STEM", "RESIDUAL" or "ALL" of the stems."""
    for original in originals_in(scene)[result.name]:
        if original.strip is None:
            continue
        if what == "ORIGINAL":
            original.strip.mute = False
        elif original.name == original.strip.name or _is_under_stems(original, result):
            original.strip.mute = True
            mark(original.strip, result.name, {"name": original.name, "was_muted": original.was_muted})
    for strip, record in result.members:
        is_residual = record.get("stem") == RESIDUAL
        strip.mute = what == "ORIGINAL" or (what == "STEM" and is_residual) or (what == "RESIDUAL" and not is_residual)


def _is_under_stems(original: Original, result: StemResult) -> bool:
    """Return whether stems play at the original's time. They do not for a copy that the user moved away."""
    stems = [strip for strip, record in result.members if original_name(record) == original.name]
    return any(overlap(stem, original.strip) for stem in stems)


def remove_result(scene: Any, result: StemResult) -> list[str]:
    """Remove the stems and unmute their originals. Returns notes on what stayed. Files are not deleted."""
    results = originals_in(scene)
    own = results.pop(result.name)
    replaced = {one.strip.as_pointer() for others in results.values() for one in others if one.strip is not None}
    notes = []
    for original in own:
        if original.strip is None:
            notes.append(f"{original.name} has another name now: unmute it by hand.")
            continue
        _unmark(original.strip, result.name)
        if original.strip.as_pointer() not in replaced and not original.was_muted:
            original.strip.mute = False
    editor = scene.sequence_editor
    for holder in (editor, *(strip for strip in compat.all_strips(editor) if strip.type == compat.META)):
        for strip in [one for one in compat.strips_of(holder) if record_of(one).get("result") == result.name]:
            remove_stem(scene, holder, strip)
    return notes


def remove_stem(scene: Any, holder: Any, strip: Any) -> None:
    """Remove a stem strip and its curves.

    Its sound goes where nothing else uses it, and the channel's name where the channel is empty.
    """
    number, sound = strip.channel, strip.sound
    for name in ("volume", "pan"):
        for curve in compat.curves_of(scene, f"{strip.path_from_id()}.{name}"):
            compat.remove_curve(scene, curve)
    compat.strips_of(holder).remove(strip)
    if sound is not None and sound.users == 0:
        bpy.data.sounds.remove(sound)
    if not any(other.channel == number for other in compat.strips_of(holder)):
        holder.channels[number].name = f"Channel {number}"
