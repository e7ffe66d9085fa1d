"""Masks that no run can use. Each function makes one at a path and returns the words of the refusal."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np

from core.media.films import write_film
from runs.moving_square import film_of_masks


def text_files(path: Path) -> str:
    path.mkdir()
    for number in range(20):
        (path / f"{number}.txt").write_text("no picture")
    return "holds no pictures"


def wrong_size(path: Path) -> str:
    write_film(path, (np.zeros((100, 100, 3), np.uint8) for _ in range(3)), codec="ffv1", pixel_format="gray")
    return "100 x 100 pixels, the upright picture 320 x 180"


def damaged(path: Path) -> str:
    film_of_masks(path)
    path.write_bytes(path.read_bytes()[:200])
    return "not a readable media file|has no picture"


def many_damaged(path: Path) -> str:
    path.mkdir()
    for number in range(2_000):
        (path / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return "not a readable media file|has no picture"


def text_named_png(path: Path) -> str:
    path.mkdir()
    for number in range(20):
        (path / f"{number}.png").write_text("no picture " * 50)
    return "not a readable media file"


def pipe(path: Path) -> str:
    os.mkfifo(path)  # opening it for reading would wait for ever
    return "is not a media file"


def empty(path: Path) -> str:
    path.write_bytes(b"")
    return "is empty"


def bomb(path: Path) -> str:
    """A PNG of 120 kB with 120 million pixels."""
    width, height = 14_600, 8_212
    lines = zlib.compressobj(9)
    data = b"".join(lines.compress(bytes(width + 1)) for _ in range(height)) + lines.flush()
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        for name, content in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b"")):
            file.write(struct.pack(">I", len(content)) + name + content)
            file.write(struct.pack(">I", zlib.crc32(name + content)))
    return "is too large"
