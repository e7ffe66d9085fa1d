"""Scenarios: one result that grows strip after strip, is replaced for one strip, and taken back."""

from __future__ import annotations

from typing import Any

import bpy
import wav
from harness import Harness


def grown(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Two strips are separated one after the other, the first one again, and both are taken back."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 10)
    one, two = (harness.sound(name, media, 10 + 60 * n, 10, 50) for n, name in enumerate(("one", "two")))
    saw: dict[str, Any] = {"steps": []}

    def step(*chosen: Any, prompt: str = "tone") -> None:
        harness.select(*chosen)
        end = harness.wait(harness.press(prompt))
        groups = [harness.results.title_of(group) for group in harness.results.groups_in(harness.scene)]
        saw["steps"].append((end["state"], groups, _stems(harness), [bool(one.mute), bool(two.mute)]))

    step(one)
    step(two)
    before = {strip.name for strip in harness.stem_strips() if "two" in strip.name}
    step(one)
    saw["kept"] = before <= {strip.name for strip in harness.stem_strips()}
    saw["null"] = harness.null_with_source(one, harness.mix_down(*_of(harness, "one"), channels="MONO"), media)
    step(one, prompt="other")
    harness.save()
    harness.reopen()
    one, two = harness.strips["one"], harness.strips["two"]
    harness.select(one)
    bpy.ops.stemline.take_back_strips()
    saw["one_back"] = (_stems(harness), bool(one.mute), bool(two.mute))
    name = harness.results.groups_in(harness.scene)[0][0].name
    bpy.ops.stemline.remove_result(result=name)
    saw["all_back"] = (_stems(harness), bool(one.mute), bool(two.mute), [strip.name for strip in harness.strips])
    harness.select(one)
    saw["nothing"] = sorted(bpy.ops.stemline.take_back_strips())
    return saw


def changed(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A stem is trimmed alone, another pair is moved and trimmed together with its original."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 10)
    alone, together = (harness.sound(name, media, 10 + 60 * n, 10, 50) for n, name in enumerate(("alone", "together")))
    harness.select(alone, together)
    end = harness.wait(harness.press())
    compat = harness.compat
    trimmed = next(strip for strip in _of(harness, "alone") if "residual" not in strip.name)
    compat.set_handles(trimmed, compat.left(trimmed) + 3, compat.right(trimmed))
    for strip in (together, *_of(harness, "together")):
        strip.frame_start += 7
        compat.set_handles(strip, compat.left(strip) + 2, compat.right(strip) - 2)
    bpy.ops.stemline.remove_result(result=harness.results.results_in(harness.scene)[0].name)
    stays = [strip.name for strip in harness.stem_strips()]
    muted = {strip.name: bool(strip.mute) for strip in (alone, together)}
    harness.select(alone)
    again = harness.wait(harness.press())
    return {
        "end": end,
        "stays": stays,
        "muted": muted,
        "trimmed": trimmed.name,
        "again": again,
        "stems": _stems(harness),
    }


def _of(harness: Harness, original: str) -> list[Any]:
    return [s for s in harness.stem_strips() if harness.results.record_of(s)["original"]["name"] == original]


def _stems(harness: Harness) -> list[tuple[str, str, str]]:
    """The stem, the original and the name of the channel of every stem strip."""
    return [(stem["stem"], stem["original"], stem["channel_name"]) for stem in harness.stems()]
