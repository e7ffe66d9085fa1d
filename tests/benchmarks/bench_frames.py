"""Pictures: from a mark to the first overlay, key frames of long films, and the model's pictures against torch."""

from __future__ import annotations

import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from stemline.media.pictures.corner_tracker import first_mask
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.model_picture import model_picture
from stemline.media.pictures.tracking import TRACKED_PIXELS, Marks

from .measure import best_of, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from core.media.films import write_film
from core.media.tracked_clips import make_clip

RUNS = 5
FRAMES = 240


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
    pixels = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    torch.set_num_threads(1)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]

    def with_torch() -> None:
        torch.nn.functional.interpolate(planes.float(), (336, 336), mode="bicubic", antialias=True).clamp(
            0, 255
        ).round()

    ratio = best_of(RUNS, lambda: model_picture(pixels)) / best_of(RUNS, with_torch)
    report("336-pixel picture of a 1080p frame", ratio, "< 3", "torch's interpolate on one thread")


if __name__ == "__main__":
    main()
