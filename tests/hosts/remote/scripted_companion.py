"""A companion process with a scripted separation instead of a server; the rest is the real code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from stemline.clips import ClipRange, SampleRange, StemClip, StemTrack
from stemline.companion.jsonrpc import Params
from stemline.companion.process import Companion, claim_standard_streams, serve
from stemline.companion.remote import CallTimes
from stemline.companion.runs import Report
from stemline.companion.wire import from_wire, to_wire
from stemline.errors import Cancelled
from stemline.hosts.base import Host, Selection, WriteOptions
from stemline.prompts import StemRequest
from stemline_bridge.jsonrpc import Limits


@dataclass(frozen=True)
class Script:
    """`steps` of `step_s` each; with `prints`, something is printed in every way a library may at every step."""

    output_dir: Path
    steps: int = 3
    step_s: float = 0.01
    prints: bool = False
    ignores_cancel: bool = False


@dataclass(frozen=True)
class Asked:
    stems: tuple[StemRequest, ...]
    settings: Script
    selection: Selection = field(default_factory=Selection)


class ScriptedServices:
    """Puts a copy of every clip's media on one new track."""

    def prepare(self, params: Params) -> Callable[[Host, Report, Callable[[], bool]], Mapping[str, Any]]:
        asked = from_wire(Asked, dict(params), "separate")

        def separation(host: Host, report: Report, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
            read = host.read_clips(asked.selection)
            with ThreadPoolExecutor(1) as pool:  # whose thread, like any library's, keeps a process from ending
                pool.submit(_work, asked.settings, report, cancelled).result()
            clips = tuple(_copy(clip) for clip in read.clips if clip.track == "A1")
            track = StemTrack("copy", "copy", "A1", 0, 1, True, clips)
            return {"written": to_wire(host.write_tracks([track], WriteOptions()))}

        return separation

    def suggest(self, params: Params) -> Callable[[Host, Report, Callable[[], bool]], Mapping[str, Any]]:
        def listening(host: Host, report: Report, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
            return {"sounds": [{"clip": clip.name} for clip in host.read_clips(Selection()).clips]}

        return listening

    def check_prompts(self, params: Params) -> Mapping[str, Any]:
        return {"checks": []}

    def models(self) -> Mapping[str, Any]:
        return {"models": []}

    def doctor(self) -> Mapping[str, Any]:
        raise ZeroDivisionError("a fault inside")


def _work(script: Script, report: Report, cancelled: Callable[[], bool]) -> None:
    for step in range(script.steps):
        if cancelled() and not script.ignores_cancel:
            raise Cancelled
        if script.prints:
            _print_in_every_way()
        report({"stage": "separate", "done": step, "total": script.steps})
        time.sleep(script.step_s)


def _copy(clip: ClipRange) -> StemClip:
    held, record = SampleRange(0, 1), {"version": 1}
    return StemClip(clip.clip_id, clip.name, clip.source.path, clip.record_range, Fraction(0), held, 48000, record)


def _print_in_every_way() -> None:
    print("a stray print")
    sys.stdout.flush()
    os.write(1, b'{"jsonrpc":"2.0","method":"done","params":{}}\n')
    os.system("echo from a child")  # noqa: S605
    if sys.__stdout__ is not None:
        sys.__stdout__.write("past the replaced one\n")
        sys.__stdout__.flush()


def main() -> int:
    incoming, outgoing = claim_standard_streams()
    limits = Limits(line_bytes=1_000_000, heartbeat_s=0.2, silence_s=float(os.environ.get("TEST_SILENCE_S", "600")))
    return serve(Companion(incoming, outgoing, ScriptedServices(), limits=limits, times=CallTimes(read_s=4.0)))


if __name__ == "__main__":
    sys.exit(main())
