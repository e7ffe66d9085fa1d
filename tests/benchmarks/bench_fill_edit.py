"""Room tone in an edit of 300 clips of one take: time and memory beside the same edit without fills, and a kill.

Half the clips hold talk throughout, and take the room tone of a neighbour. A killed run is compared with a whole one.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio

import stemline
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline_server.testing import FunctionEngine, serve_engines

from .measure import report

CLIPS = 300
RATE = 48_000
_SPACING_S = 4
_KILL_AFTER = 100


def main() -> None:
    """Prints time, memory, and whether a killed run gives the same sound."""
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as name:
        folder = Path(name)
        write_edit(folder)
        plain_s, plain_mb, _ = run(folder, "plain", {})
        filled_s, filled_mb, shared = run(folder, "filled", {"dialogue": stemline.Replace()})
        report(f"{CLIPS} clips with room tone, s", filled_s, "below 3 times", f"{plain_s:.3g} without")
        report("most memory, MB", filled_mb, "<= 100 more", f"{plain_mb:.3g} without")
        report("clips with the room tone of a neighbour", shared, f"= {CLIPS // 2}", f"of {CLIPS}")
        kill_and_resume(folder)


def write_edit(folder: Path) -> None:
    """Write a take with talk and pauses, and an edit of 2 s from every 4 s of it."""
    random = np.random.default_rng(1)
    with open_writer(folder / "take.wav", AudioFormat(SampleFormat.WAV24, RATE, 2)) as writer:
        for second in range(_SPACING_S * CLIPS):
            sound = 0.002 * random.standard_normal((2, RATE))
            talk = {0: RATE, 1: RATE, 4: RATE // 2}.get(second % (2 * _SPACING_S), 0)
            sound[:, :talk] += 0.2 * random.standard_normal((2, talk)).clip(-3, 3)
            writer.write(sound.astype(np.float32))
    timeline, track = otio.schema.Timeline("long"), otio.schema.Track("A1", kind="Audio")
    timeline.tracks.append(track)
    media = otio.schema.ExternalReference((folder / "take.wav").as_uri())
    for number in range(CLIPS):
        start = otio.opentime.RationalTime(number * _SPACING_S * 25, 25)
        span = otio.opentime.TimeRange(start, otio.opentime.RationalTime(50, 25))
        track.append(otio.schema.Clip(f"clip {number}", media.clone(), span))
    otio.adapters.write_to_file(timeline, str(folder / "long.otio"))


def loud_only(mix: Any, rate: int, prompt: object) -> Any:
    return np.where(np.abs(mix) > 0.012, mix, 0)


def separate(folder: Path, name: str, replace: dict[str, stemline.Replace], told: Connection) -> None:
    """Separate the edit in this process, and tell time, memory and the number of shared room tones."""
    with (
        serve_engines(FunctionEngine(loud_only), state=folder / f"{name}.state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        started = time.monotonic()
        result = stemline.separate_edit(
            folder / "long.otio",
            {"dialogue": "speech"},
            output=folder / name,
            settings=stemline.Settings(replace=replace),
            options=stemline.EditOptions(handle_s=0),
            client=client,
        )
        shared = sum(notice.code == "ROOM_TONE_SHARED" for notice in result.notices)
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told.send((time.monotonic() - started, memory_mb, shared))


def start(folder: Path, name: str, replace: dict[str, stemline.Replace]) -> tuple[Any, Connection]:
    """Start a run in a process of its own."""
    spawning = multiprocessing.get_context("spawn")
    told, telling = spawning.Pipe(duplex=False)
    process = spawning.Process(target=separate, args=(folder, name, replace, telling))
    process.start()
    return process, told


def run(folder: Path, name: str, replace: dict[str, stemline.Replace]) -> tuple[float, float, int]:
    """Return seconds, most memory in MB, and the number of shared room tones of a run."""
    process, told = start(folder, name, replace)
    found: tuple[float, float, int] = told.recv()
    process.join()
    return found


def kill_and_resume(folder: Path) -> None:
    """Kill a run when a third of its fills are there, run it again, and compare all sounds."""
    replace = {"dialogue": stemline.Replace()}
    process, _ = start(folder, "killed", replace)
    stems = folder / "killed" / "stems"
    while process.is_alive() and len(list(stems.glob("fill*.json"))) < _KILL_AFTER:
        time.sleep(0.1)
    process.kill()
    process.join()
    run(folder, "killed", replace)
    same = sum(
        path.read_bytes() == (stems / path.name).read_bytes()
        for path in (folder / "filled" / "stems").glob("*.wav")
        if not path.name.startswith("dialogue")  # the record of a stem names its job
    )
    died = process.exitcode == -signal.SIGKILL
    report("files with the same bytes after a kill", same, f"= {3 * CLIPS}", f"killed in the middle: {died}")
