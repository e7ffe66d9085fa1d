"""The media store as services, jobs and uploads use it: a protocol. `ContentStore` implements it on files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stemline.clips import MediaSource, SampleRange
from stemline_server.store.media_table import MediaReference, MediaRow, MediaShape


@dataclass(frozen=True, slots=True)
class KnownMedia:
    """A sound that the store knows, and the files outside the store where it was found."""

    row: MediaRow
    references: tuple[MediaReference, ...]


class MediaStore(Protocol):
    """Sound by the hash of its samples, under a limit. May be used from several threads.

    Methods that return a future return at once. The others may wait for the disk, `is_verified`, `path`, `release` and
    `charge_part` excepted.

    Attributes:
        limit_bytes: How much the store may hold.
        drafts: Folder for files that `adopt` takes, on the same disk.
        drop_abandoned: Called before stored sound is dropped for room, to drop unfinished files first.
    """

    limit_bytes: int
    drafts: Path
    drop_abandoned: Callable[[], object]

    def lookup(self, name: str) -> Future[KnownMedia | None]:
        """Return a known sound, marked as used now. It need not be stored: see `MediaRow.stored_bytes`."""
        ...

    def known(self, names: Iterable[str]) -> Future[dict[str, MediaRow]]:
        """Return those of the sounds that are known, marked as used now."""
        ...

    def find_reference(self, source: MediaSource, wanted: SampleRange, identity: str) -> Future[MediaRow | None]:
        """Return the sound that this range of this file was hashed to; None where the file's identity is another."""
        ...

    def keep_reference(self, name: str, shape: MediaShape, reference: MediaReference) -> Future[MediaRow]:
        """Make a sound known by a range of a file, without a copy."""
        ...

    def delete(self, name: str, holder: str = "") -> Future[None]:
        """Take a sound from a holder, and forget it with every reference to it where no other has it.

        Raises InputError where a job needs it.
        """
        ...

    def grant(self, name: str, holder: str) -> Future[None]:
        """Note that a seat or project has a sound."""
        ...

    def granted(self, names: Iterable[str], holder: str) -> Future[set[str]]:
        """Return those of the sounds that a seat or project has."""
        ...

    def make_room_of(self, holder: str, size_bytes: int, limit_bytes: int) -> None:
        """Drop what only this holder has and did not use for longest, until so much fits into its own limit.

        Raises OutputError (DISK_QUOTA) where it cannot fit; then no sound is dropped.
        """
        ...

    def stored_bytes(self) -> Future[int]:
        """Return how much the store holds."""
        ...

    def path(self, name: str) -> Path:
        """Return where the store keeps the file of a sound, whether or not it has one. Raises InputError."""
        ...

    def is_verified(self, name: str) -> bool:
        """Return whether the file is there and is the one that this process wrote or verified."""
        ...

    def verify(self, row: MediaRow) -> bool:
        """Return whether the store holds the sound, whole and unchanged. A damaged file is dropped."""
        ...

    def check_fits(self, size_bytes: int) -> None:
        """Check that room for so much could be made. Raises OutputError (DISK_QUOTA, DISK_FULL)."""
        ...

    def reserve(self, size_bytes: int, *, part: bool = False) -> None:
        """Set room aside until `release`, dropping what was unused longest.

        Raises OutputError (DISK_QUOTA, DISK_FULL) where there can be no such room; then no sound is dropped.
        """
        ...

    def charge_part(self, size_bytes: int) -> None:
        """Count a part of an upload that is on the disk already, until `release`."""
        ...

    def release(self, size_bytes: int, *, part: bool = False) -> None:
        """Give up what `reserve` or `charge_part` counted."""
        ...

    def adopt(self, draft: Path, name: str, shape: MediaShape) -> MediaRow:
        """Give a whole file, whose hash was computed, its final name, and make it known."""
        ...
