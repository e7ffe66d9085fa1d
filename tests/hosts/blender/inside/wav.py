"""PCM and float WAV files as lists of floats, one for each channel. Standard library alone: runs inside Blender."""

from __future__ import annotations

import array
import operator
import random
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
        whole = array.array("i" if bits > 16 else "h")
        if bits == 24:  # as the upper three bytes of 32 bits
            wide = bytearray(len(sound) // 3 * 4)
            for byte in range(3):
                wide[byte + 1 :: 4] = sound[byte::3]
            sound = bytes(wide)
        whole.frombytes(sound)
        full = float(1 << (15 if bits == 16 else 31))
        samples.extend(value / full for value in whole)
    return rate, [samples[channel::count] for channel in range(count)]


def write(path: str, rate: int, channels: int, sound: bytes) -> None:
    """Interleaved samples of 16 bits, little-endian."""
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
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
    """Noise in 16 bits at half of full scale, another one for every seed."""
    loud = array.array("h")
    loud.frombytes(random.Random(seed).randbytes(int(rate * seconds) * channels * 2))
    write(path, rate, channels, array.array("h", (value >> 1 for value in loud)).tobytes())
    return path


def worst(one: array.array[float], other: array.array[float]) -> float:
    """The largest difference of two sounds of one length."""
    if len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} samples")
    return max(map(abs, map(operator.sub, one, other)), default=0.0)
