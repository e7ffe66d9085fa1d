"""Integer samples of PCM WAV files, read with nothing of the product: standard library only, Python 3.8."""

from __future__ import annotations

import struct
from pathlib import Path


def read_samples(path: str) -> tuple[int, int, int, list[int]]:
    """(sample_rate, channels, bits, [interleaved integers]). Raises ValueError for another kind of file."""
    data = Path(path).read_bytes()
    if data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        raise ValueError(f"{path} is no WAV file")
    at = 12
    form: tuple[int, ...] | None = None
    sound: bytes | None = None
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"fmt ":
            form = struct.unpack_from("<HHIIHH", data, at + 8)
        elif name == b"data":
            sound = data[at + 8 : at + 8 + size] if size != 0xFFFFFFFF else data[at + 8 :]
        at += 8 + size + size % 2
    if form is None or sound is None or form[0] not in (1, 0xFFFE):
        raise ValueError(f"{path} holds no integer samples")
    _, channels, sample_rate, _, _, bits = form
    width = bits // 8
    samples = [int.from_bytes(sound[i : i + width], "little", signed=True) for i in range(0, len(sound), width)]
    return sample_rate, channels, bits, samples
