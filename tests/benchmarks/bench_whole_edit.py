"""A generated 500-clip, 2-hour, 48 kHz stereo edit through the command line with the no-op engine.

Baseline: writing the same bytes to the same disk with plain file writes. Then the processor time of each kind of work,
measured by itself, beside its own floor: a plain read, SHA-256, copy or write of the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import psutil

from stemline.client import find_private, stop_private
from stemline.clips import MediaSource, SampleRange
from stemline.media import AudioFormat, SampleFormat, open_audio, open_writer, pcm_bytes
from stemline.workflow.fileset import SetRequest, blocks, measure_null

from .measure import PeakMemory, report

CLIPS, HOURS, RATE, SAMPLE_RATE = 500, 2, 25, 48000
MEDIA_FILES = 8


def make_edit(folder: Path, clips: int = CLIPS, hours: float = HOURS) -> Path:
    """Two tracks of clips that together use `hours` of media in random order."""
    generator = np.random.default_rng(1)
    each_s = int(hours * 3600) // MEDIA_FILES + 60
    block = np.rint(generator.uniform(-0.3, 0.3, (2, SAMPLE_RATE)) * 2**23).astype(np.float32) / np.float32(2**23)
    for number in range(MEDIA_FILES):
        with open_writer(
            folder / f"m{number}.wav", AudioFormat(SampleFormat.WAV24, SAMPLE_RATE, 2, "stereo")
        ) as writer:
            for _ in range(each_s):
                writer.write(block)
    length = int(hours * 3600 * RATE) // clips
    places = [(i % MEDIA_FILES, i // MEDIA_FILES * length + RATE) for i in range(clips)]
    random.Random(2).shuffle(places)
    timeline = otio.schema.Timeline("edit")
    tracks = [otio.schema.Track(f"A{i + 1}", kind=otio.schema.TrackKind.Audio) for i in range(2)]
    whole = otio.opentime.TimeRange(
        otio.opentime.RationalTime(0, RATE), otio.opentime.RationalTime(each_s * RATE, RATE)
    )
    for i, (number, start) in enumerate(places):
        used = otio.opentime.TimeRange(
            otio.opentime.RationalTime(start, RATE), otio.opentime.RationalTime(length, RATE)
        )
        tracks[i % 2].append(otio.schema.Clip(f"c{i}", otio.schema.ExternalReference(f"m{number}.wav", whole), used))
    timeline.tracks.extend(tracks)
    otio.adapters.write_to_file(timeline, str(folder / "edit.otio"))
    return folder / "edit.otio"


def plain_write_s(folder: Path, size: int) -> float:
    """Seconds to write `size` bytes in large blocks."""
    block = os.urandom(1 << 20) * 4
    started = time.perf_counter()
    with (folder / "plain.bin").open("wb", buffering=0) as file:
        for _ in range(size // len(block)):
            file.write(block)
    elapsed = time.perf_counter() - started
    (folder / "plain.bin").unlink()
    return elapsed


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as name:
        folder = Path(name)
        os.environ["STEMLINE_CACHE"] = str(folder / "cache")
        edit = make_edit(folder)
        out = folder / "out"
        argv = [sys.executable, "-m", "stemline", "batch", str(edit), "--stem", "a=x", "--model", "noop"]
        argv += ["-o", str(out), "--json"]
        started, before_s = time.perf_counter(), children_s()
        process = subprocess.Popen([*argv, "--no-previews"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def pids() -> list[int]:
            endpoint = find_private()
            return [process.pid, *([endpoint.pid] if endpoint else [])]

        with PeakMemory(pids) as memory:
            answer = json.loads(process.communicate()[0])
        elapsed, client_s, server_s = time.perf_counter() - started, children_s() - before_s, server_cpu_s()
        (result,) = answer["results"]
        used_s = CLIPS * (int(HOURS * 3600 * RATE) // CLIPS) / RATE
        size = sum(path.stat().st_size for path in (out / "stems").glob("*.wav"))
        plain = plain_write_s(folder, size)
        print(f"  {result['clips']['separated']} clips, null {result['null']['dbfs']} dBFS, {elapsed:.1f} s in and out")
        report("speed, times real time", used_s / elapsed, ">= 400", "the edit's own length")
        report(
            "plain write of the same bytes, times real time",
            used_s / plain,
            "-",
            f"{size / 1e9:.1f} GB in {plain:.1f} s",
        )
        report("peak memory of client and server, MB", memory.peak_bytes / 1e6, "< 400", "resident set")
        shares(folder, size, client_s, server_s)
        started = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        again_s = time.perf_counter() - started
        report("again, with the report's previews, times real time", used_s / again_s, "-", "the edit's own length")
        stop_private()


def shares(folder: Path, size: int, client_s: float, server_s: float) -> None:
    """Print the processor time of reading, hashing and proving by themselves, and what remains for writing."""
    sidecars = [json.loads(path.read_text()) for path in (folder / "out" / "stems").glob("residual_*.json")]
    held = [
        (folder / side["source"]["media"], SampleRange(side["source"]["start_sample"], side["source"]["end_sample"]))
        for side in sidecars
    ]
    reading_s = cpu_s(lambda: each_block(held, lambda block: None))
    hashing_s = cpu_s(lambda: each_block(held, lambda block: hashlib.sha256(pcm_bytes(block)).digest())) - reading_s
    proving_s = cpu_s(lambda: prove(folder, sidecars, held))
    total_s = client_s + server_s
    print(f"  processor time: client {client_s:.1f} s, server {server_s:.1f} s")
    data = os.urandom(1 << 24)
    rounds = size // len(data)
    floors = {
        "plain read": cpu_s(lambda: [path.read_bytes() for path in folder.glob("m*.wav")]),
        "SHA-256": cpu_s(lambda: [hashlib.sha256(data).digest() for _ in range(rounds)]),
        "copy": cpu_s(lambda: [bytearray(data) for _ in range(rounds)]),
        "plain write": cpu_s(lambda: plain_write_s(folder, size)),
    }
    rest_s = client_s - 2 * reading_s - hashing_s - proving_s
    rows = {
        "reading, in client and server": (2 * reading_s, "plain read"),
        "hashing the source": (hashing_s, "SHA-256"),
        "computing and naming on the server": (server_s, "copy"),
        "proving on the reopened files": (proving_s, "plain read"),
        "writing, hashes of files, and the rest": (max(0.0, rest_s), "plain write"),
    }
    for what, (seconds, floor) in rows.items():
        share = f"{seconds / total_s:.0%} of the processor time; {floor} of the same bytes {floors[floor]:.1f} s"
        report(f"{what}, s", seconds, "-", share)


def each_block(held: list[tuple[Path, SampleRange]], use: Callable[[np.ndarray], object]) -> None:
    """Read every range as the client does."""
    for path, span in held:
        with open_audio(MediaSource(str(path))) as reader:
            for part in blocks(span):
                use(reader.read(part.start_sample, part.end_sample))


def prove(folder: Path, sidecars: list[dict[str, Any]], held: list[tuple[Path, SampleRange]]) -> None:
    """Measure the null of every set again."""
    stems = folder / "out" / "stems"
    others = {(s["source"]["media"], s["source"]["start_sample"]): s for s in map(_json, stems.glob("a_*.json"))}
    for side, (path, span) in zip(sidecars, held, strict=True):
        stem = others[side["source"]["media"], side["source"]["start_sample"]]
        files = [stems / each["file"]["name"] for each in (side, stem)]
        request = SetRequest(MediaSource(str(path)), span, {}, {}, SampleFormat.WAV24, lambda name: None)
        assert measure_null(request, files, SampleFormat.WAV24).peak == 0


def _json(path: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(path.read_text())
    return held


def cpu_s(work: Callable[[], object]) -> float:
    """Return the processor seconds of this process for some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


def children_s() -> float:
    """Return the processor seconds of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def server_cpu_s() -> float:
    """Return the processor seconds of the private server and the processes of its engines."""
    endpoint = find_private()
    if endpoint is None:
        return 0.0
    server = psutil.Process(endpoint.pid)
    return sum(sum(each.cpu_times()[:2]) for each in (server, *server.children(recursive=True)))
