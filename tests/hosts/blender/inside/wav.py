"""PCM and float WAV files as lists of floats, one for each channel. Standard library alone: runs inside Blender."""

from __future__ import annotations

import array
import struct
from pathlib import Path


def read(path: str) -> tuple[int, list[array.array[float]]]:
    """(sample_rate, channels). Raises ValueError for another kind of file."""
    data = Path(path).read_bytes()
    if data[:4] not in (b"RIFF", b"RF64"):
        raise ValueError(f"{path} is no WAV file")
    at, form, sound = 12, (0, 0, 0, 0, 0, 0), b""
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"fmt ":
            form = struct.unpack_from("<HHIIHH", data, at + 8)
        elif name == b"data":
            sound = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    kind, count, rate, _, frame, bits = form
    sound = sound[: len(sound) // frame * frame]
    samples = array.array("f")
    if bits == 32 and (kind == 3 or (kind == 0xFFFE and b"\x03\x00\x00\x00\x00\x00\x10\x00" in data[:200])):
        samples.frombytes(sound)
    else:
        width, full = bits // 8, float(1 << (bits - 1))
        samples.extend(
            int.from_bytes(sound[i : i + width], "little", signed=True) / full for i in range(0, len(sound), width)
        )
    return rate, [samples[channel::count] for channel in range(count)]


def write(path: str, rate: int, channels: int, values: list[int], bits: int = 16) -> None:
    """Interleaved integers of `bits`."""
    width = bits // 8
    sound = b"".join(value.to_bytes(width, "little", signed=True) for value in values)
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * width, channels * width, bits)
    Path(path).write_bytes(
        b"RIFF"
        + struct.pack("<I", 36 + len(sound))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + b"data"
        + struct.pack("<I", len(sound))
        + sound
    )


def noise(path: str, rate: int, channels: int, seconds: float, seed: int = 1) -> str:
    """Noise in 16 bits, another one for every seed."""
    count, state, values = int(rate * seconds) * channels, seed * 2654435761 % 2**32, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append((state >> 16) - 32768 >> 1)
    write(path, rate, channels, values)
    return path


def worst(one: array.array[float], other: array.array[float]) -> float:
    """The largest difference of two sounds of one length."""
    if len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} samples")
    return max((abs(a - b) for a, b in zip(one, other)), default=0.0)  # noqa: B905
