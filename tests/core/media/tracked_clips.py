"""Clips with a known mask, for the tracker: a textured object before a textured ground, under a camera that moves.

640 x 360 at 24 frames a second, with sensor noise and H.264 at CRF 26. Synthetic: footage has motion blur, turning
heads and smoke besides, and will do worse.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.media.films import write_film
from stemline.media.pictures.frames import FrameReader

WIDTH, HEIGHT, RATE = 640, 360, 24
SECONDS = 5
KINDS = ("moving", "fast", "occluded", "nonrigid")
_NOISE = 4.0
_PILLAR = 70

Picture = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class TrackedClip:
    """Decoded pictures and the true mask of each."""

    pictures: list[Picture]
    masks: list[Mask]

    def box(self, number: int = 0) -> tuple[int, int, int, int]:
        """X, y, width and height of the true mask, as a user draws it: 4 pixels too wide on each side."""
        rows, columns = np.flatnonzero(self.masks[number].any(1)), np.flatnonzero(self.masks[number].any(0))
        x, y = max(0, columns[0] - 4), max(0, rows[0] - 4)
        return int(x), int(y), int(columns[-1] + 5 - x), int(rows[-1] + 5 - y)


def make_clip(kind: str, seed: int = 0, seconds: float = SECONDS) -> TrackedClip:
    """One of KINDS, or "cut": the same object before another ground, then a scene without it."""
    frames = round(seconds * RATE)
    scene = _Scene(kind, seed)
    drawn = [scene.draw(number, frames) for number in range(frames)]
    if kind == "cut":
        other = _Scene("moving", seed + 1000)
        half = frames // 2
        drawn[half:] = [
            (other.draw(number, frames)[0], np.zeros((HEIGHT, WIDTH), bool)) for number in range(frames - half)
        ]
    with tempfile.TemporaryDirectory() as folder:
        film = write_film(Path(folder) / "clip.mp4", (picture for picture, _ in drawn), crf=26, gop=48)
        with FrameReader(film) as reader:
            pictures = [frame.pixels for frame in reader.in_order(Fraction(0), Fraction(frames, RATE))]
    return TrackedClip(pictures, [mask for _, mask in drawn])


class _Scene:
    def __init__(self, kind: str, seed: int) -> None:
        self.kind = kind
        self.random = np.random.default_rng([seed, *kind.encode()])
        self.ground = texture(self.random, 1100, 800, hue=self.random.uniform(0, 1))
        self.surface = texture(self.random, 320, 320, hue=self.random.uniform(0, 1), fine=True)
        self.outline = [(k, self.random.uniform(0.04, 0.13), self.random.uniform(0, 2 * math.pi)) for k in (2, 3, 5)]
        self.phases = self.random.uniform(0, 2 * math.pi, 6)
        self.shake = np.cumsum(self.random.normal(0, 0.8, (400, 2)), axis=0)
        self.shake -= np.linspace(0, 1, 400)[:, None] * self.shake[-1]

    def draw(self, number: int, frames: int) -> tuple[Picture, Mask]:
        t = number / RATE
        pan = np.array([120 + 20 * t, 180 + 12 * math.sin(t)]) + self.shake[number % 400]
        picture = cv2.warpAffine(
            self.ground, np.array([[1, 0, -pan[0]], [0, 1, -pan[1]]]), (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR
        )
        place, angle, scale = self._pose(t)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(mask, [np.round(self._points(t, place, angle, scale)).astype(np.int32)], 255)
        turn = cv2.getRotationMatrix2D((160, 160), -math.degrees(angle), scale)
        turn[:, 2] += place - 160
        surface = cv2.warpAffine(self.surface, turn, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        soft = cv2.GaussianBlur(mask, (3, 3), 0)[:, :, None].astype(np.float32) / 255
        picture = soft * surface + (1 - soft) * picture
        visible = mask > 127
        if self.kind == "occluded":
            left = round(WIDTH * 0.85 - (WIDTH * 0.85 + _PILLAR) * number / frames)
            picture[:, max(0, left) : max(0, left + _PILLAR)] = (96, 84, 70)
            visible[:, max(0, left) : max(0, left + _PILLAR)] = False
        noisy = picture + self.random.normal(0, _NOISE, picture.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), visible

    def _pose(self, t: float) -> tuple[np.ndarray[Any, Any], float, float]:
        speed, reach = (2.4, 150) if self.kind == "fast" else (1.0, 110)
        a, b, c, d, *_ = self.phases
        x = WIDTH / 2 + reach * math.sin(speed * t + a)
        y = HEIGHT / 2 + 45 * math.sin(1.3 * speed * t + b)
        turn = 0.1 if self.kind == "nonrigid" else 0.35
        return np.array([x, y]), turn * math.sin(0.8 * t + c), 1 + 0.15 * math.sin(0.7 * t + d)

    def _points(self, t: float, place: np.ndarray[Any, Any], angle: float, scale: float) -> np.ndarray[Any, Any]:
        around = np.linspace(0, 2 * math.pi, 180, endpoint=False)
        radius = np.ones(180)
        for k, size, phase in self.outline:
            moving = 1.5 * t + phase if self.kind == "nonrigid" else phase
            radius += size * np.cos(k * around + moving)
        distance = 68 * scale * radius
        return place + np.stack([np.cos(around + angle) * distance, np.sin(around + angle) * distance], axis=1)


def texture(
    random: np.random.Generator, width: int, height: int, *, hue: float, fine: bool = False
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise of several scales around one colour."""
    grey = np.zeros((height, width), np.float32)
    for cell in (6, 12, 24) if fine else (8, 20, 50, 120):
        coarse = random.normal(0, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
        grey += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    tint = np.array([math.cos(2 * math.pi * (hue + third / 3)) for third in range(3)], np.float32)
    pixels = 255 * (0.15 + 0.7 * grey[:, :, None]) + 55 * tint
    tinted: Picture = np.clip(pixels, 0, 255).astype(np.uint8)
    return tinted


def overlap(one: Mask, other: Mask) -> float:
    """Intersection over union; 1 where both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def steps(clip: TrackedClip) -> Iterator[tuple[Picture, Mask]]:
    """The pictures after the first, with their true masks."""
    yield from zip(clip.pictures[1:], clip.masks[1:], strict=True)
