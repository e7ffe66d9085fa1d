"""Bring sound and picture tracks to the server: by path on a shared disk, else by sending what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt

from stemline import paths
from stemline.client.link import ATTEMPTS, CALL_TIMEOUT_S, Link, disk_nonce
from stemline.client.status import details_of
from stemline.client.values import Media, Progress, media_of
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, InputError, MediaError, StemlineError
from stemline.media import MAX_PEAK, SAMPLE_BYTES, MediaHasher, PcmCache, media_facts, open_audio, pcm_bytes
from stemline.shared_disk import file_facts
from stemline.v1 import media_pb2

CHUNK_BYTES = 512 * 1024
_OTHER_SENDER_S = 1.0
# slower than any disk or decoder: only a server that hangs takes longer
_SLOWEST_SAMPLES_PER_S = 50_000


@dataclass(frozen=True, slots=True)
class _Extent:
    """A range of a file's sound, named by its content."""

    source: MediaSource
    range: SampleRange
    name: str
    sample_rate: int
    channels: int
    compression = grpc.Compression.NoCompression

    @property
    def path(self) -> str:
        """The file."""
        return self.source.path

    @property
    def total(self) -> int:
        """Length in samples, which progress counts."""
        return self.range.length

    @property
    def patience_s(self) -> float:
        """How long a transfer may take."""
        return _patience_s(self.range.length)

    def parts(self, offset: int) -> Iterator[tuple[bytes, int]]:
        """Yield the data from byte `offset` on, each part with the samples that are sent then."""
        first, skip = divmod(offset, SAMPLE_BYTES * self.channels)
        for block in _blocks(self.source, SampleRange(self.range.start_sample + first, self.range.end_sample)):
            first += block.shape[1]
            yield bytes(pcm_bytes(block))[skip:], first
            skip = 0

    def header(self, offset: int) -> media_pb2.UploadMediaRequest:
        """Return the first message of an upload that starts at byte `offset`."""
        return media_pb2.UploadMediaRequest(
            header=media_pb2.UploadHeader(
                name=self.name,
                sample_rate=self.sample_rate,
                channels=self.channels,
                length_samples=self.range.length,
                offset=offset,
            )
        )


@dataclass(frozen=True, slots=True)
class _Pictures:
    """A picture track, named by its content."""

    path: str
    name: str
    total: int
    compression = grpc.Compression.Gzip

    @property
    def patience_s(self) -> float:
        """How long a transfer may take."""
        return _patience_s(self.total)

    def header(self, offset: int) -> media_pb2.UploadMediaRequest:
        """Return the first message of an upload that starts at byte `offset`."""
        header = media_pb2.UploadHeader(name=self.name, offset=offset, pictures_bytes=self.total)
        return media_pb2.UploadMediaRequest(header=header)

    def parts(self, offset: int) -> Iterator[tuple[bytes, int]]:
        """Yield the data from byte `offset` on, each part with the bytes that are sent then."""
        with Path(self.path).open("rb") as file:
            file.seek(offset)
            while data := file.read(CHUNK_BYTES):
                offset += len(data)
                yield data, offset


_Content = _Extent | _Pictures


def pcm_cache() -> PcmCache:
    """Return the cache of decoded sound, for media whose decoder gives other samples each time."""
    return PcmCache(paths.cache_dir() / "pcm")


def register_path(link: Link, source: MediaSource, extent: SampleRange, *, accept_peaks: bool) -> Media | None:
    """Let the server read the range from the file itself.

    Returns:
        The media as the server knows it, or None where the sound has to be sent: the server may not read that path,
        the two share no disk, or another file lies there on the server's machine.

    Raises:
        MediaError: The file is bad.
    """
    nonce = disk_nonce(link)
    facts = _facts_message(source.path) if nonce else None
    if facts is None:
        return None
    request = media_pb2.RegisterPathRequest(
        path=str(Path(source.path).absolute()),
        stream=source.stream,
        channels=source.channels,
        mono=source.mono,
        start_sample=extent.start_sample,
        end_sample=extent.end_sample,
        nonce=nonce,
        facts=facts,
        accept_peaks=accept_peaks,
    )
    seen = media_facts(source)
    try:
        # some decoders give other samples after a seek: then the server decodes the whole stream
        patience_s = _patience_s(max(extent.length, seen.length_samples))
        media = media_of(link.call(lambda stubs: stubs.media.RegisterPath, request, patience_s))
    except InputError as error:
        if error.code is Code.PATH_NOT_ALLOWED:
            return None
        raise
    wanted = (extent.length, seen.sample_rate, seen.channels)
    return media if (media.length_samples, media.sample_rate, media.channels) == wanted else None


def _facts_message(path: str) -> media_pb2.FileFacts | None:
    """Describe the file for the server; None where this process can't read it, so that `send` names the reason."""
    try:
        facts = file_facts(path)
    except (OSError, ValueError):
        return None
    return media_pb2.FileFacts(
        size_bytes=facts.size_bytes,
        modified_ns=facts.modified_ns,
        inode=facts.inode,
        blocks_sha256=facts.blocks_sha256,
    )


def send(
    link: Link, source: MediaSource, extent: SampleRange, progress: Progress | None, *, accept_peaks: bool
) -> Media:
    """Read and name the sound, and send it where the server does not hold it. Memory use is constant.

    Raises:
        MediaError: The sound cannot be read, or the file changes.
    """
    named = _name(source, extent, accept_peaks=accept_peaks)

    def is_unchanged() -> bool:
        return _name(source, extent, accept_peaks=accept_peaks) == named

    return _send(link, named, is_unchanged, progress)


def send_pictures(link: Link, path: Path, progress: Progress | None) -> Media:
    """Bring a picture track to the server where it does not hold it: by path on a shared disk, else compressed.

    `progress` counts the bytes that are sent.

    Raises:
        MediaError: The file is not a picture track (MEDIA_UNREADABLE), or it changes (MEDIA_CHANGED).
    """
    named = _name_pictures(path)
    return (
        _held(link, named.name)
        or _register_pictures(link, named)
        or _send(link, named, lambda: _name_pictures(path) == named, progress)
    )


def _register_pictures(link: Link, pictures: _Pictures) -> Media | None:
    """Let the server copy the file itself; None where the pictures have to be sent."""
    nonce = disk_nonce(link)
    facts = _facts_message(pictures.path) if nonce else None
    if facts is None:
        return None
    request = media_pb2.RegisterPathRequest(
        path=str(Path(pictures.path).absolute()), nonce=nonce, facts=facts, pictures_name=pictures.name
    )
    try:
        return media_of(link.call(lambda stubs: stubs.media.RegisterPath, request, pictures.patience_s))
    except (InputError, MediaError) as error:
        # a server that does not know pictures_name sees an empty range
        if error.code in (Code.PATH_NOT_ALLOWED, Code.MEDIA_EMPTY):
            return None
        raise


def _send(link: Link, content: _Content, is_unchanged: Callable[[], bool], progress: Progress | None) -> Media:
    """Send the content; where a transfer breaks, go on at the byte that has arrived."""
    held = _held(link, content.name)
    if held is not None:
        return held
    attempt = 0
    while True:
        stubs = link.stubs
        upload = _Upload(content, _committed(link, content.name), progress)
        try:
            return media_of(
                stubs.media.UploadMedia(
                    upload.parts(),
                    timeout=content.patience_s,
                    metadata=stubs.endpoint.metadata,
                    compression=content.compression,
                )
            )
        except grpc.RpcError as error:
            if upload.failure is not None:
                raise upload.failure from error
            attempt = 1 if upload.moved else attempt + 1
            if attempt < ATTEMPTS and details_of(error).reason == Code.UPLOAD_MISMATCH:
                held = _sent_by_another(link, content.name)
                if held is not None:
                    return held
                if not is_unchanged():
                    raise MediaError(
                        f"{content.path!r} is being changed.", code=Code.MEDIA_CHANGED, advice="Wait until it is whole."
                    ) from error
            else:
                link.recover(error, attempt, stubs)


def _sent_by_another(link: Link, name: str) -> Media | None:
    """Wait while another client sends the same sound; return None if it stopped before the end."""
    arrived = -1
    while (committed := _committed(link, name)) > arrived:
        arrived = committed
        time.sleep(_OTHER_SENDER_S)
    return _held(link, name)


class _Upload:
    """One attempt to send from byte `offset` on. gRPC takes the parts from its own thread."""

    def __init__(self, content: _Content, offset: int, progress: Progress | None) -> None:
        self._content = content
        self._offset = offset
        self._progress = progress
        self.failure: StemlineError | None = None
        self.moved = False

    def parts(self) -> Iterator[media_pb2.UploadMediaRequest]:
        """Yield the header, then the data. A read error ends the upload early and is stored for the caller's thread."""
        yield self._content.header(self._offset)
        try:
            for data, done in self._content.parts(self._offset):
                yield media_pb2.UploadMediaRequest(data=data)
                self.moved = True
                if self._progress is not None:
                    self._progress(done, self._content.total)
        except StemlineError as error:
            self.failure = error
            raise


def _name(source: MediaSource, extent: SampleRange, *, accept_peaks: bool) -> _Extent:
    with open_audio(source, cache=pcm_cache(), max_peak=None if accept_peaks else MAX_PEAK) as reader:
        rate, channels = reader.sample_rate, reader.channels
        hasher = MediaHasher(rate, channels)
        for block in reader.blocks(extent.start_sample, extent.end_sample, _block_samples(channels)):
            hasher.update(block)
    return _Extent(source, extent, hasher.name(), rate, channels)


def _name_pictures(path: Path) -> _Pictures:
    from stemline.media.pictures.picture_track import PictureTrack, PictureTrackHasher  # noqa: PLC0415 - rarely used

    PictureTrack(path)
    hasher = PictureTrackHasher()
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            hasher.update_pcm(data)
    return _Pictures(str(path), hasher.name(), path.stat().st_size)


def _blocks(source: MediaSource, extent: SampleRange) -> Iterator[npt.NDArray[np.float32]]:
    with open_audio(source, cache=pcm_cache()) as reader:
        yield from reader.blocks(extent.start_sample, extent.end_sample, _block_samples(reader.channels))


def _block_samples(channels: int) -> int:
    return max(1, CHUNK_BYTES // (SAMPLE_BYTES * channels))


def _held(link: Link, name: str) -> Media | None:
    try:
        return media_of(link.call(lambda stubs: stubs.media.GetMedia, media_pb2.GetMediaRequest(name=name)))
    except MediaError as error:
        if error.code is Code.MEDIA_UNKNOWN:
            return None
        raise


def _committed(link: Link, name: str) -> int:
    try:
        request = media_pb2.GetUploadRequest(name=name)
        return link.call(lambda stubs: stubs.media.GetUpload, request).committed_size
    except MediaError as error:
        if error.code is Code.MEDIA_UNKNOWN:
            return 0
        raise


def _patience_s(length_samples: int) -> float:
    return CALL_TIMEOUT_S + length_samples / _SLOWEST_SAMPLES_PER_S
