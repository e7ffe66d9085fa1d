"""Pictures: from a mark to the first overlay, key frames and proxies of long films, memory, the model's pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from stemline.media.pictures.corner_tracker import first_mask
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.model_picture import model_picture
from stemline.media.pictures.proxy import make_segment, open_segment
from stemline.media.pictures.tracking import TRACKED_PIXELS, Marks

from .measure import best_of, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from core.media.films import write_film
from core.media.tracked_clips import make_clip

RUNS = 5
SHORT_S, LONG_S = 5, 60
PEAK = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from stemline.clips import TimeRange
from stemline.media.pictures.following import follow_both_ways, write_mask_film
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.masks import FilmMasks, scaled_mask
from stemline.media.pictures.model_picture import model_picture
from stemline.media.pictures.picture_track import PictureTrackWriter
from stemline.media.pictures.trackers import create_tracker
from stemline.media.pictures.tracking import Marks

film, seconds = Path(sys.argv[1]), int(sys.argv[2])
marks = Marks(box=(210, 50, 60, 60))
within = TimeRange(Fraction(0), Fraction(seconds))
followed = follow_both_ways(film, lambda: create_tracker(""), (Fraction(0), marks), within, lambda: False)
write_mask_film(film.with_suffix(".mov"), followed, Fraction(0))
with (
    FrameReader(film) as reader,
    PictureTrackWriter(film.with_suffix(".pictures"), ticks_per_second=4) as writer,
):
    masks = FilmMasks(film.with_suffix(".mov"), reader.shape, Fraction(0))
    for tick, frame in enumerate(reader.nearest([Fraction(tick, 4) for tick in range(4 * seconds)])):
        mask = masks.at(frame.time)
        size = frame.pixels.shape[:2]
        seen = np.zeros(size, bool) if mask is None else scaled_mask(mask, *size)
        writer.add(tick, model_picture(frame.pixels, seen))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
FRAMES = 240


def square(number: int) -> np.ndarray:
    """A textured square that goes to and fro over a dark ground."""
    random = np.random.default_rng(1)
    picture = random.integers(20, 70, (180, 320, 3), dtype=np.uint8)
    x = 30 + abs(180 - number % 360)
    texture = random.integers(120, 255, (10, 10, 3), dtype=np.uint8)
    picture[50:110, x : x + 60] = np.kron(texture, np.ones((6, 6, 1), np.uint8))
    return picture


def main() -> None:
    """Prints seconds of the overlay, and one ratio for each of the others."""
    clip = make_clip("moving", seconds=0.2)
    marks = Marks(box=clip.box())
    overlay_s = best_of(RUNS, lambda: first_mask(clip.pictures[0], marks))
    report("seconds from a box to the first overlay", overlay_s, "< 0.5", "the clock")
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        noise = np.random.default_rng(0).integers(0, 255, (1080, 1920 + FRAMES * 4, 3), dtype=np.uint8)
        frames = (noise[:, 4 * number : 4 * number + 1920] for number in range(FRAMES))
        film = write_film(Path(folder) / "long.mp4", frames, gop=FRAMES, crf=35)
        with FrameReader(film, longest=TRACKED_PIXELS) as reader:
            late = Fraction(FRAMES - 5, 24)
            key_s = best_of(RUNS, lambda: reader.key_frame(late))
            exact_s = best_of(2, lambda: (reader.key_frame(Fraction(0)), reader.at(late)))
        report("key frame of a 1080p film with one in ten seconds", key_s / exact_s, "< 0.2", "the exact frame")
        report_proxy(film, late, exact_s, Path(folder))
        report_memory(Path(folder))
    pixels = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    torch.set_num_threads(1)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]

    def with_torch() -> None:
        torch.nn.functional.interpolate(planes.float(), (336, 336), mode="bicubic", antialias=True).clamp(
            0, 255
        ).round()

    ratio = best_of(RUNS, lambda: model_picture(pixels)) / best_of(RUNS, with_torch)
    report("336-pixel picture of a 1080p frame", ratio, "< 3", "torch's interpolate on one thread")


def report_proxy(film: Path, late: Fraction, exact_s: float, folder: Path) -> None:
    """Prints what a frame costs in a proxy, and what the proxy costs."""
    os.environ["STEMLINE_CACHE"] = str(folder / "cache")
    started = time.perf_counter()
    segment = make_segment(film, 0)
    made_s = time.perf_counter() - started
    with open_segment(segment) as reader:
        proxy_s = best_of(RUNS, lambda: (reader.at(Fraction(0)), reader.at(late)))
    report("exact frame from the proxy", proxy_s / exact_s, "< 0.2", "the exact frame from the film")
    with FrameReader(film, longest=TRACKED_PIXELS) as reader:
        decode_s = best_of(1, lambda: sum(1 for _ in reader.in_order(Fraction(0), Fraction(FRAMES, 24))))
    report("making the proxy", made_s / decode_s, "< 3", "decoding and scaling the frames alone")


def report_memory(folder: Path) -> None:
    """Prints the memory of following an object and making its pictures, by the length of the clip."""
    peaks = []
    for seconds in SHORT_S, LONG_S:
        film = write_film(folder / f"{seconds}.mp4", map(square, range(seconds * 24)), gop=250, crf=20)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(film), str(seconds)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    report(f"memory for a clip of {LONG_S} s", peaks[1] / peaks[0], "<= 1.1", f"a clip of {SHORT_S} s")


if __name__ == "__main__":
    main()
