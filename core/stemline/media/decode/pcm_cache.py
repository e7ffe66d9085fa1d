"""Cache decoded sound of media that seeks cannot read exactly."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from stemline.clips import SampleRange
from stemline.files import output_errors
from stemline.locks import file_lock
from stemline.media.decode.container import stat_media, unreadable
from stemline.media.decode.frame_decoder import FrameDecoder
from stemline.media.decode.range_decoder import RangeDecoder
from stemline.media.decode.stream_index import StreamFacts
from stemline.media.samples import FloatBlock, interleaved
from stemline.media.wave.pcm_f32 import pcm_bytes
from stemline_bridge import read_json_object

_BLOCK_SAMPLES = 1 << 17
_ABANDONED_S = 86_400
DEFAULT_LIMIT_BYTES = 40 << 30

Progress = Callable[[int, int], None]


class DecodedSound:
    """A cached stream, open for reading ranges. `damage` lists the places that do not decode."""

    def __init__(self, path: Path, channels: int, damage: list[SampleRange]) -> None:
        """Open the file of samples."""
        self._file = path.open("rb")
        self._channels = channels
        self.damage = damage

    def read(self, start_sample: int, out: FloatBlock) -> None:
        """Fill `out` [channels, n] from `start_sample`, with zeros past the end."""
        stride = 4 * self._channels
        for first in range(0, out.shape[1], _BLOCK_SAMPLES):
            part = out[:, first : first + _BLOCK_SAMPLES]
            self._file.seek((start_sample + first) * stride)
            got = np.frombuffer(self._file.read(part.shape[1] * stride), "<f4").reshape(-1, self._channels)
            part[:, : len(got)] = got.T
            part[:, len(got) :] = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PcmCache:
    """A folder of decoded streams, each a `.f32` of interleaved float32 beside a small `.json`.

    The `.json` is written last and makes the entry valid. Several processes may share the folder. Above `limit_bytes`
    the least recently used entries are deleted. `progress` is called with (samples done, all samples) while a stream is
    decoded.
    """

    def __init__(
        self, folder: str | Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES, progress: Progress | None = None
    ) -> None:
        """Take the folder, which is made on first use."""
        self.folder = Path(folder)
        self._limit_bytes = limit_bytes
        self._progress = progress

    def open(self, path: str, facts: StreamFacts) -> DecodedSound:
        """Open a stream, and decode the whole of it first where it is not cached.

        Raises:
            MediaError: The stream does not decode.
            OutputError: The disk is full.
        """
        with output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        key, about = _identity(path, facts)
        with output_errors(self.folder), file_lock(self.folder / f"{key}.lock"):
            sound = self.folder / f"{key}.f32"
            with contextlib.suppress(FileNotFoundError):
                os.utime(sound)  # marks the entry as recently used
            held = self._held(key, facts)
            if held is None:
                held = self._decode(key, path, facts, about)
            return DecodedSound(sound, facts.stream.channels, _damage_of(held.get("damaged"), facts))

    def _held(self, key: str, facts: StreamFacts) -> dict[str, object] | None:
        """Return the description of a cached stream, None where it is not cached."""
        try:
            size = (self.folder / f"{key}.f32").stat().st_size
        except OSError:
            return None
        return read_json_object(self.folder / f"{key}.json") if size == _size_bytes(facts) else None

    def _decode(self, key: str, path: str, facts: StreamFacts, about: dict[str, object]) -> dict[str, object]:
        self._make_room(_size_bytes(facts))
        sound = self.folder / f"{key}.f32"
        part = self.folder / f".{key}.{os.getpid()}-{secrets.token_hex(4)}.part"
        try:
            about = {**about, "damaged": self._write_sound(part, path, facts)}
            part.replace(sound)
            part.write_text(json.dumps(about, sort_keys=True), "utf-8")
            part.replace(sound.with_suffix(".json"))
            return about
        finally:
            part.unlink(missing_ok=True)

    def _write_sound(self, part: Path, path: str, facts: StreamFacts) -> list[tuple[int, int]]:
        """Decode the whole stream into `part` and return the places that do not decode."""
        stream = facts.stream
        if facts.anchor is None:
            raise unreadable(path)
        block = interleaved(stream.channels, _BLOCK_SAMPLES)
        with FrameDecoder(path, stream.index, facts.anchor) as decoder, part.open("xb") as file:
            ranges = RangeDecoder(decoder, stream.sample_rate)
            for start in range(0, stream.length_samples, _BLOCK_SAMPLES):
                here = block[:, : min(_BLOCK_SAMPLES, stream.length_samples - start)]
                ranges.read(start, here)
                file.write(pcm_bytes(here))
                if self._progress is not None:
                    self._progress(start + here.shape[1], stream.length_samples)
            return [(place.start_sample, place.end_sample) for place in decoder.damage]

    def _make_room(self, wanted_bytes: int) -> None:
        """Delete abandoned parts, then the least recently used entries until `wanted_bytes` more fit the limit."""
        for part in self.folder.glob(".*.part"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _ABANDONED_S:
                    part.unlink()
        entries: list[tuple[int, int, Path]] = []
        for sound in self.folder.glob("*.f32"):
            with contextlib.suppress(OSError):
                facts = sound.stat()
                entries.append((facts.st_mtime_ns, facts.st_size, sound))
        held = sum(size for _, size, _ in entries)
        for _, size, sound in sorted(entries):
            if held + wanted_bytes <= self._limit_bytes:
                return
            with contextlib.suppress(OSError):  # Windows refuses to delete an open file
                sound.with_suffix(".json").unlink(missing_ok=True)
                sound.unlink()
                held -= size


def _damage_of(saved: object, facts: StreamFacts) -> list[SampleRange]:
    """Return the damaged places of an entry. Earlier versions stored only whether there are any."""
    if isinstance(saved, list):
        return [SampleRange(int(start), int(end)) for start, end in saved]
    return [SampleRange(0, facts.stream.length_samples)] if saved else []


def _size_bytes(facts: StreamFacts) -> int:
    return facts.stream.length_samples * facts.stream.channels * 4


def _identity(path: str, facts: StreamFacts) -> tuple[str, dict[str, object]]:
    """Return a key that changes with the file and with the decoder, and the fields that it is made of."""
    size, mtime_ns, inode = stat_media(path)
    about: dict[str, object] = {
        "version": 1,
        "path": os.fsencode(Path(path).absolute()).hex(),
        "size": size,
        "mtime_ns": mtime_ns,
        "inode": inode,
        "stream": facts.stream.index,
        "channels": facts.stream.channels,
        "sample_rate": facts.stream.sample_rate,
        "length_samples": facts.stream.length_samples,
        "decoder": [facts.stream.codec, *map(list, sorted(av.library_versions.items()))],
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest(), about
