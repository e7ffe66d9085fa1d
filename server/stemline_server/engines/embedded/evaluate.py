"""`python -m stemline_server.engines.embedded.evaluate DIR [--json]`: the whole engine measured on mixtures.

DIR holds `manifest.json` (a list of {id, category, prompt, spans in seconds, target, residual}) and the files it names;
mixture = target + residual. The engine is asked through its public path, by text, by text and spans, by spans alone
and, where the target never stops but the rest does, by marking the rest (negative spans). Scores are SI-SDR
improvements over the mixture in dB (Le Roux et al., "SDR - half-baked or well done?", 2019) at 48 kHz, with 90 %
bootstrap intervals of the mean, beside baselines in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline.errors import SeparationError, UsageError
from stemline_server.engines.base import EnginePrompt, EngineRequest, Finding, Waveform
from stemline_server.engines.embedded import EmbeddedEngine, baselines

RATE = 48_000
SILENT_DB = -30.0
HARM_DB = -1.0
CONTINUOUS = 0.85
Wave = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """One mixture, float32 mono at 48 kHz, and where target and rest sound."""

    name: str
    category: str
    prompt: str
    target: Wave
    residual: Wave
    spans: tuple[SampleRange, ...]

    @property
    def mixture(self) -> Wave:
        return self.target + self.residual

    @property
    def rest(self) -> tuple[SampleRange, ...]:
        """Where everything but the target sounds."""
        return active_spans(self.residual)

    @property
    def never_stops(self) -> bool:
        """Whether only marking the rest can tell the target: it is nearly everywhere, and the rest is not."""
        length = len(self.target)
        return covered(self.spans, length) > CONTINUOUS >= covered(self.rest, length)

    def source(self) -> Sound:
        return Sound(self.mixture)


@dataclass(frozen=True, slots=True)
class Score:
    """`gain_db` is the SI-SDR improvement of one clip by one way."""

    clip: str
    category: str
    way: str
    gain_db: float


class Sound:
    """An AudioSource of a waveform in memory."""

    sample_rate = RATE
    channels = 1

    def __init__(self, wave: Wave) -> None:
        self._wave = wave[None]
        self.length_samples = len(wave)

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return self._wave[:, start_sample:end_sample]


class Listener:
    """A Control that keeps what the engine says."""

    def __init__(self) -> None:
        self.findings: dict[int, Finding] = {}

    def step(self, done: int, total: int) -> None:
        """Nothing to stop for."""

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Warnings do not change a score."""

    def find(self, prompt: int, finding: Finding) -> None:
        self.findings[prompt] = finding


def read_flac(path: Path) -> Wave:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        pieces = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        pieces += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32)


def read_clips(folder: Path) -> Iterator[Clip]:
    for item in json.loads((folder / "manifest.json").read_text()):
        target, residual = read_flac(folder / item["target"]), read_flac(folder / item["residual"])
        spans = tuple(SampleRange(round(a * RATE), min(round(b * RATE), len(target))) for a, b in item["spans"])
        yield Clip(item["id"], item["category"], item["prompt"], target, residual, spans)


def si_sdr(estimate: Wave, target: Wave) -> float:
    """In dB, means removed; `SILENT_DB` for silence."""
    e, t = estimate.astype(np.float64), target.astype(np.float64)
    e, t = e - e.mean(), t - t.mean()
    if not (e @ e) or not (t @ t):
        return SILENT_DB
    image = t * (e @ t) / (t @ t)
    rest = e - image
    return max(float(10 * np.log10((image @ image) / (rest @ rest + 1e-20) + 1e-20)), SILENT_DB)


def active_spans(wave: Wave, floor_db: float = -35.0) -> tuple[SampleRange, ...]:
    """Where 20 ms frames lie within `floor_db` of the loudest, gaps under 0.2 s closed."""
    frame = RATE // 50
    count = len(wave) // frame
    level = (wave[: count * frame].reshape(count, frame) ** 2).mean(1)
    loud = np.flatnonzero(level > level.max() * 10 ** (floor_db / 10))
    spans: list[list[int]] = []
    for i in loud:
        if spans and i - spans[-1][1] < 10:
            spans[-1][1] = int(i) + 1
        else:
            spans.append([int(i), int(i) + 1])
    return tuple(SampleRange(a * frame, min(b * frame, len(wave))) for a, b in spans)


def covered(spans: tuple[SampleRange, ...], length: int) -> float:
    return sum(s.length for s in spans) / length


def prompts_of(clip: Clip) -> dict[str, EnginePrompt]:
    """The ways a user could ask for the target."""
    ways = {
        "text": EnginePrompt(clip.prompt),
        "text+spans": EnginePrompt(clip.prompt, clip.spans),
        "spans": EnginePrompt("", clip.spans),
    }
    if clip.never_stops:
        ways["negative spans"] = EnginePrompt("", (), clip.rest)
        ways["text+negative"] = EnginePrompt(clip.prompt, (), clip.rest)
    return ways


def ask(engine: EmbeddedEngine, clip: Clip) -> dict[str, Wave]:
    """The engine's target for every way it takes; a way it refuses gives the mixture (nothing gained, nothing lost)."""
    ways, accepted = prompts_of(clip), {}
    for way, prompt in ways.items():
        try:
            engine.check(prompt)
            accepted[way] = prompt
        except UsageError:
            continue
    try:
        found = separated(engine, clip, accepted)
    except SeparationError:  # one of them: marks that leave nothing to compare with
        found = {}
        for way, prompt in accepted.items():
            with suppress(SeparationError):
                found |= separated(engine, clip, {way: prompt})
    return {way: found.get(way, clip.mixture) for way in ways}


def separated(engine: EmbeddedEngine, clip: Clip, ways: dict[str, EnginePrompt]) -> dict[str, Wave]:
    """All at once, as a job with several prompts is."""
    request = EngineRequest(clip.source(), tuple(ways.values()))
    whole = np.concatenate(list(engine.separate(request, Listener())), axis=-1)
    return {way: whole[i, 0] for i, way in enumerate(ways)}


def measure(folder: Path, ways: dict[str, Callable[[Clip], dict[str, Wave]]]) -> list[Score]:
    scores = []
    for clip in read_clips(folder):
        before = si_sdr(clip.mixture, clip.target)
        for way in ways.values():
            for name, estimate in way(clip).items():
                gain = si_sdr(estimate, clip.target) - before
                scores.append(Score(clip.name, clip.category, name, gain))
        print(".", end="", file=sys.stderr, flush=True)  # noqa: T201 - progress of a command-line tool
    return scores


def summary(gains: list[float]) -> dict[str, float | int]:
    """Mean with a 90 % bootstrap interval, and the share of clips made worse by more than 1 dB."""
    values = np.array(gains)
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    low, high = np.quantile(draws, (0.05, 0.95))
    harmed = float((values < HARM_DB).mean())
    numbers = {"mean_db": values.mean(), "low_db": low, "high_db": high, "harmed": harmed}
    return {"clips": len(values), **{name: round(float(v), 2) for name, v in numbers.items()}}


def table(scores: list[Score]) -> dict[str, dict[str, Any]]:
    """Way, then category (and ALL), to its summary."""
    rows: dict[str, dict[str, Any]] = {}
    for way in dict.fromkeys(s.way for s in scores):
        here = [s for s in scores if s.way == way]
        groups = {c: [s.gain_db for s in here if s.category == c] for c in dict.fromkeys(s.category for s in here)}
        rows[way] = {name: summary(gains) for name, gains in (groups | {"ALL": [s.gain_db for s in here]}).items()}
    return rows


def printed(rows: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'way':<27}{'category':<12}{'clips':>6}{'mean dB':>9}{'90 % interval':>18}{'harmed':>8}"]
    for way, groups in rows.items():
        for name, s in groups.items():
            interval = f"{s['low_db']:.1f} .. {s['high_db']:.1f}"
            lines.append(f"{way:<27}{name:<12}{s['clips']:>6}{s['mean_db']:>9.1f}{interval:>18}{s['harmed']:>8.0%}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measures the embedded engine on a folder of mixtures.")
    parser.add_argument("folder", type=Path, help="holds manifest.json and the FLAC files it names")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    engine = EmbeddedEngine()
    engine.load("cpu")
    started = time.monotonic()
    scores = measure(options.folder, {"engine": lambda clip: ask(engine, clip)} | baselines.ways())
    rows = table(scores)
    if options.json:
        clips = [{"clip": s.clip, "way": s.way, "gain_db": round(s.gain_db, 2)} for s in scores]
        result = {"version": 1, "results": rows, "clips": clips, "elapsed_s": round(time.monotonic() - started, 1)}
        print(json.dumps(result))  # noqa: T201 - the output of a command-line tool
    else:
        print("\n" + printed(rows))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
