"""`write_tracks`: place the stems as strips on free channels, mute the originals, and read everything back."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from . import compat
from .link import METADATA_KEY, RESIDUAL, HostError
from .placing import Spot, differs, spot_of
from .reading import Pick, StripSelection
from .results import (
    Key,
    changed_stems,
    key_of,
    keys_of,
    mark,
    muted_by_results,
    originals_in,
    place_in_scene,
    record_of,
    remove_stem,
    results_in,
    take_back,
)
from .strips import needs_rendering, overlap, playing_rate

_STEM_COLOURS = ("COLOR_04", "COLOR_05", "COLOR_06", "COLOR_07", "COLOR_03", "COLOR_02")
_RESIDUAL_COLOUR = "COLOR_09"


@dataclass
class _Placed:
    stem: dict[str, Any]
    pick: Pick
    original: Any
    was_muted: bool
    spot: Spot

    @property
    def kept(self) -> dict[str, Any]:
        """What the stems and the original itself record of the original."""
        return {"name": self.original.name, "was_muted": self.was_muted}


_Track = tuple[dict[str, Any], list[_Placed]]


@dataclass
class StripWriter:
    """One `write_tracks` into `scene`, and its notes."""

    scene: Any
    reading: StripSelection
    result: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    notes: list[str] = field(default_factory=list)
    added: list[Any] = field(default_factory=list)

    def write(self, tracks: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to `write_tracks`. Raises HostError, with nothing left behind, if no stem can be placed."""
        self.rate = playing_rate(self.scene)
        self.holder = self._find_holder()
        self.muted_by_us = muted_by_results(self.scene)
        placed = [self._place(track) for track in tracks]
        kept = [(track, strips) for track, strips in zip(tracks, placed) if strips]  # noqa: B905 - one for each
        if not kept:
            raise HostError(
                "No stem can be placed. " + " ".join(self.notes),
                "HOST_FAILED",
                "The stem files are finished: select the strips and press the button again.",
            )
        earlier = self._earlier(kept)
        going = self._going(earlier)
        channels = self._free_channels(kept, going)
        names = self._names(kept, channels)
        with ExitStack() as otherwise:
            for strip in going:
                otherwise.callback(setattr, strip, "channel", strip.channel)
            otherwise.callback(self._take_back)
            self._park(going, channels)
            for (track, strips), name, channel in zip(kept, names, channels):  # noqa: B905
                self._add_track(track, strips, name, channel, options["metadata"])
            self._read_back()
            self._mute_originals(options["disable_clips"], kept)
            otherwise.pop_all()
        self.notes += take_back(self.scene, earlier)
        return {
            "tracks": names,
            "output": f"{self.scene.name}, channels {min(channels)}-{max(channels)}",
            "notes": list(dict.fromkeys(self.notes)),
            "result": self.result,
        }

    def _take_back(self) -> None:
        for strip in self.added:
            remove_stem(self.scene, self.holder, strip)

    def _find_holder(self) -> Any:
        editor = self.scene.sequence_editor
        if editor is None:
            raise HostError(f"The scene {self.scene.name} no longer has a sequence.", "HOST_FAILED")
        if not self.reading.holder:
            return editor
        holder = compat.all_strips(editor).get(self.reading.holder)
        if holder is None or holder.type != compat.META:
            raise HostError(f"The meta strip {self.reading.holder} no longer exists.", "HOST_FAILED")
        return holder

    def _place(self, track: dict[str, Any]) -> list[_Placed]:
        picks = {pick.clip_id: pick for pick in self.reading.picks}
        strips = list(compat.strips_of(self.holder))
        found = []
        for stem in track["clips"]:
            pick = picks[stem["clip_id"]]
            name = pick.fingerprint.name
            original = pick.fingerprint.find(strips, self.rate)
            if original is None:
                self.notes.append(f"{name} was deleted or relinked; its stems are in {_folder(stem)}.")
                continue
            if not pick.render_reason and needs_rendering(original):
                self.notes.append(f"{name} got another speed or a modifier; its stems are not placed.")
                continue
            spot = spot_of(stem, pick, original, self.scene)
            if spot is None:
                self.notes.append(f"{name} no longer plays anything that was separated; its stems are not placed.")
                continue
            if spot.cut:
                self.notes.append(f"{name} is longer than the separated part; its stems cover only that part.")
            elif differs(stem, original, self.rate):
                self.notes.append(f"{name} was moved or trimmed; its stems follow it.")
            was_muted = original.mute and original.as_pointer() not in self.muted_by_us
            found.append(_Placed(stem, pick, original, was_muted, spot))
        return found

    def _earlier(self, kept: list[_Track]) -> set[Key]:
        """Return the keys of the earlier stems that these stems replace: those of the same strips and sounds."""
        sounds = {track["stem"] for track, _ in kept} - {RESIDUAL}
        originals = [placed.original for _, strips in kept for placed in strips]
        same = {key for result in results_in(self.scene) if sounds.intersection(result.stems) for key in result.keys}
        return keys_of(self.scene, originals) & same

    def _going(self, earlier: set[Key]) -> list[Any]:
        """Return the strips of the earlier stems, except those that the user changed, which stay."""
        stays = {s.as_pointer() for s, _ in changed_stems(self.scene, earlier, originals_in(self.scene))}
        strips = compat.strips_of(self.holder)
        return [strip for strip in strips if key_of(strip) in earlier and strip.as_pointer() not in stays]

    def _park(self, going: list[Any], channels: list[int]) -> None:
        """Put the strips that go on a channel where they are in no way until then.

        Blender hangs where a strip is put over another one.
        """
        used = {strip.channel for strip in compat.strips_of(self.holder)} | set(channels)
        free = [n for n in range(len(self.holder.channels) - 1, 0, -1) if n not in used]
        homes = sorted({strip.channel for strip in going})
        if len(homes) > len(free):
            raise HostError("No channel is free.", "HOST_FAILED", "Empty one, then press the button again.")
        parking = dict(zip(homes, free))  # noqa: B905 - one for each
        for strip in going:
            strip.channel = parking[strip.channel]

    def _free_channels(self, kept: list[_Track], going: list[Any]) -> list[int]:
        """Return one channel for each track.

        Preferred is the channel that holds this stem already and has room, then the lowest empty one above the
        originals, then any with room. The strips that are `going` need no room.
        """
        strips = [strip for strip in compat.strips_of(self.holder) if strip not in going]
        above = max(placed.original.channel for placed in kept[0][1])
        last = len(self.holder.channels) - 1
        used = {strip.channel for strip in strips}
        taken: list[int] = []
        for track, placed_strips in kept:
            spots = [placed.spot for placed in placed_strips]
            crowded = {
                strip.channel
                for strip in strips
                if any(compat.left(strip) < spot.right and spot.left < compat.right(strip) for spot in spots)
            }
            own = self._channels_of(track["stem"])
            empty = [n for n in range(above + 1, last + 1) if n not in used and n not in own]
            room = [*range(above + 1, last + 1), *range(above, 0, -1)]
            choice = next((n for n in (*own, *empty, *room) if n not in crowded and n not in taken), None)
            if choice is None:
                raise HostError(
                    "No channel has room for the stems.",
                    "HOST_FAILED",
                    "Move some strips together, then press the button again.",
                )
            taken.append(choice)
        return taken

    def _channels_of(self, stem: str) -> list[int]:
        """Return the channels that hold a stem of this name already."""
        return sorted({s.channel for s in compat.strips_of(self.holder) if record_of(s).get("stem") == stem})

    def _names(self, kept: list[_Track], channels: list[int]) -> list[str]:
        """Return the names of the tracks: that of a channel with the same stem, else as `_track_names` has it."""
        names = _track_names([track for track, _ in kept])
        for index, (track, _) in enumerate(kept):
            if channels[index] in self._channels_of(track["stem"]):
                names[index] = str(self.holder.channels[channels[index]].name)
        return names

    def _add_track(
        self, track: dict[str, Any], strips: list[_Placed], name: str, number: int, run: dict[str, Any]
    ) -> None:
        channel = self.holder.channels[number]
        if not any(strip.channel == number for strip in compat.strips_of(self.holder)):
            channel.name = name
        elif channel.name != name:
            self.notes.append(f"No channel was empty for {name}; it shares {channel.name}.")
        colour = _colour(track["stem"], run)
        for placed in strips:
            strip = self._add_strip(placed, number)
            strip.color_tag = colour
            strip.mute = not track["enabled"]
            self._carry(placed, strip)
            strip[METADATA_KEY] = json.dumps(
                {
                    **placed.stem["metadata"],
                    "result": self.result,
                    "original": placed.kept,
                    "placed": place_in_scene(strip),
                    "beside": place_in_scene(placed.original),
                    "run": run,
                }
            )

    def _add_strip(self, placed: _Placed, channel: int) -> Any:
        spot, path = placed.spot, placed.stem["path"]
        strip = compat.strips_of(self.holder).new_sound(
            name=placed.stem["name"], filepath=_shown_path(path), channel=channel, frame_start=spot.content_start
        )
        self.added.append(strip)
        strip.select = False
        compat.set_handles(strip, spot.left, spot.right)
        compat.set_sound_offset(strip, spot.sound_offset_s)
        if strip.channel != channel:
            strip.channel = channel
        return strip

    def _carry(self, placed: _Placed, strip: Any) -> None:
        """Copy volume, pan and fades of the original. A rendered strip has them in its sound."""
        original = placed.original
        strip.show_waveform = getattr(original, "show_waveform", False)
        if placed.pick.render_reason:
            return
        strip.sound.use_mono = original.sound.use_mono
        for name in ("volume", "pan"):
            setattr(strip, name, getattr(original, name))
            for curve in compat.curves_of(self.scene, f"{original.path_from_id()}.{name}"):
                copy = compat.new_curve(self.scene, f"{strip.path_from_id()}.{name}")
                _copy_curve(curve, copy)
                if len(curve.modifiers):
                    self.notes.append(f"A modifier of the {name} curve of {original.name} is not copied to its stems.")
        drivers = self.scene.animation_data.drivers if self.scene.animation_data else ()
        if any(driver.data_path.startswith(f"{original.path_from_id()}.") for driver in drivers):
            self.notes.append(f"A driver of {original.name} is not copied to its stems.")

    def _read_back(self) -> None:
        """Raise HostError where Blender shows another strip than the one that was added."""
        for strip in self.added:
            if strip.sound is None or compat.content_length(strip) <= 1:
                raise HostError(f"Blender cannot read {strip.name}.", "HOST_FAILED")
        for strip in self.added:
            for other in compat.strips_of(self.holder):
                if other != strip and other.channel == strip.channel and overlap(other, strip):
                    raise HostError(f"{strip.name} would overlap {other.name}.", "HOST_FAILED")

    def _mute_originals(self, clip_ids: list[str], kept: list[_Track]) -> None:
        for _, strips in kept:
            for placed in strips:
                if placed.stem["clip_id"] in clip_ids:
                    mark(placed.original, self.result, placed.kept)
                    placed.original.mute = True


def _track_names(tracks: list[dict[str, Any]]) -> list[str]:
    """Return the names of the tracks. A stem of one source channel is named after itself alone."""
    stems = [track["stem"] for track in tracks]
    return [track["stem"] if stems.count(track["stem"]) == 1 else track["name"] for track in tracks]


def _colour(stem: str, run: dict[str, Any]) -> str:
    if stem == RESIDUAL:
        return _RESIDUAL_COLOUR
    names = [entry.get("name") for entry in run.get("stems", [])]
    return _STEM_COLOURS[(names.index(stem) if stem in names else 0) % len(_STEM_COLOURS)]


def _shown_path(path: str) -> str:
    """Return the path relative to the .blend where possible: the folder can then move together with it."""
    if not bpy.data.filepath:
        return path
    try:
        return str(bpy.path.relpath(path))
    except ValueError:  # another drive of Windows
        return path


def _folder(stem: dict[str, Any]) -> str:
    return str(Path(stem["path"]).parent)


def _copy_curve(source: Any, target: Any) -> None:
    target.keyframe_points.add(len(source.keyframe_points))
    for old, new in zip(source.keyframe_points, target.keyframe_points):  # noqa: B905
        for name in ("interpolation", "easing", "handle_left_type", "handle_right_type"):
            setattr(new, name, getattr(old, name))
        new.co, new.handle_left, new.handle_right = old.co, old.handle_left, old.handle_right
    target.extrapolation = source.extrapolation
    target.update()
