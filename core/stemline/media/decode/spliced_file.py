"""A read-only file made of a header in memory and ranges of another file."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

BUFFER_BYTES = 1 << 18


class SplicedFile(io.RawIOBase):
    """The bytes of `head`, then of each (offset, size) range of the file at `path`."""

    name = "spliced"  # without a suffix, so that FFmpeg probes the content

    def __init__(self, path: str | Path, head: bytes, ranges: Sequence[tuple[int, int]]) -> None:
        """Open the file at `path`."""
        super().__init__()
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._head = head
        self._ranges = tuple(ranges)
        self._starts = [0, *accumulate(size for _, size in ranges)]
        self._length = len(head) + self._starts[-1]
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
        """Read from one range into a buffer and return the number of bytes."""
        at = self._position - len(self._head)
        if at < 0:
            part = self._head[self._position : self._position + len(buffer)]
        else:
            number = bisect_right(self._starts, at) - 1
            if number >= len(self._ranges):
                return 0
            (offset, size), into = self._ranges[number], at - self._starts[number]
            self._file.seek(offset + into)
            part = self._file.read(min(len(buffer), size - into))
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


def open_spliced(path: str | Path, head: bytes, ranges: Sequence[tuple[int, int]]) -> BinaryIO:
    """Open a buffered `SplicedFile`."""
    return io.BufferedReader(SplicedFile(path, head, ranges), BUFFER_BYTES)
