"""Apply the edit lists of MOV and MP4 that join several ranges of a track.

FFmpeg applies edit lists by whole packets, which moves the sound after a join by part of a packet. Files whose edit
lists join ranges are opened without them, and the ranges are joined here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

from stemline.clips import SampleRange
from stemline.media.samples import FloatBlock
from stemline.timebase import round_half_up

_HEADER_BYTES = 8
_LARGEST_LIST_BYTES = 1 << 16
_LONGEST_S = 86_400
_HANDLER = (b"mdia", b"hdlr")
_Box = tuple[bytes, int, int]


@dataclass(frozen=True, slots=True)
class Edit:
    """A range of a track's timeline in seconds, and where it begins in the track's media; None for silence."""

    start_s: Fraction
    end_s: Fraction
    media_s: Fraction | None


class Ranges(Protocol):
    """A stream that gives exact ranges."""

    @property
    def damage(self) -> list[SampleRange]:
        """The places read so far that do not decode."""

    def read(self, start_sample: int, out: FloatBlock) -> None:
        """Fill `out` [channels, n] from `start_sample`."""

    def close(self) -> None:
        """Close the file."""


class EditedRanges:
    """The timeline of a track, joined from ranges of its media."""

    def __init__(self, media: Ranges, media_samples: int, edits: tuple[Edit, ...], sample_rate: int) -> None:
        """Place the edits on samples."""
        self._media, self._media_samples = media, media_samples
        self._edits = [
            (
                round_half_up(edit.start_s * sample_rate),
                round_half_up(edit.end_s * sample_rate),
                None if edit.media_s is None else round_half_up(edit.media_s * sample_rate),
            )
            for edit in edits
        ]

    @property
    def damage(self) -> list[SampleRange]:
        """The places read so far that do not decode, in samples of the media."""
        return self._media.damage

    def read(self, start_sample: int, out: FloatBlock) -> None:
        """Fill `out` [channels, n] from `start_sample` of the timeline."""
        out[...] = 0
        end_sample = start_sample + out.shape[1]
        for begin, end, media in self._edits:
            first, last = max(begin, start_sample), min(end, end_sample)
            if media is not None:
                last = min(last, begin + self._media_samples - media)
            if media is not None and first < last:
                self._media.read(media + first - begin, out[:, first - start_sample : last - start_sample])

    def close(self) -> None:
        """Close the file."""
        self._media.close()


def joining_edits(path: str | Path, index: int) -> tuple[Edit, ...]:
    """Return the edits of the n-th audio track of a file in which some track joins ranges; else nothing."""
    state = Path(path).stat()
    lists = _edit_lists(str(path), state.st_size, state.st_mtime_ns)
    return lists[index] if index < len(lists) and joins_ranges(path) else ()


def joins_ranges(path: str | Path) -> bool:
    """Return whether an audio track of a MOV or MP4 file joins two or more ranges of its media."""
    state = Path(path).stat()
    lists = _edit_lists(str(path), state.st_size, state.st_mtime_ns)
    return any(sum(edit.media_s is not None for edit in edits) > 1 for edits in lists)


@lru_cache(maxsize=256)
def _edit_lists(path: str, size: int, _mtime_ns: int) -> tuple[tuple[Edit, ...], ...]:
    """Return the edit list of each audio track."""
    with Path(path).open("rb") as file:
        lists = []
        for _, begin, end in box_bodies(file, (b"moov",), 0, size):
            movie_scale = _time_scale(file, (b"mvhd",), begin, end)
            for _, start, stop in box_bodies(file, (b"trak",), begin, end):
                if any(_read(file, body)[8:12] == b"soun" for body in box_bodies(file, _HANDLER, start, stop)):
                    scale = _time_scale(file, (b"mdia", b"mdhd"), start, stop)
                    edits = tuple(_edits(file, movie_scale, scale, start, stop))
                    lists.append(edits if edits and edits[-1].end_s <= _LONGEST_S else ())
    return tuple(lists)


def _edits(file: BinaryIO, movie_scale: int, scale: int, begin: int, end: int) -> Iterator[Edit]:
    """Yield the edits of the track whose body is at [begin, end)."""
    position = Fraction(0)
    for box in box_bodies(file, (b"edts", b"elst"), begin, end):
        body = _read(file, box)
        size = 8 if body[:1] == b"\1" else 4  # version 1 has times of 64 bits
        for at in range(8, len(body) - 2 * size - 3, 2 * size + 4):
            length = Fraction(int.from_bytes(body[at : at + size], "big"), movie_scale)
            media = int.from_bytes(body[at + size : at + 2 * size], "big", signed=True)
            yield Edit(position, position + length, None if media < 0 else Fraction(media, scale))
            position += length


def _time_scale(file: BinaryIO, names: tuple[bytes, ...], begin: int, end: int) -> int:
    """Return the units per second of a movie or track header."""
    for box in box_bodies(file, names, begin, end):
        body = _read(file, box)
        at = 20 if body[:1] == b"\1" else 12
        return int.from_bytes(body[at : at + 4], "big") or 1
    return 1


def _read(file: BinaryIO, box: _Box) -> bytes:
    _, begin, end = box
    file.seek(begin)
    return file.read(min(end - begin, _LARGEST_LIST_BYTES))


def box_bodies(file: BinaryIO, names: tuple[bytes, ...], begin: int, end: int) -> Iterator[_Box]:
    """Yield (name, begin, end) of the bodies of all boxes under a path of names."""
    for name, offset, length in mp4_boxes(file, begin, end):
        if name != names[0] or length < _HEADER_BYTES:
            continue
        body, stop = offset + _HEADER_BYTES, min(end, offset + length)
        if len(names) == 1:
            yield name, body, stop
        else:
            yield from box_bodies(file, names[1:], body, stop)


def mp4_boxes(file: BinaryIO, position: int, end: int) -> Iterator[_Box]:
    """Yield (name, offset, length) of each box; the walk ends with the first one whose length is impossible."""
    while position + _HEADER_BYTES <= end:
        file.seek(position)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        yield head[4:8], position, length
        if length < _HEADER_BYTES:
            return
        position += length
