"""`python -m stemline_server.taggers.evaluate DIR [--tagger ID] [--json]`: measure a tagger on mixtures.

DIR holds `manifest.json` and the files that it names; see `stemline_server.engines.embedded.evaluate`. Prints the share
of clips whose target, or a near relative of it, is among the first three sounds; the share of shown sounds that are
true; the median error of onsets; and the computing time in units of real time. A sound is true if it is in the mixture,
or a near relative of such a sound, by the labels of the sources.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemline_server.engines.embedded.evaluation_clips import RATE, Clip, read_clips
from stemline_server.engines.embedded.training.corpus import label_of, packages
from stemline_server.engines.embedded.training.mixtures import category
from stemline_server.engines.embedded.vocabulary import match_sound
from stemline_server.taggers import registry
from stemline_server.taggers.base import SoundTag, Tagger
from stemline_server.taggers.calibrate import PROMPTS
from stemline_server.taggers.spotting import MAX_SOUNDS, are_relatives, is_true

_LATE_S = 0.2
"""Onsets are compared where the target starts later than this."""
_PROMPT_OF_RESERVED = {"unknown-horizons": "music", "warzone2100-music": "music", "drascula-music": "music"}


@dataclass(frozen=True, slots=True)
class Hit:
    """What a tagger heard in one clip.

    Attributes:
        clip: Name of the clip.
        target: Prompt of the target.
        shown: Sounds with their likelihoods.
        is_exact: Whether the target is among the first three.
        is_near: Whether the target or a near relative is.
        true: How many of the shown sounds are in the mixture.
        onset_error_s: Difference between the first onsets; None if it is not named or sounds from the start.
        speed: Computing time in units of real time.
    """

    clip: str
    target: str
    shown: tuple[tuple[str, float], ...]
    is_exact: bool
    is_near: bool
    true: int
    onset_error_s: float | None
    speed: float


def truth_of(entry: dict[str, Any]) -> set[str]:
    """Return the prompts of all sounds in a mixture, by its entry of the manifest."""
    labels = {str(entry["rest"])} if "rest" in entry else {_label(source) for source in entry.get("sources", [])}
    sounds = {match_sound(entry["prompt"]).sound} | {PROMPTS.get(label, label) for label in labels if label}
    return sounds | {"music" for sound in sounds if category(sound) in ("song", "instrument")}


def _label(source: dict[str, str]) -> str:
    """Return the label of a source: a synthesised or rendered sound names it, recordings are labelled by their path."""
    name, path = source["package"], source["path"]
    if name == "synth":
        return path
    if name.endswith("render"):
        return path.split("__")[1]
    package = packages().get(name, {})
    return _PROMPT_OF_RESERVED.get(name) or label_of(package, path)


def measure(tagger: Tagger, clip: Clip, truth: set[str]) -> Hit:
    """Tag one clip and compare."""
    started_s = time.process_time()
    tags = tagger.tag(clip.source(), lambda done, total: None)
    speed = (time.process_time() - started_s) / (len(clip.target) / RATE)
    target = match_sound(clip.prompt).sound
    first = tags[:MAX_SOUNDS]
    named = [tag for tag in first if tag.prompt == target] or [
        tag for tag in first if are_relatives(tag.prompt, target)
    ]
    return Hit(
        clip.name,
        target,
        tuple((tag.prompt, round(tag.likelihood, 2)) for tag in first),
        any(tag.prompt == target for tag in first),
        bool(named),
        sum(is_true(tag.prompt, truth) for tag in first),
        _onset_error_s(named[0], clip) if named and clip.spans[0].start_sample > _LATE_S * RATE else None,
        speed,
    )


def _onset_error_s(tag: SoundTag, clip: Clip) -> float:
    return abs(tag.spans[0].range.start_sample - clip.spans[0].start_sample) / RATE


def summary(hits: Sequence[Hit]) -> dict[str, float]:
    """Return the figures of all clips."""
    shown = sum(len(hit.shown) for hit in hits)
    errors = [hit.onset_error_s for hit in hits if hit.onset_error_s is not None]
    return {
        "clips": len(hits),
        "target_named": round(sum(hit.is_exact for hit in hits) / len(hits), 3),
        "target_or_relative_named": round(sum(hit.is_near for hit in hits) / len(hits), 3),
        "shown": shown,
        "shown_true": round(sum(hit.true for hit in hits) / max(shown, 1), 3),
        "median_onset_error_s": round(statistics.median(errors), 2) if errors else -1.0,
        "computing_time": round(statistics.median(hit.speed for hit in hits), 4),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Measures a tagger on a folder of mixtures.")
    parser.add_argument("folder", type=Path, help="holds manifest.json and the FLAC files it names")
    parser.add_argument("--tagger", default="audioset", choices=registry.tagger_ids())
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args(arguments)
    tagger = registry.create_tagger(options.tagger)
    entries = {entry["id"]: entry for entry in json.loads((options.folder / "manifest.json").read_text())}
    hits = [measure(tagger, clip, truth_of(entries[clip.name])) for clip in read_clips(options.folder)]
    figures = summary(hits)
    if options.json:
        rows = [{"clip": hit.clip, "target": hit.target, "shown": hit.shown} for hit in hits]
        print(json.dumps({"version": 1, "tagger": options.tagger, **figures, "rows": rows}))  # noqa: T201
        return 0
    for hit in hits:
        mark = "yes" if hit.is_exact else "near" if hit.is_near else "no"
        shown = ", ".join(f"{prompt} {likelihood:.2f}" for prompt, likelihood in hit.shown)
        print(f"{hit.clip:<16}{hit.target:<12}{mark:<6}{hit.true}/{len(hit.shown)}  {shown}")  # noqa: T201
    for name, value in figures.items():
        print(f"{name}: {value}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
