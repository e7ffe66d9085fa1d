"""Sound that comes over the wire: kept by name until it is whole, so that a broken transfer goes on where it was."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stemline.errors import Code, InputError
from stemline.media import MediaHasher
from stemline_server.store.content import ContentStore
from stemline_server.store.disk import full_disk_named
from stemline_server.store.media_table import MediaRow, MediaShape
from stemline_server.store.names import media_id

_READ_BYTES = 1 << 20
_MAX_CHANNELS = 64
_KEPT_S = 7 * 86_400  # of an upload that nobody goes on with


@dataclass(frozen=True, slots=True)
class UploadHeader:
    """What is sent: the name it must turn out to have, its shape, and the byte at which the data goes on."""

    name: str
    shape: MediaShape
    offset_bytes: int


class Uploads:
    """Parts live in `folder`. Of two callers who send the same sound the later one wins; the other is told."""

    def __init__(self, store: ContentStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._folder.mkdir(exist_ok=True)
        for part in self._folder.iterdir():
            if time.time() - part.stat().st_mtime > _KEPT_S:
                part.unlink()
        self._lock = threading.Lock()
        self._latest: dict[str, Upload] = {}

    def committed_bytes(self, name: str) -> int:
        """How much has arrived of a sound that is not whole yet."""
        try:
            return self._part(name).stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self, header: UploadHeader) -> Upload:
        """Takes the upload on.

        Raises InputError (UPLOAD_MISMATCH) when it would leave a hole or overwrite, and MediaError (MEDIA_UNSUPPORTED).
        """
        shape = header.shape
        if not (0 < shape.channels <= _MAX_CHANNELS and shape.length_samples > 0):
            raise InputError("The sound's channel count or length is not possible.", advice="Check the header.")
        shape.check_rate()
        part = self._part(header.name)
        with self._lock:
            arrived = self.committed_bytes(header.name)
            if header.offset_bytes not in (0, arrived) or header.offset_bytes > shape.size_bytes:
                raise InputError(
                    f"{arrived} bytes of this sound have arrived, so it cannot go on at byte {header.offset_bytes}.",
                    code=Code.UPLOAD_MISMATCH,
                    advice="Ask GetUpload where to go on.",
                )
            self._store.reserve(shape.size_bytes - header.offset_bytes)
            try:
                upload = Upload(self, part, header)
            except BaseException:
                self._store.release(shape.size_bytes - header.offset_bytes)
                raise
            self._latest[header.name] = upload
            return upload

    def check_latest(self, name: str, upload: Upload) -> None:
        """Raises InputError (UPLOAD_MISMATCH) when another caller has taken the sound over."""
        if self._latest.get(name) is not upload:
            raise _taken_over()

    def finish(self, header: UploadHeader, upload: Upload, part: Path) -> MediaRow:
        """Verifies the whole file and gives it to the store. Another sound is dropped.

        Raises InputError (UPLOAD_MISMATCH), also when another caller has taken the sound over: the part is theirs.
        """
        hasher = MediaHasher(header.shape.sample_rate, header.shape.channels)
        try:
            with part.open("rb") as file:
                while data := file.read(_READ_BYTES):
                    hasher.update_bare(data)
        except FileNotFoundError as error:  # they have finished it meanwhile
            raise _taken_over() from error
        with self._lock:
            self.check_latest(header.name, upload)
            if hasher.name() != header.name:
                part.unlink()
                raise InputError(
                    "What arrived is not the sound that was announced.",
                    code=Code.UPLOAD_MISMATCH,
                    advice="Send it again.",
                )
            return self._store.adopt(part, header.name, header.shape)

    def forget(self, header: UploadHeader, upload: Upload) -> None:
        self._store.release(header.shape.size_bytes - header.offset_bytes)
        with self._lock:
            if self._latest.get(header.name) is upload:
                del self._latest[header.name]

    def _part(self, name: str) -> Path:
        return self._folder / f"{media_id(name)}.part"


def _taken_over() -> InputError:
    return InputError(
        "Somebody else sends the same sound.", code=Code.UPLOAD_MISMATCH, advice="Ask GetUpload where to go on."
    )


class Upload:
    """One transfer, from one caller at a time; every method blocks on the disk. `close` it in any case."""

    def __init__(self, uploads: Uploads, part: Path, header: UploadHeader) -> None:
        self._uploads = uploads
        self._part = part
        self._header = header
        self._arrived = header.offset_bytes
        self._file: IO[bytes] = part.open("r+b" if header.offset_bytes else "wb")
        self._file.seek(header.offset_bytes)

    def write(self, data: bytes) -> None:
        """Appends. Raises InputError (UPLOAD_MISMATCH) for more than was announced, OutputError (DISK_FULL)."""
        self._uploads.check_latest(self._header.name, self)
        if self._arrived + len(data) > self._header.shape.size_bytes:
            raise InputError(
                "More bytes arrived than were announced.", code=Code.UPLOAD_MISMATCH, advice="Send it again."
            )
        with full_disk_named(self._part.parent):
            self._file.write(data)
            self._file.flush()
        self._arrived += len(data)

    def finish(self) -> MediaRow:
        """The finished media. Raises InputError (UPLOAD_MISMATCH) for missing bytes: what came stays, to go on."""
        if self._arrived != self._header.shape.size_bytes:
            raise InputError(
                f"{self._header.shape.size_bytes - self._arrived} bytes of this sound are missing.",
                code=Code.UPLOAD_MISMATCH,
                advice="Ask GetUpload where to go on.",
            )
        self._file.close()
        return self._uploads.finish(self._header, self, self._part)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._uploads.forget(self._header, self)
