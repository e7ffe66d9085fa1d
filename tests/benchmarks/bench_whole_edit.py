"""A generated 500-clip, 2-hour, 48 kHz stereo edit through the command line with the no-op engine.

Baseline: writing the same bytes to the same disk with plain file writes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import opentimelineio as otio

from stemline.client import find_private, stop_private
from stemline.media import AudioFormat, SampleFormat, open_writer

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
        started = time.perf_counter()
        process = subprocess.Popen(
            [*argv, "-o", str(out), "--json", "--no-previews"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

        def pids() -> list[int]:
            endpoint = find_private()
            return [process.pid, *([endpoint.pid] if endpoint else [])]

        with PeakMemory(pids) as memory:
            answer = json.loads(process.communicate()[0])
        elapsed = time.perf_counter() - started
        started = time.perf_counter()
        subprocess.run([*argv, "-o", str(out), "--json"], check=True, capture_output=True)
        again = time.perf_counter() - started
        stop_private()
        (result,) = answer["results"]
        used_s = CLIPS * (int(HOURS * 3600 * RATE) // CLIPS) / RATE
        size = sum(path.stat().st_size for path in (out / "stems").glob("*.wav"))
        plain = plain_write_s(folder, size)
        print(f"  {result['clips']['separated']} clips, null {result['null']['dbfs']} dBFS, {elapsed:.1f} s in and out")
        report("speed, times real time", used_s / elapsed, ">= 150", "the edit's own length")
        report(
            "plain write of the same bytes, times real time",
            used_s / plain,
            "-",
            f"{size / 1e9:.1f} GB in {plain:.1f} s",
        )
        report(
            "second run, which adds the report's previews, times real time", used_s / again, "-", "the edit's length"
        )
        report("peak memory of client and server, MB", memory.peak_bytes / 1e6, "< 600", "resident set")
