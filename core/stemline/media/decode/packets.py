"""Demux and decode the packets of one audio stream, past damage."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer
from av.packet import Packet

from stemline.media.decode.truncation import has_matroska_damage, is_truncated

Raw = npt.NDArray[np.generic]
LOST, CORRUPT = 1, 2
_PACKED: dict[str, type[np.generic]] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}
_MAX_FAILURES = 200
_NEAR_END_BYTES = 1 << 16
_WINDOW_BYTES = 1 << 22  # a whole file mapped at once would count as memory
_WAVPACK = b"wvpk"
_WAVPACK_HEADER_BYTES = 32


class PacketDecoder:
    """The decoded frames of one stream, from the container's current position to the end of the file.

    Iterating yields (frame, flags). `LOST` marks a frame before which packets are missing or do not decode, `CORRUPT`
    one that the demuxer calls corrupt. Failures before the first frame are not marked: decoders fail there after every
    seek. `lost_at_end` is set where the file ends with data that cannot be read.
    """

    def __init__(
        self, path: str | Path, container: InputContainer, stream: AvAudioStream, breaks: tuple[int, ...] = ()
    ) -> None:
        """Take an open stream. `breaks` are byte offsets at which the file is known to be broken."""
        self._path, self._container, self._stream = path, container, stream
        self._breaks = breaks
        self._skipped = False
        self.lost_at_end = False

    def __iter__(self) -> Iterator[tuple[AudioFrame, int]]:
        """Yield (frame, flags)."""
        begun, flags = False, 0
        breaks = list(self._breaks)
        for packet in self.packets():
            if self._skipped:
                flags |= LOST if begun else 0
                self._skipped = False
            while breaks and packet.pos is not None and packet.pos >= breaks[0]:
                breaks.pop(0)
                flags |= LOST
            try:
                frames = packet.decode()
            except av.FFmpegError:  # not InvalidDataError alone: decoders return private error numbers
                flags |= LOST if begun else 0
                continue
            if begun and packet.is_corrupt:
                flags |= CORRUPT
            for frame in frames:
                if frame.samples:
                    begun = True
                    yield frame, flags
                    flags = 0
        self.lost_at_end = bool(flags & LOST or breaks) or self._skipped

    def packets(self) -> Iterator[Packet[AvAudioStream]]:
        """Yield the stream's packets, past errors of the demuxer."""
        failures = 0
        before: Packet[AvAudioStream] | None = None
        last: Packet[AvAudioStream] | None = None
        while failures < _MAX_FAILURES:
            try:
                for packet in self._container.demux(self._stream):
                    if failures:
                        self._skipped, failures = True, 0
                    before, last = last, packet
                    yield packet
                break
            except (av.FFmpegError, OSError):
                failures += 1
                if self._container.format.name == "wv" and not self._find_wavpack_block(last):
                    break
        if last is not None and not last.size:  # a packet without data ends the stream
            last = before
        if failures or "matroska" in self._container.format.name:
            self._skipped = self._data_follows(last)

    def _data_follows(self, last: Packet[AvAudioStream] | None) -> bool:
        """Return whether the file goes on after its last readable packet, unless it is cut short."""
        if last is None or last.pos is None:
            return False
        name, size = self._container.format.name, self._container.size
        if size - last.pos - last.size < min(_NEAR_END_BYTES, size // 16):
            return False
        return has_matroska_damage(self._path) if "matroska" in name else not is_truncated(self._path, name)

    def _find_wavpack_block(self, last: Packet[AvAudioStream] | None) -> bool:
        """Seek to the next block header: FFmpeg's demuxer stays where the header should be."""
        begin = 0 if last is None or last.pos is None else last.pos + 1
        with Path(self._path).open("rb", buffering=0) as file:
            offset = next_wavpack_block(file, begin)
        if offset is None:
            return False
        self._container.seek(offset, stream=self._stream, unsupported_byte_offset=True)
        return True


def decoded_frames(path: str | Path, container: InputContainer, stream: AvAudioStream) -> Iterator[AudioFrame]:
    """Yield every frame of the stream that decodes."""
    for frame, _ in PacketDecoder(path, container, stream):
        yield frame


def raw_samples(frame: AudioFrame, channels: int) -> Raw:
    """Return the frame's samples as [channels, n] in the decoder's number format, as a view where possible."""
    dtype = _PACKED.get(frame.format.name)
    if dtype is None:
        planar: Raw = frame.to_ndarray()
        return planar
    packed: Raw = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channels)
    return packed.reshape(-1, channels).T


def find_bytes(file: BinaryIO, wanted: bytes, begin: int) -> int | None:
    """Return the offset of `wanted` at or after byte `begin`, None where it does not occur."""
    size = file.seek(0, 2)
    window = begin // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    while window < size:
        length = min(_WINDOW_BYTES + len(wanted) - 1, size - window)
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=window) as data:
            found = data.find(wanted, max(0, begin - window))
        if found >= 0:
            return window + found
        window += _WINDOW_BYTES
    return None


def next_wavpack_block(file: BinaryIO, begin: int) -> int | None:
    """Return the offset of the first WavPack block header at or after byte `begin`, None where there is none."""
    offset = find_bytes(file, _WAVPACK, begin)
    while offset is not None:
        file.seek(offset)
        if is_wavpack_header(file.read(_WAVPACK_HEADER_BYTES)):
            return offset
        offset = find_bytes(file, _WAVPACK, offset + 1)
    return None


def is_wavpack_header(header: bytes) -> bool:
    """Return whether 32 bytes are the header of a WavPack block."""
    if len(header) < _WAVPACK_HEADER_BYTES or header[:4] != _WAVPACK:
        return False
    size, version = int.from_bytes(header[4:8], "little"), int.from_bytes(header[8:10], "little")
    return 24 <= size < 1 << 20 and 0x402 <= version <= 0x410
