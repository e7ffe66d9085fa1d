"""Uploads: sound and picture tracks that arrive in parts, and can go on after a broken transfer."""

from __future__ import annotations

import contextlib
import hashlib
import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stemline.errors import Code, InputError, MediaError
from stemline.media.pictures.picture_track import PictureTrack
from stemline_server.store.disk import full_disk_named
from stemline_server.store.media_store import MediaStore
from stemline_server.store.media_table import MediaRow, MediaShape, hasher_of, media_id

_READ_BYTES = 1 << 20
_MAX_CHANNELS = 64
_KEPT_S = 7 * 86_400.0  # of an upload that does not go on
_ABANDONED_S = 600.0  # without data, before other sound may take the room of an upload
_AHEAD_BYTES = 4 * 1024 * 1024  # set aside at a time


@dataclass(frozen=True, slots=True)
class UploadHeader:
    """The announcement of an upload.

    Attributes:
        name: The name that the sound must turn out to have.
        shape: Its shape.
        offset_bytes: Byte at which the data goes on.
        holder: The seat or project that sends it: none goes on with what another has sent.
    """

    name: str
    shape: MediaShape
    offset_bytes: int
    holder: str = ""

    @property
    def key(self) -> str:
        """Return the name of the part."""
        return part_key(self.name, self.holder)


@dataclass(slots=True)
class _Part:
    """The part of a sound that has arrived.

    Attributes:
        path: Its file.
        counted_bytes: Room that is set aside for it.
        upload: The transfer that goes on, if any.
    """

    path: Path
    counted_bytes: int = 0
    upload: Upload | None = None

    def size_bytes(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def idle_s(self) -> float:
        """Return how long nothing has arrived; 0 while a transfer goes on."""
        try:
            return 0.0 if self.upload is not None else time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return math.inf


class Uploads:
    """The uploads that are not whole yet.

    Parts live in `folder` and count into the store's limit by what has arrived. Of two callers who send the same sound
    the later one wins; the other is refused. The lock is never held while the store makes room: for that the store
    may drop abandoned parts.
    """

    def __init__(self, store: MediaStore, folder: Path) -> None:
        """Take up the parts in `folder` that an earlier process left."""
        self._store = store
        self._folder = folder
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._lock = threading.Lock()
        self._parts: dict[str, _Part] = {}
        for path in self._folder.glob("*.part"):
            part = _Part(path)
            part.counted_bytes = part.size_bytes()
            store.charge_part(part.counted_bytes)
            self._parts[path.stem] = part
        self._drop_idle(_KEPT_S)
        store.drop_abandoned = lambda: self._drop_idle(_ABANDONED_S)

    def committed_bytes(self, name: str, holder: str = "") -> int:
        """Return how much a holder has sent of a sound that is not whole yet."""
        return _Part(self._path(part_key(name, holder))).size_bytes()

    def begin(self, header: UploadHeader) -> Upload:
        """Take the upload on. Room is set aside as the data arrives.

        Raises:
            InputError: It would leave a hole or overwrite (UPLOAD_MISMATCH), or the shape is impossible.
            MediaError: The rate is impossible (MEDIA_UNSUPPORTED).
            OutputError: The whole sound can't fit into the store (DISK_QUOTA, DISK_FULL).
        """
        shape = header.shape
        if not (0 < shape.channels <= _MAX_CHANNELS and shape.length_samples > 0):
            raise InputError("The header's channel count or length is impossible.", advice="Check the header.")
        shape.check_rate()
        self._drop_idle(_KEPT_S)
        self._store.check_fits(max(0, shape.size_bytes - self.committed_bytes(header.name, header.holder)))
        with self._lock:
            arrived = self.committed_bytes(header.name, header.holder)
            if header.offset_bytes not in (0, arrived) or header.offset_bytes > shape.size_bytes:
                raise InputError(
                    f"{arrived} bytes of this sound have arrived, so it cannot go on at byte {header.offset_bytes}.",
                    code=Code.UPLOAD_MISMATCH,
                    advice="Call GetUpload for the byte to go on at.",
                )
            upload = Upload(self, self._path(header.key), header)
            self._parts.setdefault(header.key, _Part(self._path(header.key))).upload = upload
            return upload

    def check_latest(self, key: str, upload: Upload) -> None:
        """Raise InputError (UPLOAD_MISMATCH) when another caller has taken the sound over."""
        part = self._parts.get(key)
        if part is None or part.upload is not upload:
            raise _taken_over()

    def make_room(self, header: UploadHeader, upload: Upload, end_bytes: int) -> None:
        """Set room aside for the sound up to byte `end_bytes`, and for a little more.

        Raises:
            InputError: Another caller has taken the sound over (UPLOAD_MISMATCH).
            OutputError: There is no room (DISK_QUOTA, DISK_FULL).
        """
        part = self._parts.get(header.key)
        if part is None or part.upload is not upload:
            raise _taken_over()
        wanted_bytes = min(end_bytes + _AHEAD_BYTES, header.shape.size_bytes) - part.counted_bytes
        if end_bytes <= part.counted_bytes:
            return
        self._store.reserve(wanted_bytes, part=True)
        with self._lock:
            part.counted_bytes += wanted_bytes

    def finish(self, header: UploadHeader, upload: Upload, path: Path) -> MediaRow:
        """Verify the whole file and give it to the store. Another sound is dropped.

        Raises:
            InputError: It is another sound than announced, or another caller has taken it over: the part is theirs
                (UPLOAD_MISMATCH).
            MediaError: It is not the picture track that was announced (MEDIA_UNREADABLE).
        """
        hasher = hasher_of(header.shape)
        try:
            with path.open("rb") as file:
                while data := file.read(_READ_BYTES):
                    hasher.update_pcm(data)
        except FileNotFoundError as error:  # the other caller has finished it
            raise _taken_over() from error
        with self._lock:
            self.check_latest(header.key, upload)
            if hasher.name() != header.name:
                path.unlink()
                raise InputError(
                    "The data is not the announced sound.",
                    code=Code.UPLOAD_MISMATCH,
                    advice="Send it again.",
                )
            if header.shape.is_pictures:
                _check_pictures(path)
            return self._store.adopt(path, header.name, header.shape)

    def forget(self, header: UploadHeader, upload: Upload) -> None:
        """End a transfer. What has arrived stays counted until it is taken on, finished or dropped."""
        with self._lock:
            part = self._parts.get(header.key)
            if part is None or part.upload is not upload:
                return
            part.upload = None
            left_bytes = part.size_bytes()
            self._store.release(part.counted_bytes - left_bytes, part=True)
            part.counted_bytes = left_bytes
            if left_bytes == 0:
                part.path.unlink(missing_ok=True)
                del self._parts[header.key]

    def _drop_idle(self, longest_s: float) -> None:
        """Drop the parts that nothing was added to for so long."""
        with self._lock:
            idle = {name: part for name, part in self._parts.items() if part.idle_s() > longest_s}
            for name, part in idle.items():
                part.path.unlink(missing_ok=True)
                self._store.release(part.counted_bytes, part=True)
                del self._parts[name]

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.part"


def part_key(name: str, holder: str) -> str:
    """Return the name of the part of a sound that a holder sends. Raises InputError for what is no media name."""
    identity = media_id(name)
    return f"{identity}-{hashlib.sha256(holder.encode()).hexdigest()[:16]}" if holder else identity


def _check_pictures(path: Path) -> None:
    """Drop a file that is not a picture track. Raises MediaError (MEDIA_UNREADABLE)."""
    try:
        PictureTrack(path)
    except MediaError:
        path.unlink()
        raise


def _taken_over() -> InputError:
    return InputError(
        "Another caller sends the same sound.",
        code=Code.UPLOAD_MISMATCH,
        advice="Call GetUpload for the byte to go on at.",
    )


class Upload:
    """One transfer, from one caller at a time; every method blocks on the disk. `close` it in any case."""

    def __init__(self, uploads: Uploads, part: Path, header: UploadHeader) -> None:
        """Open the file of the part at the offset of `header`."""
        self._uploads = uploads
        self._part = part
        self._header = header
        self._arrived = header.offset_bytes
        self._file: IO[bytes] = part.open("r+b" if header.offset_bytes else "wb")
        self._file.seek(header.offset_bytes)

    def write(self, data: bytes) -> None:
        """Append the data.

        Raises:
            InputError: More arrives than was announced, or another caller has taken the sound over (UPLOAD_MISMATCH).
            OutputError: There is no room (DISK_QUOTA, DISK_FULL).
        """
        self._uploads.check_latest(self._header.key, self)
        end_bytes = self._arrived + len(data)
        if end_bytes > self._header.shape.size_bytes:
            raise InputError(
                "More bytes arrived than were announced.", code=Code.UPLOAD_MISMATCH, advice="Send it again."
            )
        self._uploads.make_room(self._header, self, end_bytes)
        with full_disk_named(self._part.parent):
            self._file.write(data)
            self._file.flush()
        self._arrived = end_bytes

    def finish(self) -> MediaRow:
        """Return the finished media.

        Raises:
            InputError: Bytes are missing (UPLOAD_MISMATCH); what has arrived stays, so that the upload can go on.
        """
        if self._arrived != self._header.shape.size_bytes:
            raise InputError(
                f"{self._header.shape.size_bytes - self._arrived} bytes of this sound are missing.",
                code=Code.UPLOAD_MISMATCH,
                advice="Call GetUpload for the byte to go on at.",
            )
        self._file.close()
        return self._uploads.finish(self._header, self, self._part)

    def close(self) -> None:
        """End the transfer; an unfinished part stays, so that the upload can go on."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._uploads.forget(self._header, self)
