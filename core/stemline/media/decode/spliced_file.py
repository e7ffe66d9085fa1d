"""A read-only file made of bytes in memory and ranges of another file."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

BUFFER_BYTES = 1 << 18


class SplicedFile(io.RawIOBase):
    """The parts in order, each bytes or an (offset, size) range of the file at `path`."""

    name = "spliced"  # without a suffix, so that FFmpeg probes the content

    def __init__(self, path: str | Path, parts: Sequence[bytes | tuple[int, int]]) -> None:
        """Open the file at `path`."""
        super().__init__()
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._parts = tuple(parts)
        self._starts = [0, *accumulate(len(part) if isinstance(part, bytes) else part[1] for part in parts)]
        self._length = self._starts[-1]
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the current offset."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read from one part into a buffer and return the number of bytes."""
        number = bisect_right(self._starts, self._position) - 1
        if number >= len(self._parts):
            return 0
        part, into = self._parts[number], self._position - self._starts[number]
        if isinstance(part, bytes):
            read = part[into : into + len(buffer)]
        else:
            self._file.seek(part[0] + into)
            read = self._file.read(min(len(buffer), part[1] - into))
        buffer[: len(read)] = read
        self._position += len(read)
        return len(read)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


def open_spliced(path: str | Path, parts: Sequence[bytes | tuple[int, int]]) -> BinaryIO:
    """Open a buffered `SplicedFile`."""
    return io.BufferedReader(SplicedFile(path, parts), BUFFER_BYTES)
