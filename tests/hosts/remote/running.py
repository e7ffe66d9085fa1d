"""Start the fake host in a process of its own, on media made for it."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hosts.pythons import host_python

HERE = Path(__file__).parent
HOST_SIDE = HERE / "host_side"
STEMLINE_HOST = (str(Path(sys.executable).with_name("stemline")), "host")
SCRIPTED = (sys.executable, str(HERE / "scripted_companion.py"))


def write_wav(path: Path, rate: int, channels: int, seconds: int) -> Path:
    """Noise in 16 bits, another one for every path."""
    seed = sum(path.name.encode())
    samples = np.random.default_rng(seed).integers(-20000, 20000, (seconds * rate, channels), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def clip(number: int, track: str, media: Path, source_start: str, record: tuple[str, str]) -> dict[str, Any]:
    """A clip as a bridge would send it: record times are seconds as "num/den"."""
    start, end = record
    return {
        "clip_id": f"clip-{number}",
        "name": f"{media.stem} {number}",
        "track": track,
        "source": {"path": str(media), "stream": 0, "channels": [], "mono": False},
        "source_range": {"start": source_start, "end": _plus(source_start, start, end)},
        "record_range": {"start": start, "end": end},
        "frame_rate": "25/1",
        "carry": {"fade_in": 0.25, "ünïcode": ["\U0001f3ac", None]},
    }


def _plus(source_start: str, start: str, end: str) -> str:
    from fractions import Fraction

    value = Fraction(source_start) + Fraction(end) - Fraction(start)
    return f"{value.numerator}/{value.denominator}"


@dataclass
class FakeHostRunner:
    folder: Path
    media: list[Path]

    def config(self, scenario: str, companion: tuple[str, ...], **changes: Any) -> Path:
        """Three clips of two media on two tracks; `changes` go over the top."""
        voice, music = self.media
        config = {
            "scenario": scenario,
            "companion": list(companion),
            "report": str(self.folder / "report.json"),
            "clips": [
                clip(1, "A1", voice, "1/5", ("3600/1", "3601/1")),
                clip(2, "A1", voice, "1/1", ("18009/5", "18014/5")),
                clip(3, "A2", music, "0/1", ("3600/1", "18003/5")),
            ],
            "separate": {
                "stems": [{"name": "speech", "prompt": {"text": "speech"}}],
                "settings": {"output_dir": str(self.folder / "stems"), "model": "noop"},
                "selection": {"tracks": ["A1", "A2"]},
            },
            "long": {"steps": 10_000},
        }
        path = self.folder / "config.json"
        path.write_text(json.dumps(config | changes), encoding="utf-8")
        return path

    def command(self, config: Path, *more: str) -> list[str]:
        return [*host_python(), str(HOST_SIDE / "fake_host.py"), str(config), *more]

    def run(self, scenario: str, companion: tuple[str, ...] = SCRIPTED, **changes: Any) -> dict[str, Any]:
        """The report of a whole scenario. A fault of the conversation fails the test."""
        config = self.config(scenario, companion, **changes)
        ended = subprocess.run(self.command(config), check=False, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr + self.log()
        report = self.report()
        assert report["faults"] == [], f"{report['faults']}\n{self.log()}"
        return report

    def report(self) -> dict[str, Any]:
        report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        assert isinstance(report, dict)
        return report

    def log(self) -> str:
        log = self.folder / "report.json.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
