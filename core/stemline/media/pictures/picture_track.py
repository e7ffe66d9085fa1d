"""Picture tracks: files of masked pictures over time, which show a model the source of a sound.

A picture track belongs to one prompt and one extent of sound. Each of its *entries* has an exact time, counted from the
first sample of the extent, and a picture of `size` x `size` pixels in RGB: the object as in the media, everything else
black. Where the object is not in the picture, the whole picture is black. Equal pictures are stored once.

The server stores a picture track like sound, by the SHA-256 of its content. The file, little-endian:

| bytes | content |
|---|---|
| 8 | `STMPICT1` |
| 4 x 4 | unsigned: size in pixels, ticks per second, entries E, stored pictures P |
| P x size x size x 3 | the stored pictures: rows from the top, RGB |
| E x 8 | signed: the time of each entry in ticks, strictly rising from 0 or later |
| E x 4 | unsigned: the stored picture of each entry |
| 0 to 3 | zeros, up to a multiple of 4 bytes |
"""

from __future__ import annotations

import bisect
import hashlib
import struct
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, MediaError

PICTURE_SIZE = 336
"""Pixels on each side of a picture, as the vision towers of SAM Audio take them."""
MAX_ENTRIES = 1_000_000
"""Over 11 hours at 25 pictures a second."""

_MAGIC = b"STMPICT1"
_HEAD = struct.Struct("<8s4I")
_MAX_SIZE = 1024
_ENTRY_BYTES = 12

Picture = npt.NDArray[np.uint8]
"""Pixels [height, width, 3]: RGB, rows from the top."""


class PictureTrack:
    """The masked pictures of one sound's source over time, read one by one from a file.

    Reading maps the file, so memory use does not grow with its length. Pickling keeps the path: the copy opens the file
    again, so a track can go to another process.

    Attributes:
        path: The file.
        size: Pixels on each side of a picture.
        times: Time of each entry in seconds after the first sample of the sound, rising.
        picture_of: Index of the stored picture of each entry, [entries].
        pictures: How many pictures are stored. Equal pictures are stored once.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises MediaError (MEDIA_UNREADABLE) for a file that is not a whole picture track."""
        self.path = path
        length_bytes = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise _damaged()
            magic, self.size, rate, entries, self.pictures = _HEAD.unpack(head)
            valid = magic == _MAGIC and 0 < self.size <= _MAX_SIZE and rate > 0
            if not valid or not 0 < self.pictures <= entries <= MAX_ENTRIES:
                raise _damaged()
            pixels_bytes = self.pictures * _picture_bytes(self.size)
            content_bytes = _HEAD.size + pixels_bytes + entries * _ENTRY_BYTES
            if length_bytes != content_bytes + -content_bytes % 4:
                raise _damaged()
            file.seek(_HEAD.size + pixels_bytes)
            ticks = np.frombuffer(file.read(8 * entries), "<i8")
            self.picture_of: npt.NDArray[np.uint32] = np.frombuffer(file.read(4 * entries), "<u4")
        if ticks[0] < 0 or np.any(np.diff(ticks) <= 0) or int(self.picture_of.max()) >= self.pictures:
            raise _damaged()
        self.times = tuple(Fraction(int(tick), rate) for tick in ticks)

    def read(self, picture: int) -> Picture:
        """Return stored picture number `picture` as uint8 [size, size, 3]. Raises IndexError where there is none."""
        if not 0 <= picture < self.pictures:
            raise IndexError(picture)
        start = _HEAD.size + picture * _picture_bytes(self.size)
        return np.array(
            np.memmap(self.path, np.uint8, "r", offset=start, shape=(self.size, self.size, 3)), dtype=np.uint8
        )

    def entry_at(self, time: Fraction) -> int:
        """Return the index of the entry that is nearest to `time`, the earlier one of two at the same distance."""
        after = bisect.bisect_left(self.times, time)
        if after == 0:
            return 0
        if after == len(self.times):
            return after - 1
        return after if self.times[after] - time < time - self.times[after - 1] else after - 1

    def __reduce__(self) -> tuple[type[PictureTrack], tuple[Path]]:
        """Return how a copy is made."""
        return PictureTrack, (self.path,)


class PictureTrackWriter:
    """Writes a picture track, picture by picture. A context manager; a file that an error ended is not a whole track.

    Examples:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name) / "dog.pictures"
        >>> with PictureTrackWriter(path, size=2, ticks_per_second=25) as writer:
        ...     writer.add(0, np.zeros((2, 2, 3), np.uint8))
        ...     writer.add(1, np.zeros((2, 2, 3), np.uint8))
        >>> track = PictureTrack(path)
        >>> track.times, track.picture_of.tolist(), track.pictures
        ((Fraction(0, 1), Fraction(1, 25)), [0, 0], 1)
        >>> folder.cleanup()
    """

    def __init__(self, path: Path, *, size: int = PICTURE_SIZE, ticks_per_second: int) -> None:
        """Create the file. Raises OSError."""
        self._size, self._rate = size, ticks_per_second
        self._ticks: list[int] = []
        self._picture_of: list[int] = []
        self._stored: dict[bytes, int] = {}
        self._file: IO[bytes] = path.open("wb")
        self._file.write(bytes(_HEAD.size))

    def add(self, tick: int, pixels: Picture) -> None:
        """Append an entry.

        Args:
            tick: Its time; later than that of the entry before.
            pixels: uint8 [size, size, 3], masked.

        Raises:
            ValueError: The time does not rise, or the picture has another shape.
            OSError: The disk is full.
        """
        if pixels.shape != (self._size, self._size, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"a picture must be uint8 [{self._size}, {self._size}, 3], not {pixels.shape}")
        if tick < 0 or (self._ticks and tick <= self._ticks[-1]):
            raise ValueError(f"the times of pictures must rise; {tick} does not")
        data = pixels.tobytes()
        digest = hashlib.sha256(data).digest()
        if digest not in self._stored:
            self._stored[digest] = len(self._stored)
            self._file.write(data)
        self._ticks.append(tick)
        self._picture_of.append(self._stored[digest])

    def close(self) -> None:
        """Write the times and the head, and close the file. Raises ValueError for a track without entries."""
        with self._file:
            if not self._ticks:
                raise ValueError("a picture track needs an entry")
            self._file.write(np.array(self._ticks, "<i8").tobytes())
            self._file.write(np.array(self._picture_of, "<u4").tobytes())
            self._file.write(bytes(-self._file.tell() % 4))
            self._file.seek(0)
            self._file.write(_HEAD.pack(_MAGIC, self._size, self._rate, len(self._ticks), len(self._stored)))

    def __enter__(self) -> PictureTrackWriter:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Finish the file; after an error, only close it."""
        if kind is None:
            self.close()
        else:
            self._file.close()


class PictureTrackHasher:
    """The name of a picture track on the server: the SHA-256 of "pictures:" and the file."""

    def __init__(self) -> None:
        """Start with no bytes."""
        self._sha = hashlib.sha256(b"pictures:")

    def update_pcm(self, data: bytes | memoryview) -> None:
        """Add the next bytes of the file."""
        self._sha.update(data)

    def name(self) -> str:
        """Return the name of the bytes so far."""
        return f"media/{self._sha.hexdigest()}"


def _picture_bytes(size: int) -> int:
    return size * size * 3


def _damaged() -> MediaError:
    return MediaError("The file is not a picture track.", code=Code.MEDIA_UNREADABLE, advice="Make it again.")
