"""`python -m stemline_server.engines.embedded.evaluate DIR [--warnings | --prompts] [--json]`: measure the engine.

DIR holds `manifest.json`, a list of {id, category, prompt, spans in seconds, target, residual}, and the files it names;
a mixture is the sum of target and residual. The engine is used through its public interface: by text, by text and
spans, by spans alone and, for continuous targets, by marking everything else (negative spans). Scores are SI-SDR
improvements over the mixture in dB at 48 kHz, with 90 % bootstrap intervals of the mean, next to baselines from the
same run.

With `--warnings`, sounds that are absent from the mixtures are asked for, and the stems that are silent, that carry a
warning and that are nearly the whole mix are counted.

With `--prompts`, DIR holds tables of prompts (`*.tsv`: text, sounds that it may be taken for, separated by "|", and "-"
if it may be refused). Prints how many of each table are right, refused, or taken for another sound, with or without a
word about it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemline.errors import SeparationError, UsageError
from stemline_server.engines.base import EnginePrompt, EngineRequest, Finding
from stemline_server.engines.embedded import EmbeddedEngine
from stemline_server.engines.embedded.baselines import baselines
from stemline_server.engines.embedded.evaluation_clips import Clip, Wave, read_clips, si_sdr
from stemline_server.engines.embedded.evaluation_warnings import measure_warnings
from stemline_server.engines.embedded.vocabulary import match_sound

HARM_DB = -1.0


@dataclass(frozen=True, slots=True)
class Score:
    """Hold the score of one estimate.

    Attributes:
        clip: Name of the clip.
        category: Category of the clip.
        way: How the target was estimated.
        gain_db: SI-SDR improvement over the mixture.
    """

    clip: str
    category: str
    way: str
    gain_db: float


class NullControl:
    """Ignore progress, warnings and findings."""

    def step(self, done: int, total: int) -> None:
        """Ignore progress."""

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Ignore a warning."""

    def find(self, prompt: int, finding: Finding) -> None:
        """Ignore a finding."""


def prompts_of(clip: Clip) -> dict[str, EnginePrompt]:
    """Return the ways in which a user can ask for a clip's target."""
    prompts = {
        "text": EnginePrompt(clip.prompt),
        "text+spans": EnginePrompt(clip.prompt, clip.spans),
        "spans": EnginePrompt("", clip.spans),
    }
    if clip.is_continuous:
        prompts["negative spans"] = EnginePrompt("", (), clip.residual_spans)
        prompts["text+negative"] = EnginePrompt(clip.prompt, (), clip.residual_spans)
    return prompts


def estimate(engine: EmbeddedEngine, clip: Clip) -> dict[str, Wave]:
    """Return the engine's target by way; a way that the engine refuses gives the mixture, a gain of 0 dB."""
    prompts, accepted = prompts_of(clip), {}
    for way, prompt in prompts.items():
        try:
            engine.check(prompt)
            accepted[way] = prompt
        except UsageError:
            continue
    try:
        targets = separate(engine, clip, accepted)
    except SeparationError:  # the spans of one way leave no background: separate each way alone
        targets = {}
        for way, prompt in accepted.items():
            with suppress(SeparationError):
                targets |= separate(engine, clip, {way: prompt})
    return {way: targets.get(way, clip.mixture) for way in prompts}


def separate(engine: EmbeddedEngine, clip: Clip, prompts: dict[str, EnginePrompt]) -> dict[str, Wave]:
    """Separate all prompts in one request, as a job with several prompts does."""
    request = EngineRequest(clip.source(), tuple(prompts.values()))
    targets = np.concatenate(list(engine.separate(request, NullControl())), axis=-1)
    return {way: targets[i, 0] for i, way in enumerate(prompts)}


def measure(folder: Path, estimators: dict[str, Callable[[Clip], dict[str, Wave]]]) -> list[Score]:
    """Score the estimates of all clips in a folder.

    Args:
        folder: Folder with `manifest.json`.
        estimators: Functions that map a clip to estimates by way.
    """
    scores = []
    for clip in read_clips(folder):
        before = si_sdr(clip.mixture, clip.target)
        for estimator in estimators.values():
            for way, target in estimator(clip).items():
                gain = si_sdr(target, clip.target) - before
                scores.append(Score(clip.name, clip.category, way, gain))
        print(".", end="", file=sys.stderr, flush=True)  # noqa: T201 - progress of a command-line tool
    return scores


def summary(gains: list[float]) -> dict[str, float | int]:
    """Return the mean with a 90 % bootstrap interval, and the share of clips that lose more than 1 dB."""
    values = np.array(gains)
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    low, high = np.quantile(draws, (0.05, 0.95))
    harmed = float((values < HARM_DB).mean())
    numbers = {"mean_db": values.mean(), "low_db": low, "high_db": high, "harmed": harmed}
    return {"clips": len(values), **{name: round(float(v), 2) for name, v in numbers.items()}}


def table(scores: list[Score]) -> dict[str, dict[str, Any]]:
    """Return summaries by way and by category, including "ALL"."""
    rows: dict[str, dict[str, Any]] = {}
    for way in dict.fromkeys(s.way for s in scores):
        here = [s for s in scores if s.way == way]
        groups = {c: [s.gain_db for s in here if s.category == c] for c in dict.fromkeys(s.category for s in here)}
        rows[way] = {name: summary(gains) for name, gains in (groups | {"ALL": [s.gain_db for s in here]}).items()}
    return rows


def check_prompts(path: Path) -> dict[str, Any]:
    """Return how the prompts of a table are understood: counts, and the wrong ones with their sound."""
    counts = dict.fromkeys(("right", "refused", "substituted", "wrongly_refused", "wrong", "silently_wrong"), 0)
    failures: list[tuple[str, str]] = []
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    for text, sounds in (line.split("\t")[:2] for line in lines):
        try:
            match = match_sound(text)
            found, is_said = match.sound, match.is_substitute
        except UsageError:
            found, is_said = "-", True
        is_right = found in sounds.split("|")
        counts["right"] += is_right
        counts["refused"] += found == "-"
        counts["substituted"] += found != "-" and is_said
        counts["wrongly_refused"] += found == "-" and not is_right
        counts["wrong"] += found != "-" and not is_right
        counts["silently_wrong"] += not is_said and not is_right
        failures += [] if is_right else [(text, found)]
    return {"table": path.stem, "prompts": len(lines), **counts, "failures": failures}


def format_prompts(checked: list[dict[str, Any]]) -> str:
    """Return the results of `check_prompts` as text."""
    columns = ("prompts", "right", "refused", "substituted", "wrong", "silently_wrong")
    lines = [f"{'table':<24}" + "".join(f"{name:>16}" for name in columns)]
    for row in checked:
        lines.append(f"{row['table']:<24}" + "".join(f"{row[name]:>16}" for name in columns))
        lines += [f"    {text!r} was taken for {found!r}" for text, found in row["failures"]]
    return "\n".join(lines)


def format_table(rows: dict[str, dict[str, Any]]) -> str:
    """Return a table as text."""
    lines = [f"{'way':<27}{'category':<12}{'clips':>6}{'mean dB':>9}{'90 % interval':>18}{'harmed':>8}"]
    for way, groups in rows.items():
        for name, s in groups.items():
            interval = f"{s['low_db']:.1f} .. {s['high_db']:.1f}"
            lines.append(f"{way:<27}{name:<12}{s['clips']:>6}{s['mean_db']:>9.1f}{interval:>18}{s['harmed']:>8.0%}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Measures the embedded engine on a folder of mixtures.")
    parser.add_argument("folder", type=Path, help="holds manifest.json and the FLAC files it names")
    parser.add_argument("--prompts", action="store_true", help="check the tables of prompts in the folder instead")
    parser.add_argument(
        "--warnings",
        action="store_true",
        help="count warned stems of absent sounds and of whole mixes instead",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if options.prompts:
        checked = [check_prompts(path) for path in sorted(options.folder.glob("*.tsv"))]
        print(json.dumps({"version": 1, "tables": checked}) if options.json else format_prompts(checked))  # noqa: T201
        return 0
    if options.warnings:
        counts = measure_warnings(options.folder)
        lines = [f"{name:<28}{count:>6}" for name, count in counts.items()]
        print(json.dumps({"version": 1, "warnings": counts}) if options.json else "\n".join(lines))  # noqa: T201
        return 0
    engine = EmbeddedEngine()
    engine.load("cpu")
    started = time.monotonic()
    scores = measure(options.folder, {"engine": lambda clip: estimate(engine, clip)} | baselines())
    rows = table(scores)
    if options.json:
        clips = [{"clip": s.clip, "way": s.way, "gain_db": round(s.gain_db, 2)} for s in scores]
        result = {"version": 1, "results": rows, "clips": clips, "elapsed_s": round(time.monotonic() - started, 1)}
        print(json.dumps(result))  # noqa: T201 - the output of a command-line tool
    else:
        print("\n" + format_table(rows))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
