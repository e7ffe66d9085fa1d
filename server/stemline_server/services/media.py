"""MediaService: sound in, out and by name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, InputError, MediaError
from stemline.media import SAMPLE_BYTES, pcm_bytes
from stemline.shared_disk import FileFacts
from stemline.v1 import media_pb2 as pb
from stemline.v1 import media_pb2_grpc
from stemline_server.engines.base import AudioSource
from stemline_server.seats.access import Transfers, caller
from stemline_server.services.callers import is_this_machine, may_use
from stemline_server.store.database import result_of
from stemline_server.store.media_store import KnownMedia, MediaStore
from stemline_server.store.media_table import MediaRow, MediaShape, media_id
from stemline_server.store.registrar import PathRegistrar
from stemline_server.store.sources import SoundOpener, still_valid
from stemline_server.store.uploads import Upload, UploadHeader, Uploads

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

T = TypeVar("T")

_CHUNK_BYTES = 512 * 1024
_SILENCE_TIMEOUT_S = 60.0  # of a caller in the middle of an upload


class MediaService(media_pb2_grpc.MediaServiceServicer):
    """Registers, receives, sends and deletes sound."""

    def __init__(
        self,
        store: MediaStore,
        opener: SoundOpener,
        uploads: Uploads,
        registrar: PathRegistrar | None,
        on_transfer: Callable[[str, int], object] = lambda *_: None,
    ) -> None:
        """Serve the sound of `store`; `registrar` is None on a server that shares no disk with its callers.

        `on_transfer` gets the direction ("in", "out") and the bytes of each piece that was transferred.
        `note_download`, set later if at all, gets the name of each sound that is downloaded, before it is sent.
        """
        self.note_download: Callable[[str], Awaitable[None]] | None = None
        self._on_transfer = on_transfer
        self._store = store
        self._opener = opener
        self._uploads = uploads
        self._registrar = registrar
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="media")
        self._transfers = Transfers()

    def close(self) -> None:
        """Stop the threads that wait for the disk."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def nonce_path(self, context: Context) -> str:
        """Return the file of the nonce that proves a shared disk; empty for callers that can't share one.

        An address of this machine proves nothing: a tunnel or a container ends there too.
        """
        if self._registrar is None or not is_this_machine(context):
            return ""
        return str(self._registrar.nonce.path)

    async def GetMedia(self, request: pb.GetMediaRequest, context: Context) -> pb.Media:
        """Return a sound that the server holds. Raises MediaError (MEDIA_UNKNOWN)."""
        media = await self._lookup(request.name)
        if not await self._is_held(media.row):
            try:
                await self._blocking(still_valid, media.references)
            except MediaError as error:  # its files are gone or changed: it has to be brought again
                raise _unknown(request.name) from error
        return self._message(media.row, context, request.nonce)

    async def RegisterPath(self, request: pb.RegisterPathRequest, context: Context) -> pb.Media:
        """Make a range of a file, or a picture track, known as media.

        Raises InputError (PATH_NOT_ALLOWED), MediaError, OutputError (DISK_QUOTA, DISK_FULL).
        """
        if self._registrar is None or not self._may_share(context, request.nonce):
            raise InputError(
                "This server reads no files of its callers.",
                code=Code.PATH_NOT_ALLOWED,
                advice="Send the sound with UploadMedia, or start the server with --media-root.",
            )
        seen = _file_facts(request.facts) if request.HasField("facts") else None
        if request.pictures_name:
            row = await self._register_pictures(self._registrar, request, seen)
        else:
            source = MediaSource(request.path, request.stream, tuple(request.channels), request.mono)
            wanted = SampleRange(request.start_sample, request.end_sample)
            row = await self._registrar.register(source, wanted, seen, accept_peaks=request.accept_peaks)
        await result_of(self._store.grant(row.name, caller().holder))
        return self._message(row, context)

    async def _register_pictures(
        self, registrar: PathRegistrar, request: pb.RegisterPathRequest, seen: FileFacts | None
    ) -> MediaRow:
        media_id(request.pictures_name)
        if seen is None:
            raise InputError("A picture track is registered with the facts of its file.", advice="Send the facts.")
        await self._make_room_of(MediaShape.of_pictures(seen.size_bytes))
        return await registrar.register_pictures(request.path, request.pictures_name, seen)

    async def UploadMedia(self, request_iterator: AsyncIterator[pb.UploadMediaRequest], context: Context) -> pb.Media:
        """Receive a sound. Raises InputError (UPLOAD_MISMATCH), OutputError (DISK_QUOTA, DISK_FULL)."""
        with self._transfers.one(caller()):
            return await self._take_upload(request_iterator, context)

    async def _take_upload(self, parts: AsyncIterator[pb.UploadMediaRequest], context: Context) -> pb.Media:
        first = await _next_part(parts)
        if first is None or not first.HasField("header"):
            raise InputError("An upload begins with its header.", advice="Send the header first.")
        seat = caller()
        header = _header(first.header, seat.holder)
        known = await result_of(self._store.lookup(header.name)) if await may_use(self._store, header.name) else None
        if known is not None and await self._is_held(known.row):
            return self._message(known.row, context)
        await self._make_room_of(header.shape)
        upload = await self._opened(partial(self._uploads.begin, header), Upload.close)
        try:
            row = await self._receive(upload, parts)
            await result_of(self._store.grant(row.name, seat.holder))
            return self._message(row, context)
        finally:
            self._threads.submit(upload.close)

    async def _make_room_of(self, shape: MediaShape) -> None:
        """Make room in the limit of the caller's seat, if it has one. Raises OutputError (DISK_QUOTA)."""
        seat = caller()
        if seat.store_bytes and seat.holder:
            await self._blocking(self._store.make_room_of, seat.holder, shape.size_bytes, seat.store_bytes)

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> pb.Upload:
        """Return how much of a sound has arrived."""
        media_id(request.name)
        known = await result_of(self._store.lookup(request.name)) if await may_use(self._store, request.name) else None
        if known is not None and await self._is_held(known.row):
            return pb.Upload(name=request.name, committed_size=known.row.shape.size_bytes)
        arrived_bytes = self._uploads.committed_bytes(request.name, caller().holder)
        return pb.Upload(name=request.name, committed_size=arrived_bytes)

    async def DownloadMedia(self, request: pb.DownloadMediaRequest, context: Context) -> AsyncIterator[pb.MediaChunk]:
        """Send a range of a sound in chunks. Raises MediaError."""
        media = await self._lookup(request.name)
        shape = media.row.shape
        end_sample = request.end_sample or shape.length_samples
        if not 0 <= request.start_sample <= end_sample <= shape.length_samples:
            raise MediaError(
                f"The media has {shape.length_samples} samples.",
                code=Code.MEDIA_OUT_OF_RANGE,
                advice="Ask for a range inside it.",
            )
        wanted = SampleRange(request.start_sample, end_sample)
        with self._transfers.one(caller()):
            async for chunk in self._chunks(media, wanted):
                yield chunk

    async def _chunks(self, media: KnownMedia, wanted: SampleRange) -> AsyncIterator[pb.MediaChunk]:
        end_sample = wanted.end_sample
        step = max(1, _CHUNK_BYTES // (SAMPLE_BYTES * media.row.shape.channels))
        if self.note_download is not None:
            await self.note_download(media.row.name)
        stack = contextlib.ExitStack()
        opening = partial(stack.enter_context, self._opener.open(media.row, media.references))
        sound = await self._opened(opening, lambda _: stack.close())
        try:
            for start in range(wanted.start_sample, end_sample, step):
                data = await self._blocking(_packed, sound, start, min(start + step, end_sample))
                yield pb.MediaChunk(data=data)
                self._on_transfer("out", len(data))
        finally:
            self._threads.submit(stack.close)

    async def DeleteMedia(self, request: pb.DeleteMediaRequest, context: Context) -> pb.DeleteMediaResponse:
        """Forget a sound. Raises MediaError (MEDIA_UNKNOWN), and InputError where a job needs it."""
        await self._lookup(request.name)
        await result_of(self._store.delete(request.name, caller().holder))
        return pb.DeleteMediaResponse()

    async def _opened(self, opening: Callable[[], T], close: Callable[[T], object]) -> T:
        """Return what `opening` opens, in a thread. A caller that leaves during that leaves nothing open."""
        running = asyncio.ensure_future(self._blocking(opening))

        def close_opened(opened: asyncio.Future[T]) -> None:
            if not opened.cancelled() and opened.exception() is None:
                self._threads.submit(close, opened.result())

        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.add_done_callback(close_opened)
            raise

    async def _receive(self, upload: Upload, parts: AsyncIterator[pb.UploadMediaRequest]) -> MediaRow:
        while (part := await _next_part(parts)) is not None:
            if part.HasField("header"):
                raise InputError("An upload has one header.", advice="Send only data after it.")
            await self._blocking(upload.write, part.data)
            self._on_transfer("in", len(part.data))
        return await self._blocking(upload.finish)

    async def _lookup(self, name: str) -> KnownMedia:
        """Return a known sound. Raises InputError for what is no media name, MediaError (MEDIA_UNKNOWN)."""
        media_id(name)
        media = await result_of(self._store.lookup(name)) if await may_use(self._store, name) else None
        if media is None:
            raise _unknown(name)
        return media

    async def _is_held(self, row: MediaRow) -> bool:
        """Return whether the store holds the sound, after reading it once if need be."""
        return self._store.is_verified(row.name) or await self._blocking(self._store.verify, row)

    async def _blocking(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _may_share(self, context: Context, nonce: bytes) -> bool:
        registrar = self._registrar
        return registrar is not None and is_this_machine(context) and registrar.nonce.admits(nonce)

    def _message(self, row: MediaRow, context: Context, nonce: bytes = b"") -> pb.Media:
        if row.shape.is_pictures:
            return pb.Media(name=row.name, create_time=_timestamp(row), pictures_bytes=row.shape.size_bytes)
        readable = self._may_share(context, nonce) and self._store.is_verified(row.name)
        return pb.Media(
            name=row.name,
            sample_rate=row.shape.sample_rate,
            channels=row.shape.channels,
            length_samples=row.shape.length_samples,
            create_time=_timestamp(row),
            local_path=str(self._store.path(row.name)) if readable else "",
        )


async def _next_part(parts: AsyncIterator[pb.UploadMediaRequest]) -> pb.UploadMediaRequest | None:
    """Return the next message, None at the end. Raises InputError (UPLOAD_MISMATCH) where none comes for long."""
    try:
        return await asyncio.wait_for(anext(parts, None), _SILENCE_TIMEOUT_S)
    except TimeoutError as error:
        raise InputError(
            f"Nothing arrived for {_SILENCE_TIMEOUT_S:g} s.",
            code=Code.UPLOAD_MISMATCH,
            advice="Call GetUpload for the byte to go on at.",
        ) from error


def _header(sent: pb.UploadHeader, holder: str) -> UploadHeader:
    media_id(sent.name)
    if sent.pictures_bytes:
        return UploadHeader(sent.name, MediaShape.of_pictures(sent.pictures_bytes), sent.offset, holder)
    shape = MediaShape(sent.sample_rate, sent.channels, sent.length_samples)
    if shape.is_pictures:
        raise InputError("The header's sample rate is impossible.", advice="Check the header.")
    return UploadHeader(sent.name, shape, sent.offset, holder)


def _file_facts(sent: pb.FileFacts) -> FileFacts:
    return FileFacts(sent.size_bytes, sent.modified_ns, sent.inode, sent.blocks_sha256)


def _timestamp(row: MediaRow) -> Timestamp:
    return Timestamp(seconds=row.create_us // 1_000_000, nanos=row.create_us % 1_000_000 * 1000)


def _packed(sound: AudioSource, start_sample: int, end_sample: int) -> bytes:
    return bytes(pcm_bytes(sound.read(start_sample, end_sample)))


def _unknown(name: str) -> MediaError:
    return MediaError(
        f"The server does not hold {name}.", code=Code.MEDIA_UNKNOWN, advice="Register or upload it first."
    )
