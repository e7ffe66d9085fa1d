"""Read the sound of a media: from the server's own file on a shared disk, else from a temporary copy."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import IO

import grpc
import numpy as np
import numpy.typing as npt

from stemline.client.link import Link, disk_nonce
from stemline.client.values import Media, Progress, media_of
from stemline.errors import Code, MediaError, OutputError, SeparationError
from stemline.media import SAMPLE_BYTES, PcmFile, read_pcm
from stemline.v1 import media_pb2

_SILENCE_TIMEOUT_S = 120.0
_SLOWEST_SAMPLES_PER_S = 50_000


class MediaReader:
    """Random access to the sound of a media. A context manager. Nothing stays in memory."""

    def __init__(self, media: Media, file: PcmFile) -> None:
        """Read from an open file of the media's samples, and close it at the end."""
        self.media = media
        self._file = file

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        return self.media.sample_rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.media.channels

    @property
    def length_samples(self) -> int:
        """Length in samples."""
        return self.media.length_samples

    def read(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return samples [start_sample, end_sample) as float32 [channels, samples].

        Raises:
            SeparationError: The file is cut short (OUTPUT_DAMAGED).
            ValueError: The range is not within the media.
        """
        if not 0 <= start_sample <= end_sample <= self.length_samples:
            raise ValueError(f"[{start_sample}, {end_sample}) is not within {self.length_samples} samples")
        block = read_pcm(self._file, start_sample, self.channels, end_sample - start_sample)
        if block is None:
            raise SeparationError(
                f"The stem {self.media.name} is cut short on the disk.",
                code=Code.OUTPUT_DAMAGED,
                advice="Run `stemline cache clear` and separate again.",
            )
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> MediaReader:
        """Return the reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def open_media(link: Link, name: str, progress: Progress | None = None) -> MediaReader:
    """Open the sound of a media, from the server's own file where the two share a disk.

    Raises:
        MediaError: The server does not hold it (MEDIA_UNKNOWN), or it is a picture track (MEDIA_NO_AUDIO).
        OutputError: A copy has no room (DISK_FULL).
    """
    nonce = disk_nonce(link)
    request = media_pb2.GetMediaRequest(name=name, nonce=nonce)
    media = media_of(link.call(lambda stubs: stubs.media.GetMedia, request))
    if media.channels == 0:
        raise MediaError(f"{name} holds pictures, not sound.", code=Code.MEDIA_NO_AUDIO, advice="Name a sound.")
    file = _open_local(media) if nonce and media.local_path else None
    if file is not None:
        return MediaReader(media, file)
    with ExitStack() as undo:
        spool = undo.enter_context(tempfile.TemporaryFile(prefix="stemline-"))
        _download(link, media, spool, progress)
        undo.pop_all()  # from here on the reader closes it
    return MediaReader(media, spool)


def _open_local(media: Media) -> BufferedReader | None:
    """Return the server's own file, or None where this process can't read it or its size is wrong."""
    try:
        file = Path(media.local_path).open("rb")  # noqa: SIM115 - the reader closes it
    except OSError:
        return None
    if os.fstat(file.fileno()).st_size != media.length_samples * media.channels * SAMPLE_BYTES:
        file.close()
        return None
    return file


def _download(link: Link, media: Media, spool: IO[bytes], progress: Progress | None) -> None:
    frame_bytes = SAMPLE_BYTES * media.channels
    attempt = 0
    while True:
        done = spool.tell() // frame_bytes
        spool.seek(done * frame_bytes)
        if done >= media.length_samples:
            return
        stubs = link.stubs
        request = media_pb2.DownloadMediaRequest(name=media.name, start_sample=done)
        timeout_s = _SILENCE_TIMEOUT_S + media.length_samples / _SLOWEST_SAMPLES_PER_S
        try:
            for chunk in stubs.media.DownloadMedia(request, timeout=timeout_s, metadata=stubs.endpoint.metadata):
                _write(spool, chunk.data)
                if progress is not None:
                    progress(spool.tell() // frame_bytes, media.length_samples)
        except grpc.RpcError as error:
            attempt = 1 if spool.tell() // frame_bytes > done else attempt + 1
            link.recover(error, attempt, stubs)
        else:
            if spool.tell() // frame_bytes < media.length_samples:
                raise SeparationError(f"The server sent less of {media.name} than it holds.", code=Code.INTERNAL)


def _write(spool: IO[bytes], data: bytes) -> None:
    try:
        spool.write(data)
    except OSError as error:
        raise OutputError(
            f"A stem cannot be fetched: {error.strerror} in {tempfile.gettempdir()}.",
            code=Code.DISK_FULL,
            advice="Free some room there, or set TMPDIR.",
        ) from error
