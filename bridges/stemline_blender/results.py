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

Key = tuple[str, str]
"""The stems of one strip in one result: the name of the result, and the name that the strip had."""


@dataclass(frozen=True)
class StemResult:
    """`members` are (strip, record) of every stem, in the order of the sequence."""

    name: str
    members: tuple[tuple[Any, dict[str, Any]], ...]

    @property
    def title(self) -> str:
        """The stems and their original, for people."""
        originals = {original_name(record) for _, record in self.members}
        return f"{', '.join(stem for stem in self.stems if stem != RESIDUAL)}: " + (
            next(iter(originals)) if len(originals) == 1 else f"{len(originals)} strips"
        )

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems."""
        return tuple(dict.fromkeys(str(record.get("stem", "")) for _, record in self.members))

    @property
    def keys(self) -> set[Key]:
        """The keys of its strips."""
        return {(self.name, original_name(record)) for _, record in self.members}


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


def groups_in(scene: Any) -> list[list[StemResult]]:
    """Return the results in the scene, those with the same stems together: strip after strip they grow as one."""
    groups: dict[tuple[str, ...], list[StemResult]] = {}
    for result in results_in(scene):
        groups.setdefault(result.stems, []).append(result)
    return list(groups.values())


def title_of(group: list[StemResult]) -> str:
    """Return the stems and the originals of a group, for people."""
    return StemResult("", tuple(member for result in group for member in result.members)).title


def find_group(scene: Any, name: str) -> list[StemResult]:
    """Return the group that holds a result; empty where there is no such result."""
    return next((group for group in groups_in(scene) if any(result.name == name for result in group)), [])


def keys_of(scene: Any, strips: list[Any]) -> set[Key]:
    """Return the keys of stems among `strips`, and of the stems of originals among them."""
    keys = {(str(record["result"]), original_name(record)) for record in map(record_of, strips) if record}
    chosen = {strip.as_pointer() for strip in strips}
    for name, originals in originals_in(scene).items():
        keys |= {
            (name, original.name)
            for original in originals
            if original.strip is not None and original.strip.as_pointer() in chosen
        }
    return keys


def is_unchanged(strip: Any, record: dict[str, Any], originals: list[Any]) -> bool:
    """Return whether a stem is as it was placed, or moved, trimmed and cut only together with its original.

    Stems of files from before their places were recorded count as unchanged.
    """
    placed, beside = record.get("placed"), record.get("beside")
    if not isinstance(placed, list) or not isinstance(beside, list):
        return True
    now = place_in_scene(strip)
    together = [there - other for there, other in zip(placed, beside)]  # noqa: B905 - three numbers each
    return now == placed or any(
        [there - other for there, other in zip(now, place_in_scene(original))] == together  # noqa: B905
        for original in originals
    )


def place_in_scene(strip: Any) -> list[int]:
    """Return the frames that say where a strip plays which part of its content."""
    return [compat.left(strip), compat.right(strip), compat.content_start(strip)]


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


def take_back(scene: Any, keys: set[Key]) -> list[str]:
    """Remove stems and unmute their originals, and return notes on what stayed. Files are not deleted.

    Stems that the user changed stay, and so do the mutes of their originals.
    """
    results = originals_in(scene)
    own = [(name, one) for name, originals in results.items() for one in originals if (name, one.name) in keys]
    changed = changed_stems(scene, keys, results)
    notes = [f"{strip.name} was changed since it was placed, so it stays." for strip, _ in changed]
    stays = {key for _, key in changed}
    replaced = {
        one.strip.as_pointer()
        for name, originals in results.items()
        for one in originals
        if one.strip is not None and ((name, one.name) not in keys or (name, one.name) in stays)
    }
    for name, original in own:
        if original.strip is None:
            notes.append(f"{original.name} has another name now: unmute it by hand.")
            continue
        if (name, original.name) in stays:
            continue
        _unmark(original.strip, name)
        if original.strip.as_pointer() not in replaced and not original.was_muted:
            original.strip.mute = False
    editor, left = scene.sequence_editor, {strip.as_pointer() for strip, _ in changed}
    for holder in (editor, *(strip for strip in compat.all_strips(editor) if strip.type == compat.META)):
        for strip in list(compat.strips_of(holder)):
            if key_of(strip) in keys and strip.as_pointer() not in left:
                remove_stem(scene, holder, strip)
    return notes


def key_of(strip: Any) -> Key | None:
    """Return the key of a stem; None for any other strip."""
    record = record_of(strip)
    return (str(record["result"]), original_name(record)) if record else None


def changed_stems(scene: Any, keys: set[Key], originals: dict[str, list[Original]]) -> list[tuple[Any, Key]]:
    """Return the stems of `keys` that the user changed, with their keys. `originals` is that of `originals_in`."""
    found = []
    for strip in compat.all_strips(scene.sequence_editor):
        key = key_of(strip)
        if key in keys and key is not None:
            beside = [one.strip for one in originals[key[0]] if one.name == key[1] and one.strip is not None]
            if not is_unchanged(strip, record_of(strip), beside):
                found.append((strip, key))
    return found


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
