"""Write stem files: Broadcast WAVE of 24 bits or 32-bit float, and 24-bit FLAC."""

from __future__ import annotations

import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av
import numpy as np

from stemline.errors import UsageError
from stemline.files import output_errors
from stemline.media.samples import FloatBlock, SampleFormat, pack_int24, to_int24
from stemline.media.wave import riff
from stemline.media.wave.metadata import StemTags, encode_bext, encode_ixml
from stemline.media.wave.pcm_f32 import pcm_bytes
from stemline_bridge.files import part_path, put_in_place


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Format of a stem file. `layout` is FFmpeg's name of the channel layout, empty for channels without names."""

    sample_format: SampleFormat
    sample_rate: int
    channels: int
    layout: str = ""


class StemWriter(ABC):
    """A stem file that is written under a temporary name and takes its final name on a clean exit.

    After that `audio_sha256` is the SHA-256 of its audio alone: the bytes of `data`, or the samples of FLAC as 24-bit
    little-endian. `source_sha256`, set before that, goes into the metadata of tags that ask for it.
    """

    def __init__(self, path: Path, audio_format: AudioFormat, tags: StemTags) -> None:
        """Create the temporary file and write its head. Raises OutputError."""
        self.path, self.audio_format, self.tags = path, audio_format, tags
        self.length_samples = 0
        self.audio_sha256 = ""
        self.source_sha256 = ""
        self._sha = hashlib.sha256()
        self._part = part_path(path)
        with output_errors(path), ExitStack() as undo:
            self._file: BinaryIO = self._part.open("x+b", buffering=0)
            undo.callback(self._discard)
            self._begin()
            undo.pop_all()

    def write(self, block: FloatBlock) -> None:
        """Write the next samples, [channels, n].

        Raises:
            BeyondFullScaleError: A sample would clip.
            ValueError: A sample is not finite, or the block has another shape.
            OutputError: The file cannot be written.
        """
        if block.ndim != 2 or block.shape[0] != self.audio_format.channels:
            raise ValueError(f"a block of shape {block.shape}, expected [{self.audio_format.channels}, n]")
        if block.shape[1] == 0:
            return
        with output_errors(self.path):
            self._put(block)
        self.length_samples += block.shape[1]

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _put(self, block: FloatBlock) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    def close(self) -> None:
        """Complete the file and give it its name. Raises OutputError."""
        if self._file.closed:
            return
        with ExitStack() as undo, output_errors(self.path):
            undo.callback(self._discard)
            self.audio_sha256 = self._sha.hexdigest()
            self._finish()
            self._file.close()
            put_in_place(self._part, self.path)
            undo.pop_all()

    def discard(self) -> None:
        """Delete the temporary file."""
        if not self._file.closed:
            self._discard()

    def _discard(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, or discard it after an error."""
        if kind is None:
            self.close()
        else:
            self.discard()


def coding_history(tags: StemTags, form: AudioFormat) -> str:
    """Return the given history with a line for this file (EBU R98)."""
    mode = {1: "mono", 2: "stereo"}.get(form.channels, "multi")
    width = 32 if form.sample_format.is_float else 24
    own = f"A=PCM,F={form.sample_rate},W={width},M={mode},T=Stemline"
    return f"{tags.coding_history}\r\n{own}" if tags.coding_history else own


def stamped(tags: StemTags, audio_sha256: str, source_sha256: str) -> Mapping[str, object]:
    """Return the metadata with the hash of the audio and, where the tags ask for it, the source's and a signature.

    The signature comes last: it covers the hashes.
    """
    metadata = {**tags.metadata, "audio_sha256": audio_sha256}
    source = tags.metadata.get("source")
    if tags.stamp_source and isinstance(source, Mapping):
        metadata["source"] = {**source, "audio_sha256": source_sha256}
    return tags.sign(metadata) if tags.sign else metadata


def signature_value(metadata: Mapping[str, object]) -> str:
    """Return the value of the signature in signed metadata; empty where there is none."""
    signature = metadata.get("signature")
    return str(signature["value"]) if isinstance(signature, Mapping) else ""


class WavWriter(StemWriter):
    """Broadcast WAVE, RF64 where it passes `riff_limit` bytes."""

    def __init__(
        self, path: Path, audio_format: AudioFormat, tags: StemTags, riff_limit: int = riff.RIFF_LIMIT
    ) -> None:
        """Create the temporary file and write its head. Raises OutputError."""
        self._limit = riff_limit
        super().__init__(path, audio_format, tags)

    def _begin(self) -> None:
        form = self.audio_format
        self._send(riff.riff_head((0, 0, 0)))
        self._send(riff.chunk(b"bext", encode_bext(self.tags, coding_history(self.tags, form))))
        self._send(riff.chunk(b"fmt ", riff.fmt_body(form.sample_format, form.sample_rate, form.channels, form.layout)))
        if form.sample_format.is_float:
            self._fact_offset = self._file.tell() + 8
            self._send(riff.chunk(b"fact", bytes(4)))
        self._data_offset = self._file.tell()
        self._send(riff.data_head(0, is_rf64=False))

    def _put(self, block: FloatBlock) -> None:
        if self.audio_format.sample_format.is_float:
            if not np.isfinite(block).all():
                raise ValueError("samples that are not finite cannot be written")
            data = pcm_bytes(block)
        else:
            data = pack_int24(to_int24(block))
        self._sha.update(data)
        self._send(data)

    def _finish(self) -> None:
        form = self.audio_format
        data_size = self._file.tell() - self._data_offset - 8
        self._send(b"\0" * (data_size & 1))
        metadata = stamped(self.tags, self.audio_sha256, self.source_sha256)
        self._send(riff.chunk(b"iXML", encode_ixml(self.tags, form.sample_rate, form.channels, metadata)))
        sizes = (self._file.tell() - 8, data_size, self.length_samples)
        head = riff.riff_head(sizes, self._limit)
        self._file.seek(0)
        self._send(head)
        self._file.seek(self._data_offset)
        self._send(riff.data_head(data_size, is_rf64=head.startswith(b"RF64")))
        if form.sample_format.is_float:
            self._file.seek(self._fact_offset)
            self._send(min(self.length_samples, 0xFFFFFFFF).to_bytes(4, "little"))

    def _send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # RFC 9639, 9.1.3


class FlacWriter(StemWriter):
    """24-bit FLAC, with the content of `bext` and `iXML` in its Vorbis comments."""

    def _begin(self) -> None:
        form = self.audio_format
        # As long as the hashes, which are known only at the end; so is the signature, and that of these is as long.
        self._placeholder, self._source_placeholder = secrets.token_hex(32), secrets.token_hex(32)
        self._container = av.open(self._file, "w", format="flac")
        self._container.metadata.update(self._comments())
        self._stream = self._container.add_stream("flac", rate=form.sample_rate)
        self._stream.codec_context.format = "s32"
        self._stream.codec_context.layout = _LAYOUTS[form.channels]
        self._stream.codec_context.thread_count = 1

    def _comments(self) -> dict[str, str]:
        tags, form = self.tags, self.audio_format
        metadata = stamped(tags, self._placeholder, self._source_placeholder)
        self._signature_placeholder = signature_value(metadata)
        document = encode_ixml(tags, form.sample_rate, form.channels, metadata).decode()
        self._head_bytes = len(document.encode()) + 65_536 + 4 * (len(tags.description) + len(tags.coding_history))
        return {
            "description": tags.description,
            "originator_reference": tags.reference,
            "time_reference": str(tags.time_reference_sample),
            "coding_history": coding_history(tags, form),
            "ixml": document,
        }

    def _put(self, block: FloatBlock) -> None:
        samples = to_int24(block)
        self._sha.update(pack_int24(samples))
        frame = av.AudioFrame.from_ndarray(
            (samples << 8).reshape(1, -1), format="s32", layout=_LAYOUTS[self.audio_format.channels]
        )
        frame.sample_rate = self.audio_format.sample_rate
        frame.pts = self.length_samples
        self._container.mux(self._stream.encode(frame))

    def _finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._file.seek(0)
        head = self._file.read(self._head_bytes)
        self._fill_in(head, self._placeholder, self.audio_sha256)
        if self.tags.stamp_source:
            self._fill_in(head, self._source_placeholder, self.source_sha256)
        if self._signature_placeholder:
            value = signature_value(stamped(self.tags, self.audio_sha256, self.source_sha256))
            self._fill_in(head, self._signature_placeholder, value)

    def _fill_in(self, head: bytes, placeholder: str, text: str) -> None:
        if len(text) != len(placeholder):
            raise ValueError(f"{len(text)} characters in the place of {len(placeholder)}")
        self._file.seek(head.index(placeholder.encode()))
        self._file.write(text.encode())


_MAX_CHANNELS = {SampleFormat.FLAC: 8, SampleFormat.WAV24: 256, SampleFormat.WAV32F: 256}


def check_channel_count(sample_format: SampleFormat, channels: int) -> None:
    """Raise UsageError for a number of channels that the format cannot hold."""
    if not 1 <= channels <= _MAX_CHANNELS[sample_format]:
        raise UsageError(f"{sample_format} cannot hold {channels} channels.", advice="Use wav24 or wav32f.")


def open_writer(path: str | Path, audio_format: AudioFormat, tags: StemTags | None = None) -> StemWriter:
    """Start a stem file, which replaces one of that name when it is complete.

    Raises:
        OutputError: The file cannot be created.
        UsageError: The format cannot hold so many channels.
    """
    check_channel_count(audio_format.sample_format, audio_format.channels)
    kind = FlacWriter if audio_format.sample_format is SampleFormat.FLAC else WavWriter
    return kind(Path(path), audio_format, tags or StemTags())
