"""Makes files of this machine known as media: ranges of sound without a copy, picture tracks by a copy."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stemline.clips import MediaSource, SampleRange
from stemline.errors import Cancelled, Code, InputError, MediaError
from stemline.media import MAX_PEAK, MediaHasher
from stemline.media.pictures.picture_track import PictureTrack
from stemline.shared_disk import FileFacts, file_facts
from stemline_server.store.content import Draft
from stemline_server.store.database import result_of
from stemline_server.store.folder import DiskNonce
from stemline_server.store.media_roots import file_identity
from stemline_server.store.media_store import MediaStore
from stemline_server.store.media_table import MediaReference, MediaRow, MediaShape
from stemline_server.store.sources import SoundOpener

_BLOCK_SAMPLES = 1 << 17
_READ_BYTES = 1 << 20
_MAX_CHANNELS = 64


class PathRegistrar:
    """Makes files known as media, where the opener's media roots admit them."""

    def __init__(self, store: MediaStore, opener: SoundOpener, nonce: DiskNonce) -> None:
        """Keep what is registered in `store`; `nonce` proves to the server that a caller shares its disk."""
        self.nonce = nonce
        self._store = store
        self._opener = opener
        self._threads = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2), thread_name_prefix="hash")

    async def register(
        self,
        source: MediaSource,
        wanted: SampleRange,
        seen: FileFacts | None = None,
        *,
        accept_peaks: bool = False,
    ) -> MediaRow:
        """Return the media that this range is.

        Args:
            source: Which sound of which file.
            wanted: Samples of that sound.
            seen: The file as the caller sees it, or None where the caller gives no proof.
            accept_peaks: Register sound with peaks of more than 60 dB over full scale.

        Raises:
            InputError: The server may not read that path, or finds another file there (PATH_NOT_ALLOWED).
            MediaError: The file can't be read, does not hold the range, or has such a peak.
        """
        loop = asyncio.get_running_loop()
        identity = await loop.run_in_executor(self._threads, self._admit, source, wanted, seen)
        known = await result_of(self._store.find_reference(source, wanted, identity))
        if known is not None:
            return known
        gone = threading.Event()
        reference = MediaReference(source, wanted, identity)
        try:
            max_peak = None if accept_peaks else MAX_PEAK
            name, shape = await loop.run_in_executor(self._threads, self._hash, reference, gone, max_peak)
        finally:
            gone.set()

        return await result_of(self._store.keep_reference(name, shape, reference))

    async def register_pictures(self, path: str, name: str, seen: FileFacts) -> MediaRow:
        """Copy a picture track into the store and return it.

        Unlike sound it is copied: the caller's cache may drop the file before the job that needs it ends.

        Args:
            path: The file.
            name: The name of its content.
            seen: The file as the caller sees it.

        Raises:
            InputError: The server may not read that path, or finds another file there (PATH_NOT_ALLOWED).
            MediaError: The file has other content (MEDIA_CHANGED), or is not a picture track (MEDIA_UNREADABLE).
            OutputError: There is no room (DISK_QUOTA, DISK_FULL).
        """
        gone = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._copy_pictures, path, name, seen, gone
            )
        finally:
            gone.set()

    def _copy_pictures(self, path: str, name: str, seen: FileFacts, gone: threading.Event) -> MediaRow:
        self._check_path(path, seen)
        draft = Draft(self._store, MediaShape.of_pictures(seen.size_bytes))
        try:
            with self._opener.roots.opened(path) as opened, Path(opened).open("rb") as file:
                left_bytes = seen.size_bytes
                while data := file.read(min(_READ_BYTES, left_bytes)):
                    if gone.is_set():
                        raise Cancelled
                    draft.append(data)
                    left_bytes -= len(data)
            if draft.name != name:
                raise _changing(path)
            PictureTrack(draft.path)
            return draft.close()
        finally:
            draft.discard()

    def close(self) -> None:
        """Stop hashing, and close the files that are kept open."""
        self._opener.roots.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _admit(self, source: MediaSource, wanted: SampleRange, seen: FileFacts | None) -> str:
        if wanted.length <= 0 or wanted.start_sample < 0:
            raise MediaError("The range holds no sample.", code=Code.MEDIA_EMPTY, advice="Give an end after the start.")
        if len(source.channels) > _MAX_CHANNELS:
            raise InputError(f"At most {_MAX_CHANNELS} channels can be chosen.", advice="Choose fewer.")
        self._check_path(source.path, seen)
        return file_identity(source.path)

    def _check_path(self, path: str, seen: FileFacts | None) -> None:
        if "\0" in path or not os.path.isabs(path):  # noqa: PTH117 - kept as the caller spells it
            raise InputError("The path of a media file must be absolute.", advice="Give the whole path.")
        self._opener.roots.check(path)
        if seen is not None:
            _check_same_file(path, seen)

    def _hash(self, reference: MediaReference, gone: threading.Event, max_peak: float | None) -> tuple[str, MediaShape]:
        wanted = reference.range
        with self._opener.reader(reference, max_peak=max_peak) as reader:
            if wanted.end_sample > reader.length_samples:
                raise MediaError(
                    f"{reference.source.path!r} has {reader.length_samples} samples, fewer than {wanted.end_sample}.",
                    code=Code.MEDIA_OUT_OF_RANGE,
                    advice="Give a range inside the file.",
                )
            shape = MediaShape(reader.sample_rate, reader.channels, wanted.length)
            shape.check_rate()
            hasher = MediaHasher(shape.sample_rate, shape.channels)
            for start in range(wanted.start_sample, wanted.end_sample, _BLOCK_SAMPLES):
                if gone.is_set():
                    raise Cancelled
                block = reader.read(start, min(start + _BLOCK_SAMPLES, wanted.end_sample))
                hasher.update(block)
        if file_identity(reference.source.path) != reference.identity:
            raise _changing(reference.source.path)
        return hasher.name(), shape


def _changing(path: str) -> MediaError:
    return MediaError(f"{path!r} is being changed.", code=Code.MEDIA_CHANGED, advice="Wait until the file is complete.")


def _check_same_file(path: str, seen: FileFacts) -> None:
    """Raise InputError (PATH_NOT_ALLOWED) unless the file at `path` is the one that the caller sees."""
    try:
        same = file_facts(path) == seen
    except OSError:
        same = False
    if not same:
        raise InputError(
            "The file at that path on the server's machine is not the caller's.",
            code=Code.PATH_NOT_ALLOWED,
            advice="Send the sound with UploadMedia.",
        )
