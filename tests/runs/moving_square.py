"""A film of a bright square that moves, and masks of it in the forms of other programs."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from core.media.films import HEIGHT, RATE, WIDTH, write_film

SIDE, SECONDS = 60, 2


def square(number: int) -> np.ndarray:
    """A bright, textured square that moves two pixels a frame over a dark, textured ground."""
    random = np.random.default_rng(1)
    picture = random.integers(20, 70, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    x, y = place(number)
    picture[y : y + SIDE, x : x + SIDE] = np.kron(
        random.integers(120, 255, (SIDE // 6, SIDE // 6, 3), dtype=np.uint8), np.ones((6, 6, 1), np.uint8)
    )
    return picture


def place(number: int) -> tuple[int, int]:
    return 30 + 2 * number, 50 + number // 2


def mask_of(number: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x, y = place(number)
    mask[y : y + SIDE, x : x + SIDE] = 255
    return mask


def folder_of_pngs(folder: Path, numbers: range, pixel_format: str = "gray") -> Path:
    folder.mkdir()
    for number in numbers:
        with av.open(str(folder / f"m{number}.png"), "w", format="image2") as container:
            stream = container.add_stream("png", 1)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
            frame = av.VideoFrame.from_ndarray(mask_of(number), format="rgb24").reformat(format=pixel_format)
            container.mux(stream.encode(frame))
    return folder


def film_of_masks(path: Path) -> Path:
    return write_film(path, map(mask_of, range(SECONDS * RATE)), codec="ffv1", pixel_format="gray")
