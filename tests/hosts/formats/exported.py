"""Edits whose stems these tests write in other formats."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import opentimelineio as otio

from hosts.otio.support import audio_track, clip, frames, gap, media, save, separate
from stemline.timebase import grid_of
from stemline_otio import OtioTarget, open_edit

RATES = {
    "23.976": Fraction(24000, 1001),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "59.94": Fraction(60000, 1001),
}


def stereo_edit(folder: Path, rate: Fraction, channels: int = 2) -> Path:
    """Two clips of one stereo take that starts at ten hours: frames 10 to 60 and 80 to 110 of a sequence of 120."""
    begin = 36000 * round(rate)
    per_frame = grid_of(rate, 48000)
    stamp = begin // per_frame.frames * per_frame.samples
    take = media(folder / "take.wav", 12, channels=channels, timecode_sample=stamp)
    scale = int(rate) // 25 if rate > 1000 else 1
    spelled, length = float(rate), int(12 * rate)
    available = (begin // per_frame.frames * per_frame.frames, length)

    def use(start: int, frames_long: int) -> otio.schema.Clip:
        at = available[0] + start * scale
        return clip(take.as_uri(), (at, frames_long * scale), spelled, available, name="take")

    items = [
        gap(10 * scale, spelled), use(40, 50), gap(20 * scale, spelled), use(30, 30), gap(10 * scale, spelled)
    ]  # fmt: skip
    start = None if rate > 1000 else frames(3600 * round(rate), spelled)
    return save(folder / "edit.otio", audio_track("A1", items), start=start)


def written(path: Path, folder: Path, *, checkerboard: bool = False) -> tuple[Path, tuple[str, ...]]:
    """Return the edit with stems of halves, and its new tracks."""
    output = folder / "out" / "edit.stems.otio"
    target = OtioTarget(output, checkerboard=checkerboard)
    result = separate(open_edit(path, target), output, checkerboard=checkerboard)
    return output, result.written.tracks
